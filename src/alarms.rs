//! The alarms of the sessions on one thread.
//!
//! A session has one alarm, set at its nearest deadline. tokio would give each a `Sleep` of its own: 112 bytes, a lock
//! of the runtime's, and all that are due in one instant woken in one go, a million of them before anybody else has a
//! turn. Here an alarm is two words in the session's vitals and one in a timing wheel that only its own thread touches;
//! one task drives that, with one `Sleep`, and rings a few at a time, so that whatever else the thread does passes
//! between.
//!
//! An alarm is a hint, never a verdict: it wakes the session, which looks at the clock. It rings at the first tick of
//! the wheel that is not before its deadline, so never early; tokio, whose ticks are milliseconds, adds up to one.

use std::{
    cell::{Cell, RefCell},
    rc::{Rc, Weak},
    sync::Arc,
    time::Duration,
};

use tokio::{sync::Notify, task::yield_now, time::Instant};

use self::wheel::{Entry, Place, Step, Wheel};
use crate::{
    clock::{Clock, until},
    moment::Moment,
    session::vitals::Vitals,
    session::wishes::Wishes,
};

mod wheel;

/// Nanoseconds of a tick of the wheel. A whole number of them is a millisecond, so that nothing is added to a deadline
/// that is a whole number of those.
const TICK: u64 = 250_000;
/// Alarms rung before others have a turn: as many sessions may end then, each of which takes some microseconds.
const RUNG_AT_ONCE: u32 = 64;
/// How many may be moved in the wheel instead of ringing one.
const MOVED_FOR_ONE: u32 = 16;
/// No look is due.
const NEVER: u64 = u64::MAX;
/// When nothing has come that is to be tidied up for so long, there is time for it.
const QUIET: Duration = Duration::from_secs(1);

impl Entry for Arc<Vitals> {
    fn due(&self) -> u64 {
        self.alarm().map_or(NEVER, |at| at.nanos().div_ceil(TICK))
    }

    fn place(&self) -> Place {
        Place::of_bits(self.alarm_place())
    }

    fn set_place(&self, place: Place) {
        self.set_alarm_place(place.bits());
    }
}

/// The alarms of one host's sessions.
pub(crate) struct Alarms {
    clock: Arc<Clock>,
    wheel: RefCell<Wheel<Arc<Vitals>>>,
    /// The tick by which the task that drives them looks at the wheel.
    looks_at: Cell<u64>,
    /// What it knows to be tidied up.
    untidied: Cell<Option<u64>>,
    /// Tells it that it has to look earlier, or that nobody is left.
    news: Rc<Notify>,
}

impl Alarms {
    /// On this thread, which runs the task that drives them, in a `LocalSet`.
    pub(crate) fn run(clock: Arc<Clock>) -> Rc<Self> {
        let news = Rc::new(Notify::new());
        let (wheel, looks_at) = (RefCell::new(Wheel::new()), Cell::new(NEVER));
        let alarms = Rc::new(Self { clock, wheel, looks_at, untidied: Cell::new(None), news: Rc::clone(&news) });
        actix::spawn(drive(Rc::downgrade(&alarms), news));
        alarms
    }

    /// Wakes the session at `at` with the wish that says so, and no more at what was set before.
    pub(crate) fn set(&self, vitals: &Arc<Vitals>, at: Moment) {
        let mut wheel = self.wheel.borrow_mut();
        let entry = wheel.remove(vitals).unwrap_or_else(|| Arc::clone(vitals));
        entry.set_alarm(Some(at));
        let due = entry.due();
        wheel.insert(entry);
        if due < self.looks_at.get() {
            self.looks_at.set(due);
            self.news.notify_one();
        }
    }

    /// It does not ring any more.
    pub(crate) fn unset(&self, vitals: &Arc<Vitals>) {
        // Dropped when the wheel is free again; the look that was meant for it does no harm.
        let removed = self.wheel.borrow_mut().remove(vitals);
        vitals.set_alarm(None);
        drop(removed);
        let untidied = self.wheel.borrow().untidied();
        if untidied.is_some() && untidied != self.untidied.replace(untidied) {
            // Or a thread on which nothing is due any more would not look.
            self.news.notify_one();
        }
    }

    /// Rings what is due. `None` if there may be more; otherwise the next tick to look at.
    fn ring(&self) -> Option<u64> {
        let now = self.clock.now().nanos() / TICK;
        let mut left = RUNG_AT_ONCE * MOVED_FOR_ONE;
        while left > 0 {
            let step = self.wheel.borrow_mut().step(now);
            match step {
                Step::Due(vitals) => {
                    vitals.set_alarm(None);
                    vitals.wish(Wishes::ALARM);
                    left = left.saturating_sub(MOVED_FOR_ONE);
                }
                Step::Moved => left -= 1,
                Step::Idle(next) => {
                    let next = next.unwrap_or(NEVER);
                    self.looks_at.set(next);
                    return Some(next);
                }
            }
        }
        None
    }
}

impl Drop for Alarms {
    fn drop(&mut self) {
        self.news.notify_one();
    }
}

impl std::fmt::Debug for Alarms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Alarms").field("looks_at", &self.looks_at).finish_non_exhaustive()
    }
}

/// Until the last session and the host have gone.
async fn drive(weak: Weak<Alarms>, news: Rc<Notify>) {
    // When to tidy up, unless there is more to tidy by then than this.
    let mut tidy: Option<(Instant, u64)> = None;
    while let Some(alarms) = weak.upgrade() {
        let next = alarms.ring();
        let wake_at = next.filter(|next| *next != NEVER).map(|next| {
            // Cannot overflow: the wheel ends before the clock.
            alarms.clock.instant(Moment::of_nanos(next.saturating_mul(TICK)))
        });
        let untidied = alarms.wheel.borrow().untidied();
        drop(alarms);
        if next.is_none() {
            // Wakes this task when the runtime has looked at timers and sockets.
            yield_now().await;
            continue;
        }
        if tidy.map(|(_, untidied)| untidied) != untidied {
            tidy = untidied.map(|untidied| (Instant::now() + QUIET, untidied));
        }
        tokio::select! {
            () = until(wake_at) => {}
            () = news.notified() => {}
            () = until(tidy.map(|(at, _)| at)) => {
                // One piece, then others have a turn.
                let room = weak.upgrade().and_then(|alarms| alarms.wheel.borrow_mut().tidy());
                drop(room);
                yield_now().await;
            }
        }
    }
}
