//! Exact instants on a paused clock.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

use std::{sync::Arc, time::Duration};

use actix::Addr;
use session_actors::{EndReason, Ended, EventKind, SessionContext, SessionEvent, Watch};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep_until},
};

use crate::support::{Probe, Run, next_event};

/// tokio's timers fire on whole milliseconds, rounded up, each of those that a scenario takes.
pub const ROUNDING: Duration = Duration::from_millis(5);

/// That long, and not more than the rounding of timers longer.
#[track_caller]
pub fn assert_about(actual: Duration, expected: Duration, what: &str) {
    assert!(actual >= expected && actual <= expected + ROUNDING, "{what}: {actual:?} instead of {expected:?}");
}

/// That much is left, or as much less as timers are late.
#[track_caller]
pub fn assert_left(left: impl Into<Option<Duration>>, expected: Duration, what: &str) {
    let Some(left) = left.into() else { panic!("{what}: never instead of {expected:?}") };
    assert!(left <= expected && left + ROUNDING >= expected, "{what}: {left:?} left instead of {expected:?}");
}

/// Time since the test began, by the paused clock.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Pauses the clock. A test that does this must not wait for another thread.
    pub fn start() -> Self {
        tokio::time::pause();
        Self::running()
    }

    /// For clocks that run already, paused or not.
    pub fn running() -> Self {
        Self(Instant::now())
    }

    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    /// Sleeps until that long after the start.
    pub async fn reach(&self, at: Duration) {
        sleep_until(self.0 + at).await;
    }

    #[track_caller]
    pub fn assert_at(&self, expected: Duration, what: &str) {
        assert_about(self.elapsed(), expected, what);
    }
}

/// The next event. On a paused clock there may never be one; then a year passes at once, and the
/// test fails instead of hanging.
async fn next(watch: &mut Watch) -> Arc<SessionEvent> {
    let year = Duration::from_secs(365 * 24 * 3600);
    tokio::time::timeout(year, next_event(watch)).await.expect("no such event for a year")
}

/// The next event of this kind; others are passed over.
pub async fn next_of(watch: &mut Watch, kind: &str) -> Arc<SessionEvent> {
    loop {
        let event = next(watch).await;
        if name_of(&event.kind) == kind {
            return event;
        }
    }
}

/// The `Ended` of this key; other events are passed over.
pub async fn end_of(watch: &mut Watch, key: &str) -> Ended {
    loop {
        let event = next(watch).await;
        if let EventKind::Ended(ended) = &event.kind
            && event.key.as_str() == key
        {
            return ended.clone();
        }
    }
}

/// An event in one word, with its reason where it has one.
pub fn name_of(kind: &EventKind) -> &'static str {
    match kind {
        EventKind::Opened { .. } => "opened",
        EventKind::Warned { .. } => "warned",
        EventKind::Extended { .. } => "extended",
        EventKind::Draining { .. } => "draining",
        EventKind::WouldEnd { .. } => "would_end",
        EventKind::Ended(_) => "ended",
        EventKind::StartFailed { .. } => "start_failed",
        _ => "new",
    }
}

/// The reason in an event that has one.
pub fn reason_of(kind: &EventKind) -> Option<EndReason> {
    match kind {
        EventKind::Warned { reason, .. } | EventKind::Draining { reason, .. } | EventKind::WouldEnd { reason, .. } => {
            Some(*reason)
        }
        EventKind::Ended(ended) => Some(ended.reason),
        _ => None,
    }
}

/// Runs this in the session, as a message that counts, and returns what it says.
pub async fn inside<T: Send + 'static>(
    addr: &Addr<Probe>,
    job: impl FnOnce(&mut Probe, &mut SessionContext<Probe>) -> T + Send + 'static,
) -> T {
    let (answer, answered) = oneshot::channel();
    addr.send(Run::new(move |act, ctx| drop(answer.send(job(act, ctx))))).await.unwrap();
    answered.await.unwrap()
}

/// Waits, in real time, until this holds: for what follows an event on another thread.
pub async fn until(holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waiting).await.expect("it never came to hold");
}
