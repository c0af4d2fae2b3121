//! The one clock of a registry.
//!
//! Everything is measured on tokio's monotonic clock, so that a paused clock tests hours in milliseconds. The system
//! clock is read once, when the registry starts; every wall time shown later is that reading plus monotonic time. So
//! times of one registry agree with each other even if somebody sets the system clock, at the price of not following
//! such a correction.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// Where a registry's time begins, on both clocks.
#[derive(Debug)]
pub(crate) struct Clock {
    start: Instant,
    wall: SystemTime,
}

impl Clock {
    /// Reads both clocks, once.
    pub(crate) fn new() -> Self {
        Self::starting(Instant::now(), SystemTime::now())
    }

    fn starting(start: Instant, wall: SystemTime) -> Self {
        // A machine whose clock was never set may be before 1970, which RFC 3339 by humantime cannot write (it panics).
        Self { start, wall: wall.max(UNIX_EPOCH) }
    }

    /// The present. A method so that a caller who has the clock reads this one and no other.
    pub(crate) fn now(&self) -> Instant {
        Instant::now()
    }

    /// The time since the registry's start in nanoseconds, for storing an instant in an atomic; 0 for anything earlier.
    ///
    /// Never `u64::MAX`, which callers may use for "never". It would take 584 years to get there.
    pub(crate) fn nanos(&self, instant: Instant) -> u64 {
        let since = instant.saturating_duration_since(self.start).as_nanos();
        u64::try_from(since).unwrap_or(u64::MAX).min(u64::MAX - 1)
    }

    /// The way back from [`nanos`](Self::nanos). A caller's "never" must be sorted out before.
    pub(crate) fn instant(&self, nanos: u64) -> Instant {
        // Cannot overflow: instants reach billions of years, `u64` nanoseconds only centuries.
        self.start + Duration::from_nanos(nanos)
    }

    /// The wall time of an instant, derived: the system clock is not read again.
    pub(crate) fn wall(&self, instant: Instant) -> SystemTime {
        self.wall + instant.saturating_duration_since(self.start)
    }

    /// The wall time of the start in milliseconds since 1970: what tells the event ids of this registry from those of
    /// an earlier run.
    pub(crate) fn epoch(&self) -> u64 {
        let since = self.wall.duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_instant_survives_the_way_through_nanoseconds() {
        let clock = Clock::new();
        tokio::time::advance(Duration::from_nanos(1_234_567_891)).await;
        let now = clock.now();

        assert_eq!(clock.nanos(now), 1_234_567_891);
        assert_eq!(clock.instant(clock.nanos(now)), now);
    }

    #[tokio::test(start_paused = true)]
    async fn wall_time_is_the_first_reading_plus_monotonic_time() {
        let wall = UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
        let clock = Clock::starting(Instant::now(), wall);
        tokio::time::advance(Duration::from_secs(3_600)).await;

        assert_eq!(clock.wall(clock.now()), wall + Duration::from_secs(3_600));
        assert_eq!(clock.epoch(), 1_700_000_000_123);
    }

    #[tokio::test(start_paused = true)]
    async fn what_lies_before_the_start_counts_as_the_start() {
        let early = Instant::now();
        tokio::time::advance(Duration::from_secs(1)).await;
        let clock = Clock::new();

        assert_eq!(clock.nanos(early), 0);
        assert_eq!(clock.wall(early), clock.wall(clock.now()));
    }

    #[test]
    fn a_system_clock_before_1970_reads_as_1970() {
        let clock = Clock::starting(Instant::now(), UNIX_EPOCH - Duration::from_secs(1));
        assert_eq!(clock.epoch(), 0);
    }

    #[test]
    fn never_is_not_a_time() {
        let clock = Clock::new();
        let far = clock.instant(u64::MAX);
        assert_eq!(clock.nanos(far), u64::MAX - 1);
    }
}
