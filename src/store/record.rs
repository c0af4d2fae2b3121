//! What is kept of a session.

use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use super::StoreError;
use crate::{event::SessionId, key::SessionKey, limits::Limits};

/// What is kept of a session: who it is, how old, and what its actor remembers.
///
/// As JSON it is one flat object, with times in RFC 3339; fields that a later version adds have defaults, so that old
/// records are read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Record {
    /// Which incarnation of its key it is; it stays the same one when it comes back.
    pub session: SessionId,
    /// When it was opened: its age counts from there, on the system clock.
    #[serde(with = "humantime_serde")]
    pub opened_at: SystemTime,
    /// When something last counted as activity.
    #[serde(with = "humantime_serde")]
    pub last_activity: SystemTime,
    /// Until when the session has put off its idle end itself, by `Session::expiring`.
    #[serde(default, with = "humantime_serde", skip_serializing_if = "Option::is_none")]
    pub extended_until: Option<SystemTime>,
    /// When it ends if nobody comes, by the limits it had when it was saved; `None` is never.
    #[serde(default, with = "humantime_serde")]
    pub ends_at: Option<SystemTime>,
    /// Messages handled so far.
    #[serde(default)]
    pub handled: u64,
    /// What the session set itself with `ctx.set_limits`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// What the actor gave.
    pub state: State,
}

impl Record {
    /// A record of a session that never ends by itself and has handled nothing. Times are kept to the millisecond.
    pub fn new(session: SessionId, opened_at: SystemTime, state: State) -> Self {
        let opened_at = whole_millis(opened_at);
        Self {
            session,
            opened_at,
            last_activity: opened_at,
            extended_until: None,
            ends_at: None,
            handled: 0,
            limits: None,
            state,
        }
    }

    /// With another last activity.
    #[must_use]
    pub fn last_activity(mut self, at: SystemTime) -> Self {
        self.last_activity = whole_millis(at);
        self
    }

    /// With an idle end that was put off.
    #[must_use]
    pub fn extended_until(mut self, at: impl Into<Option<SystemTime>>) -> Self {
        self.extended_until = at.into().map(|at| whole_millis(at).min(of_millis(LAST)));
        self
    }

    /// With a deadline.
    #[must_use]
    pub fn ends_at(mut self, at: impl Into<Option<SystemTime>>) -> Self {
        // Later than can be written is as good as never.
        self.ends_at = at.into().filter(|at| millis(*at) <= LAST).map(whole_millis);
        self
    }

    /// With so many messages handled.
    #[must_use]
    pub fn handled(mut self, messages: u64) -> Self {
        self.handled = messages;
        self
    }

    /// With limits of its own.
    #[must_use]
    pub fn limits(mut self, limits: impl Into<Option<Limits>>) -> Self {
        self.limits = limits.into();
        self
    }

    /// As it is stored.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unencodable`] if a time lies outside of the years that RFC 3339 can write.
    pub fn encode(&self) -> Result<Vec<u8>, StoreError> {
        // It would panic instead of failing.
        if [Some(self.opened_at), Some(self.last_activity), self.extended_until, self.ends_at]
            .into_iter()
            .flatten()
            .any(|at| millis(at) > LAST)
        {
            return Err(StoreError::Unencodable("a time after the year 9999".into()));
        }
        serde_json::to_vec(self).map_err(|error| StoreError::Unencodable(error.to_string()))
    }

    /// As it was stored.
    ///
    /// # Errors
    ///
    /// [`StoreError::Undecodable`], with the place in the bytes.
    pub fn decode(key: &SessionKey, bytes: &[u8]) -> Result<Self, StoreError> {
        serde_json::from_slice(bytes)
            .map_err(|error| StoreError::Undecodable { key: key.clone(), why: error.to_string() })
    }
}

/// What an actor remembers, as JSON: a reader needs no Rust, and a field that was added with `#[serde(default)]` reads
/// what was written before it.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct State(Box<RawValue>);

impl State {
    /// Of a value.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unencodable`] if it has no JSON: a map whose keys are no strings, or an error of its own
    /// `Serialize`.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, StoreError> {
        serde_json::value::to_raw_value(value).map(Self).map_err(|error| StoreError::Unencodable(error.to_string()))
    }

    /// The value.
    ///
    /// # Errors
    ///
    /// Why it is not one of this type, with the place.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, String> {
        serde_json::from_str(self.0.get()).map_err(|error| error.to_string())
    }

    /// The text.
    #[must_use]
    pub fn as_json(&self) -> &str {
        self.0.get()
    }
}

impl PartialEq for State {
    /// As text: the same value written otherwise is another one.
    fn eq(&self, other: &Self) -> bool {
        self.as_json() == other.as_json()
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("State").field(&self.as_json()).finish()
    }
}

/// The last millisecond of the year 9999.
const LAST: u64 = 253_402_300_799_999;

/// Milliseconds since 1970, as stores order deadlines by them; what lies before is 0.
pub(super) fn millis(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The way back.
pub(super) fn of_millis(millis: u64) -> SystemTime {
    UNIX_EPOCH.checked_add(Duration::from_millis(millis)).unwrap_or(UNIX_EPOCH)
}

/// Rounded down, as everything that is stored, so that it reads back as it was.
fn whole_millis(at: SystemTime) -> SystemTime {
    of_millis(millis(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Old {
        turns: u32,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct New {
        turns: u32,
        #[serde(default)]
        title: Option<String>,
    }

    fn record() -> Record {
        let at = |secs| UNIX_EPOCH + Duration::from_secs(secs);
        Record::new(SessionId::new(7), at(1_700_000_000), State::of(&Old { turns: 3 }).unwrap())
            .last_activity(at(1_700_000_060) + Duration::from_nanos(1_999_999))
            .ends_at(at(1_700_003_660))
            .handled(4)
            .limits(Limits::new().max_age(None).idle_timeout(Duration::from_secs(90)))
    }

    #[test]
    fn a_record_reads_as_it_was_written() {
        let key = SessionKey::new("k").unwrap();
        let bytes = record().encode().unwrap();
        assert_eq!(
            String::from_utf8_lossy(&bytes),
            r#"{"session":7,"opened_at":"2023-11-14T22:13:20Z","last_activity":"2023-11-14T22:14:20.001000000Z","ends_at":"2023-11-14T23:14:20Z","handled":4,"limits":{"idle_timeout":"1m 30s","max_age":"never"},"state":{"turns":3}}"#
        );
        let read = Record::decode(&key, &bytes).unwrap();
        assert_eq!(read, record());
        assert_eq!(read.state.read::<Old>(), Ok(Old { turns: 3 }));
    }

    #[test]
    fn a_field_that_was_added_reads_old_records() {
        assert_eq!(record().state.read::<New>(), Ok(New { turns: 3, title: None }));
        let old =
            br#"{"session":7,"opened_at":"2023-11-14T22:13:20Z","last_activity":"2023-11-14T22:13:20Z","state":{}}"#;
        let read = Record::decode(&SessionKey::new("k").unwrap(), old).unwrap();
        assert_eq!((read.ends_at, read.handled), (None, 0));
    }

    #[test]
    fn what_is_no_record_says_where() {
        let key = SessionKey::new("k").unwrap();
        for (bytes, word) in [(&b""[..], "EOF"), (b"\xff\xfe", "line 1"), (b"{}", "session"), (b"[1]", "line 1")] {
            match Record::decode(&key, bytes) {
                Err(StoreError::Undecodable { key: whose, why }) => {
                    assert_eq!(whose, key);
                    assert!(why.contains(word), "{why}");
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(record().state.read::<Vec<u8>>().unwrap_err().contains("line 1"));
    }
}
