//! An instant of the registry's clock, in half the room.

use std::{num::NonZeroU64, time::Duration};

/// Nanoseconds since 1970, plus one so that an absent moment takes no room either. Good for 584 years.
///
/// What the lifecycle reckons with: a session keeps six of them, a message reckons with two, and
/// each is one word where an [`Instant`](tokio::time::Instant) is two that have to be carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(NonZeroU64);

impl Moment {
    /// The end of the clock.
    pub(crate) const LAST: Self = Self(NonZeroU64::MAX);

    #[inline]
    pub(crate) fn of_nanos(nanos: u64) -> Self {
        Self(NonZeroU64::MIN.saturating_add(nanos))
    }

    /// Never `u64::MAX`, which an atomic may hold for "never".
    #[inline]
    pub(crate) fn nanos(self) -> u64 {
        self.0.get() - 1
    }

    /// `None` beyond the end of the clock.
    #[inline]
    pub(crate) fn checked_add(self, duration: Duration) -> Option<Self> {
        let nanos = u64::try_from(duration.as_nanos()).ok()?;
        self.0.checked_add(nanos).map(Self)
    }

    /// `None` before its begin.
    pub(crate) fn checked_sub(self, duration: Duration) -> Option<Self> {
        let nanos = u64::try_from(duration.as_nanos()).ok()?;
        self.nanos().checked_sub(nanos).map(Self::of_nanos)
    }

    /// The time since `earlier`; zero if it is later.
    pub(crate) fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.nanos().saturating_sub(earlier.nanos()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_moment_is_a_word_and_so_is_an_absent_one() {
        assert_eq!(size_of::<Option<Moment>>(), 8);
    }

    #[test]
    fn nanoseconds_survive_the_way_through_a_moment() {
        for nanos in [0, 1, 1_234_567_891, u64::MAX - 1] {
            assert_eq!(Moment::of_nanos(nanos).nanos(), nanos);
        }
        assert_eq!(Moment::of_nanos(u64::MAX).nanos(), u64::MAX - 1, "never is not a moment");
    }

    #[test]
    fn there_is_none_beyond_either_end_of_the_clock() {
        let begin = Moment::of_nanos(0);
        assert_eq!(begin.checked_sub(Duration::from_nanos(1)), None);
        assert_eq!(begin.checked_add(SECOND).and_then(|at| at.checked_sub(SECOND)), Some(begin));
        assert_eq!(Moment::LAST.checked_add(Duration::from_nanos(1)), None);
        assert_eq!(begin.checked_add(Duration::MAX), None);
    }

    #[test]
    fn the_time_since_something_later_is_none() {
        let (early, late) = (Moment::of_nanos(1), Moment::of_nanos(1_000_000_001));
        assert_eq!(late.saturating_since(early), SECOND);
        assert_eq!(early.saturating_since(late), Duration::ZERO);
    }
}
