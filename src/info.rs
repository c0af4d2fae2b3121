//! What can be seen of a live session from outside.

use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::{
    event::{Phase, SessionId},
    key::SessionKey,
    limits::EffectiveLimits,
    millis,
    rules::AppliedRule,
};

/// A live session as it was when somebody looked. Looking is no activity.
///
/// Each field is right by itself; the session goes on while they are read one after the other, so two of them may be a
/// moment apart.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct SessionInfo {
    /// Its key.
    pub key: SessionKey,
    /// Which incarnation of the key.
    pub id: SessionId,
    /// Whether it serves or is finishing.
    pub phase: Phase,
    /// When it was opened.
    #[serde(with = "humantime_serde")]
    pub opened_at: SystemTime,
    /// How long ago that was.
    #[serde(rename = "age_ms", serialize_with = "millis::serialize")]
    pub age: Duration,
    /// How long it has been idle: since the later of its last activity that counts and the end of its last piece of
    /// work; zero while work is in flight.
    #[serde(rename = "idle_ms", serialize_with = "millis::serialize")]
    pub idle: Duration,
    /// Messages handled so far.
    pub handled: u64,
    /// Pieces of work in flight: replies pending, holds, a `ctx.wait`.
    pub in_flight: u32,
    /// When its work last made progress, a piece begun or ended: `max_busy` counts from there. `None` if nothing is in
    /// flight.
    #[serde(with = "humantime_serde")]
    pub busy_since: Option<SystemTime>,
    /// The time until its nearest deadline as things stand. `None` if none is set.
    #[serde(rename = "expires_in_ms", serialize_with = "millis::serialize_option")]
    pub expires_in: Option<Duration>,
    /// The limits in force.
    pub limits: EffectiveLimits,
    /// Where they come from.
    pub rule: AppliedRule,
    /// The number of the host it runs on, from 0: one host per arbiter.
    pub host: usize,
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use serde_json::json;

    use super::*;

    #[test]
    fn an_info_is_written_flat_and_absent_things_as_null() {
        let mut info = SessionInfo {
            key: SessionKey::new("user:7").unwrap(),
            id: SessionId::new(3),
            phase: Phase::Active,
            opened_at: UNIX_EPOCH + Duration::from_secs(1_700_000_000),
            age: Duration::from_secs(60),
            idle: Duration::from_millis(1_500),
            handled: 12,
            in_flight: 0,
            busy_since: None,
            expires_in: None,
            limits: EffectiveLimits::default(),
            rule: AppliedRule::Default,
            host: 1,
        };
        let mut expected = json!({
            "key": "user:7", "id": 3, "phase": "active", "opened_at": "2023-11-14T22:13:20Z",
            "age_ms": 60_000, "idle_ms": 1_500,
            "handled": 12, "in_flight": 0, "busy_since": null, "expires_in_ms": null,
            "limits": json!(info.limits), "rule": json!(info.rule), "host": 1,
        });
        assert_eq!(json!(info), expected);

        info.phase = Phase::Draining;
        info.busy_since = Some(UNIX_EPOCH + Duration::from_millis(1_700_000_030_250));
        info.expires_in = Some(Duration::from_secs(30));
        expected["phase"] = json!("draining");
        expected["busy_since"] = json!("2023-11-14T22:13:50.250000000Z");
        expected["expires_in_ms"] = json!(30_000);
        assert_eq!(json!(info), expected);
    }
}
