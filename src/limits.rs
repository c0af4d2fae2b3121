//! How long a session may idle, live, work and drain.

use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::{
    checkpoint::Checkpoint,
    policy::{PolicyError, PolicyPlace},
};

/// How long a session may idle, live, work and drain, as far as it is said here.
///
/// What is left out comes from above: for a rule from the policy's limits, for those from the
/// defaults named at each setter. Setters take a [`Duration`], or `None` for *never*. A zero is
/// refused where the limits are put to use.
///
/// ```
/// use std::time::Duration;
/// use session_actors::Limits;
///
/// let patient = Limits::new().idle_timeout(Duration::from_secs(4 * 3600)).max_age(None);
/// # let _ = patient;
/// ```
///
/// Serializes as the settings that are made, durations as text (`"1h 30m"`, `"never"`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Limits {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) idle_timeout: Option<Limit>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_age: Option<Limit>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_busy: Option<Limit>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) warn_before: Option<Limit>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) drain_timeout: Option<Limit>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) passivate_after: Option<Limit>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) checkpoint: Option<Checkpoint>,
}

impl Limits {
    /// No limit said: all of them come from above.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A session that never expires: `idle_timeout` and `max_age` are never, the others come from
    /// above.
    #[must_use]
    pub fn never() -> Self {
        Self::new().idle_timeout(None).max_age(None)
    }

    /// How long a session may be idle, neither busy nor addressed, before it ends as `IdleTimeout`.
    /// Defaults to 1 hour.
    #[must_use]
    pub fn idle_timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.idle_timeout = Some(Limit::from(limit.into()));
        self
    }

    /// How long after it was opened a session is drained as `MaxAge`, whatever its traffic.
    /// Defaults to 24 hours.
    #[must_use]
    pub fn max_age(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.max_age = Some(Limit::from(limit.into()));
        self
    }

    /// How long a session may be busy without any piece of its work beginning or ending before it
    /// is ended as `Stuck`. Defaults to never.
    #[must_use]
    pub fn max_busy(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.max_busy = Some(Limit::from(limit.into()));
        self
    }

    /// How long before the nearer of idle timeout and max age a session is warned; must be below
    /// both. Defaults to never.
    #[must_use]
    pub fn warn_before(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.warn_before = Some(Limit::from(limit.into()));
        self
    }

    /// How long a draining session may finish its work before the rest is cut. Never waits however
    /// long it takes. Defaults to 30 seconds.
    #[must_use]
    pub fn drain_timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.drain_timeout = Some(Limit::from(limit.into()));
        self
    }

    /// How long a session may be idle, neither busy nor addressed, before it is saved and leaves memory; the next
    /// message brings it back. Of no effect unless it is below `idle_timeout`. Needs a store. Defaults to never.
    #[must_use]
    pub fn passivate_after(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.passivate_after = Some(Limit::from(limit.into()));
        self
    }

    /// When its state is saved. Anything but [`Checkpoint::End`], the default, needs a store.
    #[must_use]
    pub fn checkpoint(mut self, checkpoint: Checkpoint) -> Self {
        self.checkpoint = Some(checkpoint);
        self
    }

    /// These limits as a session sets them for itself: with those of `base`, which are the policy's
    /// for its key, where they say nothing; refused if they make no sense together.
    pub(crate) fn checked_over(&self, base: &EffectiveLimits) -> Result<EffectiveLimits, PolicyError> {
        let limits = self.over(base);
        limits.check(&PolicyPlace::Session)?;
        Ok(limits)
    }

    /// These limits, with those of `base` where they say nothing. To be checked before use.
    pub(crate) fn over(&self, base: &EffectiveLimits) -> EffectiveLimits {
        let Self { idle_timeout, max_age, max_busy, warn_before, drain_timeout, passivate_after, checkpoint } = *self;
        EffectiveLimits {
            idle_timeout: idle_timeout.map_or(base.idle_timeout, Option::from),
            max_age: max_age.map_or(base.max_age, Option::from),
            max_busy: max_busy.map_or(base.max_busy, Option::from),
            warn_before: warn_before.map_or(base.warn_before, Option::from),
            drain_timeout: drain_timeout.map_or(base.drain_timeout, Option::from),
            passivate_after: passivate_after.map_or(base.passivate_after, Option::from),
            checkpoint: checkpoint.unwrap_or(base.checkpoint),
        }
    }
}

/// One limit that was said. An enum of its own and not an `Option`, so that *never* and *not said*
/// cannot be mistaken for one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    Never,
    After(Duration),
}

impl From<Option<Duration>> for Limit {
    fn from(limit: Option<Duration>) -> Self {
        limit.map_or(Self::Never, Self::After)
    }
}

impl From<Limit> for Option<Duration> {
    fn from(limit: Limit) -> Self {
        match limit {
            Limit::Never => None,
            Limit::After(duration) => Some(duration),
        }
    }
}

impl Serialize for Limit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Never => serializer.serialize_str(NEVER),
            Self::After(duration) => serializer.collect_str(&humantime::format_duration(*duration)),
        }
    }
}

/// How an operator writes that a limit is off.
pub(crate) const NEVER: &str = "never";

/// The limits a session lives by. `None` is *never*.
///
/// Serializes durations as text (`"1h 30m"`, `"never"`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct EffectiveLimits {
    /// How long it may be idle.
    #[serde(serialize_with = "as_limit")]
    pub idle_timeout: Option<Duration>,
    /// How long it may live, from `open` on.
    #[serde(serialize_with = "as_limit")]
    pub max_age: Option<Duration>,
    /// How long its work may make no progress.
    #[serde(serialize_with = "as_limit")]
    pub max_busy: Option<Duration>,
    /// How long before the nearer of `idle_timeout` and `max_age` it is warned.
    #[serde(serialize_with = "as_limit")]
    pub warn_before: Option<Duration>,
    /// How long it may go on working once it is to end.
    #[serde(serialize_with = "as_limit")]
    pub drain_timeout: Option<Duration>,
    /// How long it may be idle before it is saved and leaves memory.
    #[serde(serialize_with = "as_limit")]
    pub passivate_after: Option<Duration>,
    /// When its state is saved.
    pub checkpoint: Checkpoint,
}

fn as_limit<S: Serializer>(limit: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    Limit::from(*limit).serialize(serializer)
}

/// 1 hour idle, 24 hours old, 30 seconds of draining; `max_busy`, `warn_before` and `passivate_after` never; saved at
/// the end, where there is a store.
impl Default for EffectiveLimits {
    fn default() -> Self {
        Self {
            idle_timeout: Some(Duration::from_secs(60 * 60)),
            max_age: Some(Duration::from_secs(24 * 60 * 60)),
            max_busy: None,
            warn_before: None,
            drain_timeout: Some(Duration::from_secs(30)),
            passivate_after: None,
            checkpoint: Checkpoint::End,
        }
    }
}

impl EffectiveLimits {
    /// Refuses zeros, and a warning that is not below what it warns of. What the limits are made
    /// from is not checked before: only all of them together can be right or wrong.
    pub(crate) fn check(&self, place: &PolicyPlace) -> Result<(), PolicyError> {
        let Self { idle_timeout, max_age, max_busy, warn_before, drain_timeout, passivate_after, checkpoint } = *self;
        let interval = match checkpoint {
            Checkpoint::Every(interval) => Some(interval),
            Checkpoint::End | Checkpoint::Always => None,
        };
        for (field, limit) in [
            ("idle_timeout", idle_timeout),
            ("max_age", max_age),
            ("max_busy", max_busy),
            ("warn_before", warn_before),
            ("drain_timeout", drain_timeout),
            ("passivate_after", passivate_after),
            ("checkpoint", interval),
        ] {
            if limit == Some(Duration::ZERO) {
                return Err(PolicyError::ZeroDuration { place: place.clone(), field });
            }
        }
        for (field, limit) in [("idle_timeout", idle_timeout), ("max_age", max_age)] {
            if let (Some(warn_before), Some(limit)) = (warn_before, limit)
                && warn_before >= limit
            {
                let place = place.clone();
                return Err(PolicyError::WarnNotBelow { place, warn_before, field, limit });
            }
        }
        Ok(())
    }

    /// Refuses what only a registry with a store can do.
    pub(crate) fn check_without_store(&self, place: &PolicyPlace) -> Result<(), PolicyError> {
        let field = if self.passivate_after.is_some() {
            "passivate_after"
        } else if self.checkpoint != Checkpoint::End {
            "checkpoint"
        } else {
            return Ok(());
        };
        Err(PolicyError::NoStore { place: place.clone(), field })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_session_sets_is_checked_together_with_what_it_inherits() {
        let minute = Duration::from_secs(60);
        let base = Limits::new().warn_before(minute).over(&EffectiveLimits::default());

        let set = Limits::new().idle_timeout(2 * minute).checked_over(&base).unwrap();
        assert_eq!(set, EffectiveLimits { idle_timeout: Some(2 * minute), ..base });

        let error = Limits::new().idle_timeout(minute).checked_over(&base).unwrap_err();
        assert_eq!(
            error.to_string(),
            "limits set by the session: warn_before (1m) is not below idle_timeout (1m); give warn_before a shorter \
             time here, or pass None for no warning"
        );
        let error = Limits::new().max_busy(Duration::ZERO).checked_over(&base).unwrap_err();
        assert_eq!(error.to_string(), "limits set by the session: max_busy is zero; pass None to switch it off");
    }
}
