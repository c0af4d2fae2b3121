//! When the state of a session is saved.

use std::time::Duration;

use serde::{Serialize, Serializer};

/// When the state of a session that is kept in a store is saved.
///
/// Written, and serialized, as `"end"`, `"always"` or a duration such as `"30s"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Checkpoint {
    /// When it leaves memory: passivated, or at a shutdown. A crash loses what has happened since it came into memory.
    /// The default.
    #[default]
    End,
    /// As well so long after the first change that is not saved. A crash loses at most that much.
    Every(Duration),
    /// With every message. A reply leaves when the state behind it is on disk, so a crash loses nothing that was
    /// answered. A message without a reply is saved as soon, but nobody is told.
    Always,
}

/// How an operator writes the two that are no durations.
pub(crate) const END: &str = "end";
pub(crate) const ALWAYS: &str = "always";

impl Serialize for Checkpoint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::End => serializer.serialize_str(END),
            Self::Always => serializer.serialize_str(ALWAYS),
            Self::Every(duration) => serializer.collect_str(&humantime::format_duration(*duration)),
        }
    }
}
