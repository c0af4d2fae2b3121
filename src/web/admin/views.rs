//! What is answered, as it is described.

use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use super::shown::Shown;
use crate::{Checkpoint, EffectiveLimits, Phase, SessionInfo};

/// A session in memory. Times are in milliseconds.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Session)]
pub(super) struct SessionView {
    /// As it is shown: plain, or hashed.
    key: String,
    /// Which incarnation of the key.
    id: u64,
    phase: PhaseView,
    /// RFC 3339.
    #[schema(format = DateTime)]
    opened_at: String,
    age_ms: u64,
    /// Zero while work is in flight.
    idle_ms: u64,
    /// Messages.
    handled: u64,
    /// Pieces of work.
    in_flight: u32,
    /// Since its work last made progress; null if none is in flight. RFC 3339.
    #[schema(format = DateTime, required)]
    busy_since: Option<String>,
    /// Until its nearest deadline as things stand; null if none is set.
    #[schema(required)]
    expires_in_ms: Option<u64>,
    /// The whole of the time of which that is left, since it was active, or was opened; null if it is draining.
    #[schema(required)]
    expires_of_ms: Option<u64>,
    limits: LimitsView,
    /// Where its limits come from: `default`, `exclude main`, `rule 1: hook:*`, `session`.
    rule: String,
    /// Which arbiter it runs on.
    host: usize,
}

/// Whether it serves, or finishes what it has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, serde::Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = Phase)]
pub(super) enum PhaseView {
    Active,
    Draining,
}

impl From<Phase> for PhaseView {
    fn from(phase: Phase) -> Self {
        match phase {
            Phase::Active => Self::Active,
            Phase::Draining => Self::Draining,
        }
    }
}

/// Durations as text, such as `1h 30m`, or `never`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Limits)]
pub(super) struct LimitsView {
    #[schema(value_type = String)]
    idle_timeout: Text,
    #[schema(value_type = String)]
    max_age: Text,
    #[schema(value_type = String)]
    max_busy: Text,
    #[schema(value_type = String)]
    warn_before: Text,
    #[schema(value_type = String)]
    drain_timeout: Text,
    #[schema(value_type = String)]
    passivate_after: Text,
    /// `end`, `always`, or a duration.
    #[schema(value_type = String)]
    checkpoint: Checkpoint,
}

#[derive(Debug)]
pub(super) struct Text(Option<Duration>);

impl Serialize for Text {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Some(duration) => serializer.collect_str(&humantime::format_duration(duration)),
            None => serializer.serialize_str("never"),
        }
    }
}

impl From<EffectiveLimits> for LimitsView {
    fn from(limits: EffectiveLimits) -> Self {
        Self {
            idle_timeout: Text(limits.idle_timeout),
            max_age: Text(limits.max_age),
            max_busy: Text(limits.max_busy),
            warn_before: Text(limits.warn_before),
            drain_timeout: Text(limits.drain_timeout),
            passivate_after: Text(limits.passivate_after),
            checkpoint: limits.checkpoint,
        }
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The time of which `expires_in` is left.
fn whole(info: &SessionInfo) -> Option<Duration> {
    let left = info.expires_in.filter(|_| matches!(info.phase, Phase::Active))?;
    let age_left = info.limits.max_age.map(|limit| limit.saturating_sub(info.age));
    let by_idle = info.in_flight == 0 && info.limits.idle_timeout.is_some() && age_left.is_none_or(|age| left < age);
    Some(left.saturating_add(if by_idle { info.idle } else { info.age }))
}

impl SessionView {
    pub(super) fn of(info: SessionInfo, shown: &Shown) -> Self {
        Self {
            key: shown.show(info.key.as_str()),
            id: info.id.get(),
            phase: info.phase.into(),
            opened_at: humantime::format_rfc3339_millis(info.opened_at).to_string(),
            age_ms: millis(info.age),
            idle_ms: millis(info.idle),
            handled: info.handled,
            in_flight: info.in_flight,
            busy_since: info.busy_since.map(|at| humantime::format_rfc3339_millis(at).to_string()),
            expires_in_ms: info.expires_in.map(millis),
            expires_of_ms: whole(&info).map(millis),
            limits: info.limits.into(),
            rule: info.rule.to_string(),
            host: info.host,
        }
    }
}
