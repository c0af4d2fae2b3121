//! The numbers of events and sessions.

use std::{error::Error, fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// One incarnation of a key: unique in its registry, never used again.
///
/// A later session has a larger id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SessionId(u64);

impl SessionId {
    /// Only the registry names sessions.
    pub(crate) const fn new(id: u64) -> Self {
        Self(id)
    }

    /// As it was [`get`](Self::get) and stored. It names a session of the registry that stored it and of no other.
    #[cfg(feature = "store")]
    #[must_use]
    pub const fn of_stored(id: u64) -> Self {
        Self(id)
    }

    /// The bare number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of an event, and a place in the stream of events: everything up to and including that event.
///
/// Written `epoch-sequence` by `Display`, `FromStr` and serde. Within an epoch, sequences begin at 1 and have no gaps;
/// sequence 0 is the place before the first event. Ids of different registries compare, but the comparison means
/// nothing unless the clock of the machine went forward between their starts.
///
/// ```
/// use session_actors::EventId;
///
/// let last_seen: EventId = "1700000000000-42".parse()?;
/// assert_eq!(last_seen.sequence(), 42);
/// # Ok::<_, session_actors::InvalidEventId>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId {
    epoch: u64,
    sequence: u64,
}

impl EventId {
    /// Only the journal numbers events; others may parse an id they were given.
    pub(crate) const fn new(epoch: u64, sequence: u64) -> Self {
        Self { epoch, sequence }
    }

    /// When the registry was started, in milliseconds since 1970: tells its events from those of an earlier run.
    #[must_use]
    pub const fn epoch(self) -> u64 {
        self.epoch
    }

    /// The number of the event within the epoch.
    #[must_use]
    pub const fn sequence(self) -> u64 {
        self.sequence
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.sequence)
    }
}

impl FromStr for EventId {
    type Err = InvalidEventId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // `u64::from_str` also takes a leading `+`, which no id has.
        let number = |digits: &str| digits.parse().ok().filter(|_| !digits.starts_with('+'));
        text.split_once('-')
            .and_then(|(epoch, sequence)| Some(Self::new(number(epoch)?, number(sequence)?)))
            .ok_or_else(|| InvalidEventId::new(text))
    }
}

impl Serialize for EventId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EventId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl de::Visitor<'_> for Text {
            type Value = EventId;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an event id, a string of the form \"epoch-sequence\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<EventId, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Text)
    }
}

/// A text that is no [`EventId`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidEventId {
    /// The beginning of what was given.
    text: String,
}

impl InvalidEventId {
    /// Ids come from clients (`Last-Event-ID`), so the error repeats no more than an honest mistake needs.
    const SHOWN: usize = 64;

    fn new(text: &str) -> Self {
        Self { text: text.chars().take(Self::SHOWN).collect() }
    }
}

impl fmt::Display for InvalidEventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Debug, so that control characters cannot forge lines in a log.
        write!(
            f,
            "{:?} is not an event id: write epoch-sequence, two whole numbers as an event showed them, \
             such as 1700000000000-42",
            self.text
        )
    }
}

impl Error for InvalidEventId {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_id_is_read_as_it_is_written() {
        for id in [EventId::new(0, 0), EventId::new(1_700_000_000_000, 42), EventId::new(u64::MAX, u64::MAX)] {
            assert_eq!(id.to_string().parse(), Ok(id));
            let json = serde_json::to_string(&id).unwrap();
            assert_eq!(json, format!("\"{id}\""));
            assert_eq!(serde_json::from_str::<EventId>(&json).unwrap(), id);
            // From a reader, where serde cannot lend the text.
            assert_eq!(serde_json::from_reader::<_, EventId>(json.as_bytes()).unwrap(), id);
        }
    }

    #[test]
    fn anything_else_is_refused_with_what_to_write() {
        for text in ["", "-", "1", "1-", "-1", "1-2-3", "+1-2", "1-+2", "1--2", " 1-2", "a-b", "18446744073709551616-1"]
        {
            let error = text.parse::<EventId>().expect_err(text);
            assert!(error.to_string().contains("write epoch-sequence"), "{error}");
        }
        let error = serde_json::from_str::<EventId>("42").unwrap_err().to_string();
        assert!(error.contains("expected an event id, a string of the form"), "{error}");
        let error = serde_json::from_str::<EventId>("\"42\"").unwrap_err().to_string();
        assert!(error.starts_with("\"42\" is not an event id: write epoch-sequence"), "{error}");
    }

    #[test]
    fn the_error_repeats_little_and_escapes_it() {
        let error = format!("\n{}", "ü".repeat(10_000)).parse::<EventId>().unwrap_err().to_string();
        assert!(error.starts_with("\"\\nü"), "{error}");
        assert!(error.chars().count() < 256, "{error}");
    }

    #[test]
    fn ids_order_by_epoch_first() {
        assert!(EventId::new(1, 9) < EventId::new(2, 1));
        assert!(EventId::new(2, 1) < EventId::new(2, 2));
    }

    #[test]
    fn a_session_id_is_written_as_a_number() {
        assert_eq!(serde_json::to_string(&SessionId::new(7)).unwrap(), "7");
        assert_eq!(format!("{:>3}", SessionId::new(7)), "  7");
    }
}
