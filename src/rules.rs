//! From a key to the limits it lives by.
//!
//! A policy is compiled once, when it is set; a key is resolved once, when it is opened (and again
//! when the policy changes). Every session a rule applies to shares the rule's one [`Ruling`].

use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use crate::limits::{EffectiveLimits, Limits};
use crate::policy::{Policy, PolicyError, PolicyPlace, Rule};

/// What a policy says about a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Ruling {
    /// The limits that apply.
    pub limits: EffectiveLimits,
    /// Where they come from.
    pub rule: AppliedRule,
    /// What the session set itself, if it did.
    #[serde(skip)]
    pub(crate) own: Option<Limits>,
}

/// Where a session's limits come from.
///
/// Displays, and serializes, as `default`, `exclude main`, `rule 1: hook:*` or `session`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AppliedRule {
    /// The policy's own limits: nothing more special matched.
    Default,
    /// An entry of `exclude`.
    Exclude {
        /// The glob that matched.
        pattern: String,
    },
    /// One of `rules`.
    Rule {
        /// Its number in the list, counted from 1.
        index: usize,
        /// The glob that matched.
        pattern: String,
    },
    /// The session set some itself.
    Session,
}

impl fmt::Display for AppliedRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Exclude { pattern } => write!(f, "exclude {pattern}"),
            Self::Rule { index, pattern } => write!(f, "rule {index}: {pattern}"),
            Self::Session => f.write_str("session"),
        }
    }
}

impl Serialize for AppliedRule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A policy's rules, checked and ready to be asked.
#[derive(Debug)]
pub(crate) struct RuleTable {
    /// In the order they are looked at: `exclude` first, then the rules.
    exceptions: Vec<(glob::Pattern, Arc<Ruling>)>,
    default: Arc<Ruling>,
}

impl RuleTable {
    /// Checks a policy and compiles it. The one judge of what a valid policy is.
    pub(crate) fn compile(policy: &Policy) -> Result<Self, PolicyError> {
        let Policy { limits, max_sessions, on_full: _, mode: _, exclude, rules } = policy;
        // First the limits at the top: what rules inherit must not be reported as theirs.
        limits.check(&PolicyPlace::Top)?;
        if *max_sessions == Some(0) {
            return Err(PolicyError::ZeroSessions);
        }

        let mut exceptions = Vec::with_capacity(exclude.len() + rules.len());
        for (n, pattern) in exclude.iter().enumerate() {
            let place = PolicyPlace::Exclude { index: n + 1, pattern: pattern.clone() };
            let glob = compile(pattern, &place)?;
            // No check: without a deadline there is nothing a warning could collide with, and the
            // rest is the policy's.
            let ruling = Ruling {
                limits: Limits::never().over(limits),
                rule: AppliedRule::Exclude { pattern: pattern.clone() },
                own: None,
            };
            exceptions.push((glob, Arc::new(ruling)));
        }
        for (n, Rule { pattern, limits: own }) in rules.iter().enumerate() {
            let index = n + 1;
            let place = PolicyPlace::Rule { index, pattern: pattern.clone() };
            let glob = compile(pattern, &place)?;
            let limits = own.over(limits);
            limits.check(&place)?;
            let rule = AppliedRule::Rule { index, pattern: pattern.clone() };
            exceptions.push((glob, Arc::new(Ruling { limits, rule, own: None })));
        }

        let default = Arc::new(Ruling { limits: *limits, rule: AppliedRule::Default, own: None });
        Ok(Self { exceptions, default })
    }

    /// Refuses what only a registry with a store can do.
    pub(crate) fn check_without_store(&self) -> Result<(), PolicyError> {
        self.default.limits.check_without_store(&PolicyPlace::Top)?;
        for (_, ruling) in &self.exceptions {
            // What `exclude` says has nothing to do with it; the rest it has from the top.
            if let AppliedRule::Rule { index, pattern } = &ruling.rule {
                let place = PolicyPlace::Rule { index: *index, pattern: pattern.clone() };
                ruling.limits.check_without_store(&place)?;
            }
        }
        Ok(())
    }

    /// What applies to a key: the first exception that matches, else the policy's own limits.
    pub(crate) fn resolve(&self, key: &str) -> Arc<Ruling> {
        let ruling =
            self.exceptions.iter().find(|(glob, _)| glob.matches(key)).map_or(&self.default, |(_, ruling)| ruling);
        Arc::clone(ruling)
    }
}

fn compile(pattern: &str, place: &PolicyPlace) -> Result<glob::Pattern, PolicyError> {
    if pattern.is_empty() {
        return Err(PolicyError::EmptyPattern { place: place.clone() });
    }
    glob::Pattern::new(pattern).map_err(|error| PolicyError::InvalidPattern {
        place: place.clone(),
        at: error.pos + 1,
        problem: error.msg,
    })
}

// Here and not in `policy.rs`: a policy is plain data and does not know how it is judged.
impl Policy {
    /// Checks the policy as a registry would before it takes it.
    ///
    /// # Errors
    ///
    /// The first [`PolicyError`] found: a zero, a `warn_before` not below its limit in the policy
    /// or in a rule after inheritance, a pattern that is empty or not a glob.
    pub fn validate(&self) -> Result<(), PolicyError> {
        RuleTable::compile(self).map(drop)
    }

    /// What the policy says about a key: for dry runs and tests of a configuration.
    ///
    /// Compiles the policy at each call; a registry does so once.
    ///
    /// # Errors
    ///
    /// As [`validate`](Self::validate).
    pub fn ruling(&self, key: impl AsRef<str>) -> Result<Ruling, PolicyError> {
        let ruling = RuleTable::compile(self)?.resolve(key.as_ref());
        Ok(Arc::unwrap_or_clone(ruling))
    }
}
