//! What happens to sessions, as it is told to watchers.
//!
//! Only the journal makes [`SessionEvent`]s: it alone numbers them. Nothing here knows who reports or who listens.
//!
//! The JSON of every type is flat and part of the API: an `event` tag in snake case, durations as whole milliseconds in
//! fields named `…_ms`, times as RFC 3339, ids of events as `"epoch-sequence"`. Fields that may be absent are `null`
//! then, never missing.

mod end_reason;
mod id;

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use serde::Serialize;

pub use self::{
    end_reason::EndReason,
    id::{EventId, InvalidEventId, SessionId},
};
use crate::{key::SessionKey, limits::EffectiveLimits, millis, rules::AppliedRule};

/// One thing that happened to one session.
///
/// For each session the order is `Opened`, anything else, `Ended`, once each at the ends; and a key's next session is
/// opened only after that. The exception is a session that never came to be: its only event is
/// [`StartFailed`](EventKind::StartFailed).
///
/// In between, a session that is kept in a store may leave memory and come back: `Passivated`, then nothing of it until
/// `Restored`, or `Ended` if its time comes meanwhile. After a restart of the process the first is `Restored`.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct SessionEvent {
    /// The number of the event: later events have larger ones, without gaps.
    pub id: EventId,
    /// When it was published. Derived from the registry's monotonic clock, so it never runs backwards from one event to
    /// the next.
    #[serde(with = "humantime_serde")]
    pub at: SystemTime,
    /// The key of the session.
    pub key: SessionKey,
    /// Which incarnation of the key.
    pub session: SessionId,
    /// What happened.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What can happen to a session.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum EventKind {
    /// The session is live.
    Opened {
        /// The limits it begins with.
        limits: EffectiveLimits,
        /// Where they come from.
        rule: AppliedRule,
    },
    /// A deadline is near. Once per approach: activity moves the idle deadline away, and the next approach warns again.
    Warned {
        /// As what the session would end: [`EndReason::IdleTimeout`] or [`EndReason::MaxAge`].
        reason: EndReason,
        /// The time left until then.
        #[serde(rename = "remaining_ms", serialize_with = "millis::serialize")]
        remaining: Duration,
    },
    /// The idle deadline was put off: by the session, when it came, or by
    /// [`SessionRegistry::extend`](crate::SessionRegistry::extend).
    Extended {
        /// How much it got, from now.
        #[serde(rename = "by_ms", serialize_with = "millis::serialize")]
        by: Duration,
    },
    /// The session is to end, and first finishes what it has begun; it takes no new callers.
    Draining {
        /// As what it will end, unless something worse happens while it drains.
        reason: EndReason,
        /// Pieces of work in flight.
        in_flight: u32,
    },
    /// In observe mode: a deadline has passed at which the session would have ended. It goes on.
    WouldEnd {
        /// As what it would have ended.
        reason: EndReason,
        /// Whether work was in flight, which makes the event an estimate: enforced, it would have drained first.
        busy: bool,
    },
    /// The session was saved and has left memory, at rest or because the registry shuts down. Its key's next message
    /// brings it back.
    Passivated {
        /// From opened to now.
        #[serde(rename = "age_ms", serialize_with = "millis::serialize")]
        age: Duration,
        /// Since the last activity that counts.
        #[serde(rename = "idle_ms", serialize_with = "millis::serialize")]
        idle: Duration,
        /// Pieces of work that were not finished in time: zero but at a shutdown.
        cut: u32,
        /// Messages that came too late for it, which the session that comes back handles.
        handed_over: u64,
        /// Messages that nobody will handle, as their senders were told: zero but at a shutdown.
        dropped: u64,
    },
    /// The session is back in memory.
    Restored {
        /// The limits that it goes on with.
        limits: EffectiveLimits,
        /// Where they come from.
        rule: AppliedRule,
        /// From opened to now.
        #[serde(rename = "age_ms", serialize_with = "millis::serialize")]
        age: Duration,
        /// Since the last activity that counts.
        #[serde(rename = "idle_ms", serialize_with = "millis::serialize")]
        idle: Duration,
    },
    /// The store could not do what it was asked. Nothing that it has is lost, and the registry tries again; but a
    /// session that could not be loaded was refused.
    StoreFailed {
        /// What it was asked.
        doing: StoreTask,
        /// What it said.
        error: String,
    },
    /// The session is gone; its hooks have run, unless its time came while it was in the store.
    Ended(Ended),
    /// A session could not be started. No `Opened` came before, no `Ended` comes after.
    StartFailed {
        /// What the factory or the start said, for example its panic message.
        error: String,
    },
}

/// What a store is asked to do for a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StoreTask {
    /// To give its record.
    Load,
    /// To keep its state.
    Save,
    /// To forget it, because it has ended.
    Remove,
}

impl StoreTask {
    /// Every task, in the order of the variants.
    pub const ALL: &'static [Self] = &[Self::Load, Self::Save, Self::Remove];

    /// The name in snake case: for logs, labels of metrics, JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Save => "save",
            Self::Remove => "remove",
        }
    }
}

impl fmt::Display for StoreTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How a session ended, and what it left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Ended {
    /// Why.
    pub reason: EndReason,
    /// From opened to ended.
    #[serde(rename = "age_ms", serialize_with = "millis::serialize")]
    pub age: Duration,
    /// From the last activity that counts to the end; zero if work was in flight to the last.
    #[serde(rename = "idle_ms", serialize_with = "millis::serialize")]
    pub idle: Duration,
    /// From the deadline that it passed until it began to end, which is how exact its timer was. `None` where nobody's
    /// time had come (it was closed, stopped itself and the like), and where it was in the store, which may have been
    /// while no process ran.
    #[serde(rename = "late_ms", serialize_with = "millis::serialize_option")]
    pub late: Option<Duration>,
    /// Messages taken from the mailbox and handled.
    pub handled: u64,
    /// Pieces of work in flight that were cut, so that their callers got no reply.
    pub cut: u32,
    /// Messages in the mailbox at the end that the key's next session takes.
    pub handed_over: u64,
    /// Messages in the mailbox at the end that nobody takes; their callers are told.
    pub dropped: u64,
    /// What the panic said. `None` unless the reason is [`EndReason::Panicked`].
    pub panic: Option<String>,
}

/// Where a live session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Phase {
    /// It takes messages and its deadlines run.
    ///
    /// Goes to `Draining`, or straight to its end if it is at rest.
    Active,
    /// It is to end and finishes what it has begun. Its key leads to it no more.
    ///
    /// Goes to its end: when at rest, or at `drain_timeout`.
    Draining,
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use serde_json::json;

    use super::*;

    fn written(kind: EventKind) -> String {
        let event = SessionEvent {
            id: EventId::new(1_700_000_000_000, 42),
            at: UNIX_EPOCH + Duration::from_millis(1_700_000_001_500),
            key: SessionKey::new("user:7").unwrap(),
            session: SessionId::new(3),
            kind,
        };
        serde_json::to_string(&event).unwrap()
    }

    /// The JSON of an event of [`written`], given what follows the fields that all have.
    fn expected(rest: &str) -> String {
        format!(
            r#"{{"id":"1700000000000-42","at":"2023-11-14T22:13:21.500000000Z","key":"user:7","session":3,{rest}}}"#
        )
    }

    #[test]
    fn opened_is_written_with_its_limits_and_their_origin() {
        let limits = EffectiveLimits::default();
        let rule = AppliedRule::Default;
        let (limits_json, rule_json) = (json!(limits), json!(rule));

        let written: serde_json::Value = serde_json::from_str(&written(EventKind::Opened { limits, rule })).unwrap();

        // As values, because how limits and rules look is their own module's business.
        let expected = json!({
            "id": "1700000000000-42", "at": "2023-11-14T22:13:21.500000000Z", "key": "user:7", "session": 3,
            "event": "opened", "limits": limits_json, "rule": rule_json,
        });
        assert_eq!(written, expected);
    }

    #[test]
    fn reports_are_written_flat_with_whole_milliseconds() {
        let reason = EndReason::IdleTimeout;
        for (kind, rest) in [
            (
                EventKind::Warned { reason, remaining: Duration::from_micros(59_999_900) },
                r#""event":"warned","reason":"idle_timeout","remaining_ms":59999"#,
            ),
            (EventKind::Extended { by: Duration::from_secs(2) }, r#""event":"extended","by_ms":2000"#),
            (
                EventKind::Draining { reason: EndReason::MaxAge, in_flight: 2 },
                r#""event":"draining","reason":"max_age","in_flight":2"#,
            ),
            (EventKind::WouldEnd { reason, busy: true }, r#""event":"would_end","reason":"idle_timeout","busy":true"#),
            (EventKind::StartFailed { error: "no disk".into() }, r#""event":"start_failed","error":"no disk""#),
        ] {
            assert_eq!(written(kind), expected(rest));
        }
    }

    #[test]
    fn ended_is_written_flat_too() {
        let mut ended = Ended {
            reason: EndReason::Closed,
            age: Duration::from_secs(90),
            idle: Duration::from_millis(250),
            late: None,
            handled: 12,
            cut: 1,
            handed_over: 2,
            dropped: 3,
            panic: None,
        };
        assert_eq!(
            written(EventKind::Ended(ended.clone())),
            expected(
                r#""event":"ended","reason":"closed","age_ms":90000,"idle_ms":250,"late_ms":null,"handled":12,"cut":1,"handed_over":2,"dropped":3,"panic":null"#
            ),
        );

        ended.reason = EndReason::Panicked;
        ended.panic = Some("index out of bounds".into());
        assert!(written(EventKind::Ended(ended)).ends_with(r#""dropped":3,"panic":"index out of bounds"}"#));
    }
}
