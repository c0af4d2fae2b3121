//! When a session is to end, for those who reckon it themselves: a message notes the time and moves no timer; a timer
//! looks here when it fires, and sleeps again if the deadline has moved.

use std::time::{Duration, Instant};

use crate::contender::Lasts;

pub(super) struct Deadline {
    idle: Duration,
    touched: Instant,
    too_old: Instant,
}

impl Deadline {
    pub(super) fn new(lasts: Lasts) -> Self {
        let now = Instant::now();
        Self { idle: lasts.idle, touched: now, too_old: now + lasts.max_age }
    }

    /// The idle time begins anew. False if the session is too old: who is never without mail asks no timer.
    #[must_use]
    pub(super) fn touch(&mut self) -> bool {
        self.touched = Instant::now();
        self.touched < self.too_old
    }

    pub(super) fn at(&self) -> Instant {
        (self.touched + self.idle).min(self.too_old)
    }

    pub(super) fn has_come(&self, now: Instant) -> bool {
        self.at() <= now
    }
}
