//! The one clock of a registry.
//!
//! Everything is measured on tokio's monotonic clock, so that a paused clock tests hours in milliseconds. The system
//! clock is read once, when the registry starts; every wall time shown later is that reading plus monotonic time. So
//! times of one registry agree with each other even if somebody sets the system clock, at the price of not following
//! such a correction.
//!
//! Moments are counted from 1970, so that what a stored session remembers of an earlier run is one as well.

use std::{
    future::pending,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::time::{Instant, sleep_until};

use crate::moment::Moment;

/// Where a registry's time begins, on both clocks.
#[derive(Debug)]
pub(crate) struct Clock {
    start: Instant,
    /// The wall time of `start`, in nanoseconds since 1970.
    epoch: u64,
    /// The moment of `start`: the same in whole milliseconds, so that an alarm of so many of them falls on a tick of
    /// the wheel.
    begin: u64,
}

impl Clock {
    /// Reads both clocks, once.
    pub(crate) fn new() -> Self {
        Self::starting(Instant::now(), SystemTime::now())
    }

    fn starting(start: Instant, wall: SystemTime) -> Self {
        // A machine whose clock was never set may be before 1970, which RFC 3339 by humantime cannot write (it panics).
        let since = wall.duration_since(UNIX_EPOCH).unwrap_or_default();
        let epoch = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
        Self { start, epoch, begin: epoch - epoch % 1_000_000 }
    }

    /// The present.
    #[inline]
    pub(crate) fn now(&self) -> Moment {
        self.moment(Instant::now())
    }

    /// What lies before the clock's begin counts as its begin.
    #[inline]
    pub(crate) fn moment(&self, at: Instant) -> Moment {
        let since = at.saturating_duration_since(self.start).as_nanos();
        Moment::of_nanos(self.begin.saturating_add(u64::try_from(since).unwrap_or(u64::MAX)))
    }

    /// The way back; a moment of an earlier run is the clock's begin.
    pub(crate) fn instant(&self, at: Moment) -> Instant {
        // Cannot overflow: instants reach billions of years, moments only centuries.
        self.start + Duration::from_nanos(at.nanos().saturating_sub(self.begin))
    }

    /// The wall time to a millisecond, derived: the system clock is not read again.
    pub(crate) fn wall(&self, at: Moment) -> SystemTime {
        UNIX_EPOCH + Duration::from_nanos(at.nanos())
    }

    /// The moment of a wall time.
    #[cfg(feature = "store")]
    pub(crate) fn of_wall(&self, at: SystemTime) -> Moment {
        let since = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        Moment::of_nanos(u64::try_from(since).unwrap_or(u64::MAX))
    }

    /// The wall time of the start in nanoseconds since 1970: what tells the event ids of this registry from those of
    /// an earlier run, and of another that was started in the same millisecond.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }
}

/// Resolves at this instant; `None` is never.
pub(crate) async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_instant_survives_the_way_through_a_moment() {
        let clock = Clock::new();
        tokio::time::advance(Duration::from_nanos(1_234_567_891)).await;

        assert_eq!(clock.now().nanos() - clock.begin, 1_234_567_891);
        assert_eq!(clock.instant(clock.now()), Instant::now());
    }

    #[tokio::test(start_paused = true)]
    async fn wall_time_is_the_first_reading_plus_monotonic_time() {
        let wall = UNIX_EPOCH + Duration::from_nanos(1_700_000_000_123_456_789);
        let clock = Clock::starting(Instant::now(), wall);
        tokio::time::advance(Duration::from_secs(3_600)).await;

        assert_eq!(clock.wall(clock.now()), wall + Duration::from_secs(3_600) - Duration::from_nanos(456_789));
        assert_eq!(clock.epoch(), 1_700_000_000_123_456_789);
    }

    #[tokio::test(start_paused = true)]
    async fn what_lies_before_the_start_counts_as_the_start() {
        let early = Instant::now();
        tokio::time::advance(Duration::from_secs(1)).await;
        let clock = Clock::new();

        assert_eq!(clock.moment(early).nanos(), clock.begin);
        assert_eq!(clock.instant(Moment::of_nanos(0)), Instant::now());
    }

    #[test]
    fn two_clocks_that_start_together_have_epochs_of_their_own() {
        // As near to each other as the coarsest of system clocks tells two instants apart.
        let (start, wall) = (Instant::now(), SystemTime::now());
        let epoch = |since| Clock::starting(start, wall + since).epoch();
        assert_ne!(epoch(Duration::ZERO), epoch(Duration::from_micros(1)));
    }

    #[test]
    fn a_system_clock_before_1970_reads_as_1970() {
        let clock = Clock::starting(Instant::now(), UNIX_EPOCH - Duration::from_secs(1));
        assert_eq!(clock.epoch(), 0);
    }
}
