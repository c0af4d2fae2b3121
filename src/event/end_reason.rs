//! Why a session ended.

use std::fmt;

use serde::Serialize;

/// Why a session ended, or why it is going to.
///
/// `as_str`, `Display` and serde agree on the name in snake case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EndReason {
    /// Nothing that counts happened for `idle_timeout`, and no work was in flight.
    IdleTimeout,
    /// It lived for `max_age`, whatever its traffic.
    MaxAge,
    /// Its work made no progress for `max_busy`: no piece begun, none ended.
    Stuck,
    /// Closed through the registry.
    Closed,
    /// It stopped itself with `ctx.stop()`.
    Stopped,
    /// At capacity, it made room for a newcomer as the longest-idle session.
    Evicted,
    /// A handler, hook, timer or stream of it panicked.
    Panicked,
    /// The registry shut down.
    Shutdown,
    /// Its task was dropped from outside, for example because its arbiter stopped. `stopping` and
    /// `stopped` ran, outside of any runtime.
    Aborted,
}

impl EndReason {
    /// Every reason, in the order of the variants.
    pub const ALL: &'static [Self] = &[
        Self::IdleTimeout,
        Self::MaxAge,
        Self::Stuck,
        Self::Closed,
        Self::Stopped,
        Self::Evicted,
        Self::Panicked,
        Self::Shutdown,
        Self::Aborted,
    ];

    /// Whether a deadline of the session's own limits ended it, which may have been [late](super::Ended::late).
    #[must_use]
    pub const fn is_deadline(self) -> bool {
        matches!(self, Self::IdleTimeout | Self::MaxAge | Self::Stuck)
    }

    /// The name in snake case: for logs, labels of metrics, JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::IdleTimeout => "idle_timeout",
            Self::MaxAge => "max_age",
            Self::Stuck => "stuck",
            Self::Closed => "closed",
            Self::Stopped => "stopped",
            Self::Evicted => "evicted",
            Self::Panicked => "panicked",
            Self::Shutdown => "shutdown",
            Self::Aborted => "aborted",
        }
    }
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_names_agree_and_are_distinct() {
        for (index, &reason) in EndReason::ALL.iter().enumerate() {
            assert_eq!(reason as usize, index, "{reason} is out of order");
            assert_eq!(serde_json::to_string(&reason).unwrap(), format!("\"{reason}\""));
        }
        // `Aborted` is the last variant: with the indices above, `ALL` has every one.
        assert_eq!(EndReason::ALL.len(), EndReason::Aborted as usize + 1);
    }

    #[test]
    fn a_reason_can_be_aligned_in_a_table() {
        assert_eq!(format!("{:<8}|", EndReason::Stuck), "stuck   |");
    }
}
