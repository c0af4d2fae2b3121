//! A policy written back, for an operator to read and for the next start to be configured by.

use serde::{Serialize, Serializer};

use crate::limits::{EffectiveLimits, Limits, NEVER};
use crate::policy::{Mode, OnFull, Policy, Rule};

/// Writes the long form, every setting named: what is read back is equal, and an operator sees
/// what a default amounts to.
impl Serialize for Policy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { limits, max_sessions, on_full, mode, exclude, rules } = self;
        let rules = rules.iter().map(|Rule { pattern, limits }| RuleText { pattern, limits });
        PolicyText {
            limits: *limits,
            max_sessions: max_sessions.map_or(Cap::Word(NEVER), Cap::Number),
            on_full: *on_full,
            mode: *mode,
            exclude,
            rules: rules.collect(),
        }
        .serialize(serializer)
    }
}

/// The tables come last: TOML has no way back to the top after one.
#[derive(Serialize)]
struct PolicyText<'a> {
    #[serde(flatten)]
    limits: EffectiveLimits,
    max_sessions: Cap,
    on_full: OnFull,
    mode: Mode,
    exclude: &'a [String],
    rules: Vec<RuleText<'a>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Cap {
    Number(usize),
    Word(&'static str),
}

#[derive(Serialize)]
struct RuleText<'a> {
    #[serde(rename = "match")]
    pattern: &'a str,
    #[serde(flatten)]
    limits: &'a Limits,
}
