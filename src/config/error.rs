//! Why a text is not a policy. Reaches the caller as the message of the format's own error.

use super::written::Written;
use crate::policy::{PolicyError, PolicyPlace};

#[derive(Debug, thiserror::Error)]
pub(super) enum ConfigError {
    #[error("{place}unknown field {name:?}; the fields here are {}", known.join(", "))]
    Unknown { place: PolicyPlace, name: String, known: Vec<&'static str> },

    #[error("{place}{name} is written twice; keep one of them")]
    Twice { place: PolicyPlace, name: String },

    #[error("{place}{field} is {found}; write {instead}")]
    Kind { place: PolicyPlace, field: &'static str, found: String, instead: &'static str },

    #[error(r#"{place}{field} {text:?} is not a duration, {problem}; write for example "90s", "1h 30m" or "never""#)]
    NoDuration { place: PolicyPlace, field: &'static str, text: String, problem: String },

    #[error(r#"{place}checkpoint {text:?} is neither "end" nor "always" nor a duration, {problem}; write for example "30s""#)]
    NoCheckpoint { place: PolicyPlace, text: String, problem: String },

    #[error(
        r#"{place}ttl stands beside {beside}, which it sets itself; write ttl = {{ idle = "1h", max_age = "24h" }}, or idle_timeout and max_age without ttl"#
    )]
    TtlBeside { place: PolicyPlace, beside: &'static str },

    #[error("{place}ttl is an empty table; write idle, max_age or both into it")]
    EmptyTtl { place: PolicyPlace },

    #[error(r#"{place}match is missing; write match = "hook:*", the glob of the keys it is for"#)]
    NoMatch { place: PolicyPlace },

    #[error(transparent)]
    Policy(#[from] PolicyError),
}

impl ConfigError {
    /// A value of the wrong kind, or a word that is none of those known.
    pub(super) fn kind(place: &PolicyPlace, field: &'static str, found: &Written, instead: &'static str) -> Self {
        Self::Kind { place: place.clone(), field, found: found.to_string(), instead }
    }
}
