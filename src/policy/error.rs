//! Why a policy is refused, said so that an operator can act on it.

use std::fmt;
use std::time::Duration;

/// Why a [`Policy`](crate::Policy), or the limits a session set itself, are refused.
///
/// The message names the place, the field, what is wrong and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PolicyError {
    /// A duration is zero. `never` (in code: `None`) switches a limit off.
    ZeroDuration {
        /// Where it stands.
        place: PolicyPlace,
        /// The field, as it was written.
        field: &'static str,
    },
    /// A `warn_before` is not below the limit it warns of.
    WarnNotBelow {
        /// Where the two meet; either may be inherited from the policy's own limits.
        place: PolicyPlace,
        /// The `warn_before` in effect there.
        warn_before: Duration,
        /// The limit it must be below: `idle_timeout` or `max_age`.
        field: &'static str,
        /// That limit, as in effect there.
        limit: Duration,
    },
    /// A rule's `match`, or an entry of `exclude`, is empty, and so matches no key.
    EmptyPattern {
        /// Where it stands.
        place: PolicyPlace,
    },
    /// A rule's `match`, or an entry of `exclude`, is not a glob.
    InvalidPattern {
        /// Where it stands, with the pattern itself.
        place: PolicyPlace,
        /// The character of the pattern at which it stops being a glob, counted from 1.
        at: usize,
        /// What is wrong there.
        problem: &'static str,
    },
    /// `max_sessions` is 0.
    ZeroSessions,
    /// Something that needs a store, and the registry was built without one.
    NoStore {
        /// Where it stands; it may be inherited from the policy's own limits.
        place: PolicyPlace,
        /// The field.
        field: &'static str,
    },
}

/// Where in a policy an error lies.
///
/// Displays as the start of a message: `rule 2 "hook:*": `.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PolicyPlace {
    /// At the top, outside `exclude` and `rules`.
    Top,
    /// An entry of `exclude`.
    Exclude {
        /// Its number in the list, counted from 1.
        index: usize,
        /// The glob; empty if there is none.
        pattern: String,
    },
    /// One of `rules`.
    Rule {
        /// Its number in the list, counted from 1.
        index: usize,
        /// Its `match`; empty if there is none.
        pattern: String,
    },
    /// What a session set for itself.
    Session,
}

impl PolicyPlace {
    /// How a limit is switched off here: a policy is mostly a file, a session is always code.
    fn never(&self) -> &'static str {
        match self {
            Self::Top | Self::Exclude { .. } | Self::Rule { .. } => r#"write "never""#,
            Self::Session => "pass None",
        }
    }
}

impl std::error::Error for PolicyError {}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // To switch this one off is the opposite of what a zero is meant to say.
            Self::ZeroDuration { place, field: field @ "drain_timeout" } => write!(
                f,
                "{place}{field} is zero; give it a millisecond to cut work at once, or {} to wait \
                 for work however long it takes",
                place.never(),
            ),
            Self::ZeroDuration { place, field: field @ "checkpoint" } => {
                write!(
                    f,
                    r#"{place}{field} is zero; write "always" to save with every message, or "end" to save at the end"#
                )
            }
            Self::ZeroDuration { place, field } => {
                write!(f, "{place}{field} is zero; {} to switch it off", place.never())
            }
            Self::WarnNotBelow { place, warn_before, field, limit } => {
                let warn_before = humantime::format_duration(*warn_before);
                let limit = humantime::format_duration(*limit);
                write!(
                    f,
                    "{place}warn_before ({warn_before}) is not below {field} ({limit}); give \
                     warn_before a shorter time here, or {} for no warning",
                    place.never(),
                )
            }
            Self::EmptyPattern { place } => {
                let subject = subject(place);
                write!(
                    f,
                    r#"{place}{subject} is empty and matches no key; write a glob such as "hook:*", or "*" for every key"#
                )
            }
            Self::InvalidPattern { place, at, problem } => {
                let subject = subject(place);
                write!(
                    f,
                    r#"{place}{subject} is not a glob, {problem} at character {at}; write "*" for any text, "?" for one character, "[ab]" for one of a set, "[*]" or "[[]" for the character itself"#
                )
            }
            Self::ZeroSessions => f.write_str(
                r#"max_sessions is 0 and would refuse every session; write 1 or more, or "never" for no cap"#,
            ),
            Self::NoStore { place, field } => write!(
                f,
                "{place}{field} needs a store, and the registry has none; build it with .persist(store), or leave {field} \
                 out",
            ),
        }
    }
}

/// What a glob is called where it stands: an entry of a list has no field of its own.
fn subject(place: &PolicyPlace) -> &'static str {
    match place {
        PolicyPlace::Rule { .. } => "match",
        PolicyPlace::Top | PolicyPlace::Exclude { .. } | PolicyPlace::Session => "this",
    }
}

impl fmt::Display for PolicyPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (list, index, pattern) = match self {
            Self::Top => return Ok(()),
            Self::Session => return f.write_str("limits set by the session: "),
            Self::Exclude { index, pattern } => ("exclude", index, pattern),
            Self::Rule { index, pattern } => ("rule", index, pattern),
        };
        write!(f, "{list} {index}")?;
        if !pattern.is_empty() {
            // Quoted and escaped: a pattern is the operator's text and may hold anything.
            write!(f, " {pattern:?}")?;
        }
        f.write_str(": ")
    }
}
