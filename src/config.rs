//! A policy as an operator writes it, read from any self-describing serde format.
//!
//! Reading goes through a tree of what was written and not through derived structs: a derived
//! error names neither the rule nor what to write instead, and a rule's glob may come after the
//! field that is wrong. What is read here is only well-formed; whether it makes sense is judged
//! where the policy is put to use, for policies made in code as well (`rules.rs`), and once more
//! at the end here, so that a file's error shows where the file is read.

mod duration;
mod error;
mod writing;
mod written;

use serde::de::value::{self, StrDeserializer};
use serde::de::{self, DeserializeOwned, IntoDeserializer};
use serde::{Deserialize, Deserializer};

use self::error::ConfigError;
use self::written::{Fields, Written};
use crate::checkpoint::{ALWAYS, Checkpoint, END};
use crate::limits::{Limit, Limits, NEVER};
use crate::policy::{Policy, PolicyError, PolicyPlace, Rule};

impl<'de> Deserialize<'de> for Policy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Written::deserialize(deserializer)?;
        policy(written).map_err(de::Error::custom)
    }
}

/// As a rule writes them, without its `match`; unknown fields are refused. Whether they make sense is seen where they
/// are put to use.
impl<'de> Deserialize<'de> for Limits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Written::deserialize(deserializer)?;
        limits(written).map_err(de::Error::custom)
    }
}

fn limits(written: Written) -> Result<Limits, ConfigError> {
    let place = PolicyPlace::Session;
    let Written::Table(entries) = written else {
        return Err(ConfigError::kind(&place, "this", &written, "a table of limits"));
    };
    let mut fields = Fields::new(place, entries);
    let limits = LimitFields::take(&mut fields);
    limits.read(&fields.finish()?)
}

fn policy(written: Written) -> Result<Policy, ConfigError> {
    let Written::Table(entries) = written else {
        return Err(ConfigError::kind(&PolicyPlace::Top, "the policy", &written, "a table of settings"));
    };
    let mut fields = Fields::new(PolicyPlace::Top, entries);
    let limits = LimitFields::take(&mut fields);
    let max_sessions = fields.take("max_sessions");
    let on_full = fields.take("on_full");
    let mode = fields.take("mode");
    let exclude = fields.take("exclude");
    let rules = fields.take("rules");
    // Before any value is read: a misspelt name explains more than what follows from it.
    fields.finish()?;

    let mut policy = Policy::new(limits.read(&PolicyPlace::Top)?);
    policy.max_sessions = max_sessions.map(read_max_sessions).transpose()?.flatten();
    if let Some(written) = on_full {
        policy.on_full = choice("on_full", r#""reject" or "evict_idle""#, written)?;
    }
    if let Some(written) = mode {
        policy.mode = choice("mode", r#""enforce" or "observe""#, written)?;
    }
    policy.exclude = exclude.map(read_exclude).transpose()?.unwrap_or_default();
    policy.rules = rules.map(read_rules).transpose()?.unwrap_or_default();
    policy.validate()?;
    Ok(policy)
}

/// The limits as written, at the top or in a rule.
struct LimitFields {
    ttl: Option<Written>,
    idle_timeout: Option<Written>,
    max_age: Option<Written>,
    max_busy: Option<Written>,
    warn_before: Option<Written>,
    drain_timeout: Option<Written>,
    passivate_after: Option<Written>,
    checkpoint: Option<Written>,
}

impl LimitFields {
    fn take(fields: &mut Fields) -> Self {
        Self {
            ttl: fields.take("ttl"),
            idle_timeout: fields.take("idle_timeout"),
            max_age: fields.take("max_age"),
            max_busy: fields.take("max_busy"),
            warn_before: fields.take("warn_before"),
            drain_timeout: fields.take("drain_timeout"),
            passivate_after: fields.take("passivate_after"),
            checkpoint: fields.take("checkpoint"),
        }
    }

    fn read(self, place: &PolicyPlace) -> Result<Limits, ConfigError> {
        let Self { ttl, idle_timeout, max_age, max_busy, warn_before, drain_timeout, passivate_after, checkpoint } =
            self;
        for (beside, written) in [("idle_timeout", &idle_timeout), ("max_age", &max_age)] {
            if ttl.is_some() && written.is_some() {
                return Err(ConfigError::TtlBeside { place: place.clone(), beside });
            }
        }
        let limit =
            |field, written: Option<Written>| written.map(|written| read_limit(place, field, &written)).transpose();
        let (idle_timeout, max_age) = match ttl {
            None => (limit("idle_timeout", idle_timeout)?, limit("max_age", max_age)?),
            Some(Written::Table(entries)) => {
                let mut fields = Fields::within("ttl", place.clone(), entries);
                let idle = fields.take("ttl.idle");
                let max_age = fields.take("ttl.max_age");
                fields.finish()?;
                if idle.is_none() && max_age.is_none() {
                    return Err(ConfigError::EmptyTtl { place: place.clone() });
                }
                (limit("ttl.idle", idle)?, limit("ttl.max_age", max_age)?)
            }
            ttl => (limit("ttl", ttl)?, None),
        };
        Ok(Limits {
            idle_timeout,
            max_age,
            max_busy: limit("max_busy", max_busy)?,
            warn_before: limit("warn_before", warn_before)?,
            drain_timeout: limit("drain_timeout", drain_timeout)?,
            passivate_after: limit("passivate_after", passivate_after)?,
            checkpoint: checkpoint.map(|written| read_checkpoint(place, &written)).transpose()?,
        })
    }
}

fn read_limit(place: &PolicyPlace, field: &'static str, written: &Written) -> Result<Limit, ConfigError> {
    let Written::Text(text) = written else {
        let instead = r#"a duration in quotes, such as "90s" or "1h 30m", or "never""#;
        return Err(ConfigError::kind(place, field, written, instead));
    };
    if text == NEVER {
        return Ok(Limit::Never);
    }
    let duration = duration::parse(text).map_err(|problem| ConfigError::NoDuration {
        place: place.clone(),
        field,
        text: text.clone(),
        problem,
    })?;
    // The policy's own check would refuse it too, but call it by its long name.
    if duration.is_zero() {
        let place = place.clone();
        return Err(PolicyError::ZeroDuration { place, field }.into());
    }
    Ok(Limit::After(duration))
}

fn read_checkpoint(place: &PolicyPlace, written: &Written) -> Result<Checkpoint, ConfigError> {
    let field = "checkpoint";
    let Written::Text(text) = written else {
        let instead = r#""end", "always", or a duration in quotes, such as "30s""#;
        return Err(ConfigError::kind(place, field, written, instead));
    };
    match text.as_str() {
        END => Ok(Checkpoint::End),
        ALWAYS => Ok(Checkpoint::Always),
        text => match duration::parse(text) {
            Ok(duration) => Ok(Checkpoint::Every(duration)),
            Err(problem) => Err(ConfigError::NoCheckpoint { place: place.clone(), text: text.to_owned(), problem }),
        },
    }
}

fn read_max_sessions(written: Written) -> Result<Option<usize>, ConfigError> {
    let number = match &written {
        Written::Text(text) if text == NEVER => return Ok(None),
        Written::Integer(number) => usize::try_from(*number).ok(),
        _ => None,
    };
    // A zero is left to the policy's check.
    number.map(Some).ok_or_else(|| {
        let instead = r#"a whole number from 1 without quotes, or "never" for no cap"#;
        ConfigError::kind(&PolicyPlace::Top, "max_sessions", &written, instead)
    })
}

/// Reads one of a few words: those of the type's serde names, which `words` tells the operator.
fn choice<T: DeserializeOwned>(field: &'static str, words: &'static str, written: Written) -> Result<T, ConfigError> {
    let chosen = match &written {
        Written::Text(text) => {
            let text: StrDeserializer<'_, value::Error> = text.as_str().into_deserializer();
            T::deserialize(text).ok()
        }
        _ => None,
    };
    chosen.ok_or_else(|| ConfigError::kind(&PolicyPlace::Top, field, &written, words))
}

fn read_exclude(written: Written) -> Result<Vec<String>, ConfigError> {
    let Written::List(entries) = written else {
        let instead = r#"a list of globs, such as ["main", "persistent:*"]"#;
        return Err(ConfigError::kind(&PolicyPlace::Top, "exclude", &written, instead));
    };
    let entry = |(n, entry)| match entry {
        Written::Text(pattern) => Ok(pattern),
        entry => {
            let place = PolicyPlace::Exclude { index: n + 1, pattern: String::new() };
            Err(ConfigError::kind(&place, "this", &entry, "a glob in quotes"))
        }
    };
    entries.into_iter().enumerate().map(entry).collect()
}

fn read_rules(written: Written) -> Result<Vec<Rule>, ConfigError> {
    let Written::List(entries) = written else {
        let instead = "a list of tables, in TOML each under its own [[rules]]";
        return Err(ConfigError::kind(&PolicyPlace::Top, "rules", &written, instead));
    };
    entries.into_iter().enumerate().map(|(n, entry)| read_rule(n + 1, entry)).collect()
}

fn read_rule(index: usize, written: Written) -> Result<Rule, ConfigError> {
    let nameless = PolicyPlace::Rule { index, pattern: String::new() };
    let Written::Table(entries) = written else {
        let instead = "a table with a match and the limits for it";
        return Err(ConfigError::kind(&nameless, "this", &written, instead));
    };
    let mut fields = Fields::new(nameless.clone(), entries);
    let pattern = fields.take("match");
    if let Some(Written::Text(pattern)) = &pattern {
        fields.name_place(PolicyPlace::Rule { index, pattern: pattern.clone() });
    }
    let limits = LimitFields::take(&mut fields);
    let place = fields.finish()?;
    match pattern {
        None => Err(ConfigError::NoMatch { place }),
        Some(Written::Text(pattern)) => Ok(Rule { limits: limits.read(&place)?, pattern }),
        Some(other) => Err(ConfigError::kind(&place, "match", &other, "a glob in quotes")),
    }
}
