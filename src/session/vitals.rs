//! What other threads may see of a session and ask of it.
//!
//! Ground rules: the session's own task writes the published figures, with plain relaxed stores,
//! once per poll at most; they are figures for people and for choosing whom to evict, and nothing
//! is decided by reading two of them together. The exceptions have several writers and say so:
//! `last_activity` (openers as well), `holds` (guards), `wishes` (whoever asks for an end), `victim`
//! (whoever makes room).

mod seen;

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering, fence},
    },
    task::Waker,
    time::Duration,
};

use parking_lot::Mutex;

use super::{holds::Holds, victim::Victim, wishes::Wishes};
use crate::{event::SessionId, key::SessionKey, moment::Moment, rules::Ruling};

/// No instant: a limit that is off, a session that is not busy.
const NEVER: u64 = u64::MAX;

/// Where an incarnation stands, seen from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum VitalPhase {
    /// Accepted, not started yet.
    Starting = 0,
    Active = 2,
    Draining = 3,
    Ended = 4,
}

/// Still `Starting`, but its time has begun to run.
const BEGUN: u8 = 1;

/// The shared record of one incarnation.
///
/// What a message touches comes first and is half a line of the processor's cache, so that it is one of them in three
/// places of four where an allocator may put it.
#[repr(C)]
pub(crate) struct Vitals {
    wishes: AtomicU16,
    phase: AtomicU8,
    victim: Victim,
    holds: Holds,
    last_activity: AtomicU64,
    handled: AtomicU64,
    /// What the alarm is set at; of the session's own thread, as `alarm_place`.
    alarm: AtomicU64,
    // What is seldom used.
    busy_since: AtomicU64,
    in_flight: AtomicU32,
    host: AtomicU16,
    /// It has been warned of a deadline: an `open` then begins another approach.
    warned: AtomicBool,
    /// Where its host's wheel keeps the alarm.
    alarm_place: AtomicU64,
    waker: OnceLock<Waker>,
    opened: AtomicU64,
    /// The end that no activity moves: max age, or the hard end of a drain.
    fixed_end: AtomicU64,
    /// Until when an idle end was put off; 0 if it was not.
    extended: AtomicU64,
    /// Since when its limits are what they are; from when it begins to end, how long after its deadline that was.
    late: AtomicU64,
    /// Until when somebody outside asked for that, if the session has not heard it yet; 0 if nobody did.
    granted: AtomicU64,
    key: SessionKey,
    id: AtomicU64,
    /// `None` until the session starts.
    ruling: Mutex<Option<Arc<Ruling>>>,
}

impl std::fmt::Debug for Vitals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vitals")
            .field("key", &self.key)
            .field("id", &self.id())
            .field("phase", &self.phase())
            .finish_non_exhaustive()
    }
}

impl Vitals {
    pub(crate) fn new(key: SessionKey, id: SessionId) -> Self {
        Self {
            key,
            id: AtomicU64::new(id.get()),
            waker: OnceLock::new(),
            ruling: Mutex::new(None),
            opened: AtomicU64::new(0),
            last_activity: AtomicU64::new(0),
            fixed_end: AtomicU64::new(NEVER),
            extended: AtomicU64::new(0),
            late: AtomicU64::new(0),
            granted: AtomicU64::new(0),
            busy_since: AtomicU64::new(NEVER),
            handled: AtomicU64::new(0),
            in_flight: AtomicU32::new(0),
            holds: Holds::default(),
            host: AtomicU16::new(0),
            alarm: AtomicU64::new(NEVER),
            alarm_place: AtomicU64::new(u64::MAX),
            wishes: AtomicU16::new(0),
            phase: AtomicU8::new(VitalPhase::Starting as u8),
            victim: Victim::default(),
            warned: AtomicBool::new(false),
        }
    }

    pub(crate) fn key(&self) -> &SessionKey {
        &self.key
    }

    pub(crate) fn id(&self) -> SessionId {
        SessionId::new(self.id.load(Ordering::Relaxed))
    }

    /// It is an earlier session that comes back. Before it starts: nobody has seen an id until then.
    pub(crate) fn resume(&self, id: SessionId, handled: u64) {
        self.id.store(id.get(), Ordering::Relaxed);
        self.handled.store(handled, Ordering::Relaxed);
    }

    pub(crate) fn phase(&self) -> VitalPhase {
        match self.phase.load(Ordering::Acquire) {
            0 | BEGUN => VitalPhase::Starting,
            2 => VitalPhase::Active,
            3 => VitalPhase::Draining,
            _ => VitalPhase::Ended,
        }
    }

    /// Its host is about to look at the clock for its begin: from here on an `open` has to tell when it came.
    pub(crate) fn begin(&self) {
        self.phase.store(BEGUN, Ordering::SeqCst);
    }

    /// Whether that has happened. Otherwise all its time is before it, from an instant that is not yet.
    pub(crate) fn has_begun(&self) -> bool {
        self.phase.load(Ordering::SeqCst) >= BEGUN
    }

    pub(crate) fn set_phase(&self, phase: VitalPhase) {
        self.phase.store(phase as u8, Ordering::Release);
    }

    // ---- asked from outside -------------------------------------------------------------------

    /// Asks the session for something and wakes it.
    pub(crate) fn wish(&self, wish: Wishes) {
        self.wishes.fetch_or(wish.0, Ordering::SeqCst);
        // Pairs with the fence in `wake_with`: either this sees the waker, or the first poll sees
        // the wish.
        fence(Ordering::SeqCst);
        self.wake();
    }

    /// Whether anything is asked of it; nearly always not. One relaxed load.
    #[inline]
    pub(crate) fn has_wishes(&self) -> bool {
        self.wishes.load(Ordering::Relaxed) != 0
    }

    /// Takes all wishes.
    #[inline]
    pub(crate) fn take_wishes(&self) -> Wishes {
        if !self.has_wishes() {
            return Wishes(0);
        }
        Wishes(self.wishes.swap(0, Ordering::SeqCst))
    }

    /// Remembers the task's waker, at its first poll. A task keeps one waker for life.
    pub(crate) fn wake_with(&self, waker: &Waker) {
        let _ = self.waker.set(waker.clone());
        // Pairs with the fence in `wish`.
        fence(Ordering::SeqCst);
    }

    pub(crate) fn wake(&self) {
        if let Some(waker) = self.waker.get() {
            waker.wake_by_ref();
        }
    }

    /// The key was opened while live: an address is good for `idle_timeout` from now on. Called
    /// under the entry lock, so an idle end either sees it or has already left the directory.
    pub(crate) fn touch(&self, now: Moment) {
        self.last_activity.fetch_max(now.nanos(), Ordering::Relaxed);
    }

    /// Its idle end is put off until then, at least. Called under the entry lock, as `touch`.
    pub(crate) fn grant(&self, until: Moment) {
        self.granted.fetch_max(until.nanos(), Ordering::Relaxed);
        self.wish(Wishes::EXTEND);
    }

    pub(crate) fn has_grant(&self) -> bool {
        self.granted.load(Ordering::Relaxed) != 0
    }

    pub(crate) fn take_grant(&self) -> Moment {
        Moment::of_nanos(self.granted.swap(0, Ordering::Relaxed))
    }

    pub(crate) fn set_warned(&self) {
        self.warned.store(true, Ordering::Relaxed);
    }

    pub(crate) fn has_warned(&self) -> bool {
        self.warned.load(Ordering::Relaxed)
    }

    /// Whether it goes for a newcomer.
    pub(crate) fn victim(&self) -> &Victim {
        &self.victim
    }

    // ---- holds --------------------------------------------------------------------------------

    pub(crate) fn begin_hold(&self) {
        self.holds.begin();
    }

    pub(crate) fn end_hold(&self, counted: bool) {
        self.holds.end(counted);
        self.wake();
    }

    #[inline]
    pub(crate) fn holds(&self) -> &Holds {
        &self.holds
    }

    // ---- published by the task ----------------------------------------------------------------

    pub(crate) fn set_started(&self, opened: Moment, last_activity: Moment, host: usize) {
        self.opened.store(opened.nanos(), Ordering::Relaxed);
        // It may have been opened once more meanwhile.
        self.touch(last_activity);
        self.host.store(u16::try_from(host).unwrap_or(u16::MAX), Ordering::Relaxed);
    }

    pub(crate) fn set_ruling(&self, ruling: Arc<Ruling>) {
        let old = self.ruling.lock().replace(ruling);
        drop(old);
    }

    /// The last activity. A plain store: an opener's `touch` that it overwrites is a moment older at
    /// most.
    #[inline]
    pub(crate) fn set_activity(&self, at: Moment) {
        self.last_activity.store(at.nanos(), Ordering::Relaxed);
    }

    /// One more message was given to a handler. Only the task writes it: a plain load and store.
    #[inline]
    pub(crate) fn count_handled(&self) {
        self.handled.store(self.handled() + 1, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn handled(&self) -> u64 {
        self.handled.load(Ordering::Relaxed)
    }

    pub(crate) fn set_expiry(&self, fixed_end: Option<Moment>, extended: Option<Moment>) {
        self.fixed_end.store(fixed_end.map_or(NEVER, Moment::nanos), Ordering::Relaxed);
        self.extended.store(extended.map_or(0, Moment::nanos), Ordering::Relaxed);
    }

    /// Its limits are others from here on. A deadline that has passed by them alone passes now.
    pub(crate) fn set_limits_since(&self, now: Moment) {
        self.late.store(now.nanos(), Ordering::Relaxed);
    }

    /// It begins to end because of what was due then.
    pub(crate) fn set_due(&self, due: Option<Moment>, now: Moment) {
        let since = Moment::of_nanos(self.late.load(Ordering::Relaxed));
        let late = due.map_or(Duration::ZERO, |due| now.saturating_since(due.max(since)));
        self.late.store(u64::try_from(late.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// How late that was. Only once it has begun.
    pub(crate) fn late(&self) -> Duration {
        Duration::from_nanos(self.late.load(Ordering::Relaxed))
    }

    /// How much is in flight, and since when it has made no progress.
    pub(crate) fn set_in_flight(&self, in_flight: u32, progress: Moment) {
        let since = if in_flight > 0 { progress.nanos() } else { NEVER };
        self.busy_since.store(since, Ordering::Relaxed);
        self.in_flight.store(in_flight, Ordering::Relaxed);
    }

    // ---- the alarm, for its thread alone ------------------------------------------------------

    /// What it is set at, if it has not rung.
    #[inline]
    pub(crate) fn alarm(&self) -> Option<Moment> {
        match self.alarm.load(Ordering::Relaxed) {
            NEVER => None,
            nanos => Some(Moment::of_nanos(nanos)),
        }
    }

    pub(crate) fn set_alarm(&self, at: Option<Moment>) {
        self.alarm.store(at.map_or(NEVER, Moment::nanos), Ordering::Relaxed);
    }

    pub(crate) fn alarm_place(&self) -> u64 {
        self.alarm_place.load(Ordering::Relaxed)
    }

    pub(crate) fn set_alarm_place(&self, place: u64) {
        self.alarm_place.store(place, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_news_of_an_open_does_not_move_the_idle_time_back() {
        let vitals = Vitals::new(SessionKey::new("k").unwrap(), SessionId::new(1));
        let (early, late) = (Moment::of_nanos(1), Moment::of_nanos(2));
        vitals.touch(late);
        vitals.touch(early);
        assert_eq!(vitals.last_activity(), late);
    }
}
