//! What applies to which session, how many there may be, and what the registry does about it.

mod error;

use serde::{Deserialize, Serialize};

pub use self::error::{PolicyError, PolicyPlace};
use crate::limits::{EffectiveLimits, Limits};

/// The rules a registry keeps: default limits, exceptions by key, capacity, mode.
///
/// ```
/// use std::time::Duration;
/// use session_actors::{Limits, OnFull, Policy};
///
/// let policy = Policy::new(Limits::new().idle_timeout(Duration::from_secs(3600)))
///     .exclude("main")
///     .rule("hook:*", Limits::new().idle_timeout(Duration::from_secs(300)))
///     .max_sessions(100_000)
///     .on_full(OnFull::EvictIdle);
/// policy.validate()?;
/// # Ok::<(), session_actors::PolicyError>(())
/// ```
///
/// Or as an operator writes it, in any self-describing serde format. Unknown fields are refused,
/// what is left out has its default, and durations are text:
///
/// ```
/// # use session_actors::Policy;
/// let policy: Policy = toml::from_str(r#"
///     idle_timeout = "1h"          # default
///     max_age = "24h"              # default
///     max_busy = "never"           # default
///     warn_before = "1m"           # default: never
///     drain_timeout = "30s"        # default
///     passivate_after = "never"    # default; needs a store
///     checkpoint = "end"           # default; or "always", or a duration; both need a store
///     max_sessions = 100_000       # default: never
///     on_full = "reject"           # default; or "evict_idle"
///     mode = "enforce"             # default; or "observe"
///     exclude = ["main", "persistent:*"]
///
///     [[rules]]
///     match = "hook:*"
///     idle_timeout = "5m"
/// "#)?;
/// # Ok::<(), toml::de::Error>(())
/// ```
///
/// `ttl = "1h"` is short for `idle_timeout`, `ttl = { idle = "1h", max_age = "24h" }` for both, at
/// the top and in a rule. Serialized, a policy has the long form, with every setting written out.
///
/// # Patterns
///
/// Globs on the whole key: `*` is any text (also `/`, `:` and nothing), `?` one character, `[ab]`,
/// `[a-z]` and `[!a]` one of a set; `[*]` is the character itself. Case counts. Braces and commas
/// stand for themselves: write two patterns instead of `{a,b}`. `exclude` is looked at before all
/// rules; of the rules, the first that matches wins, and what it leaves out comes from the
/// policy's own limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    pub(crate) limits: EffectiveLimits,
    pub(crate) max_sessions: Option<usize>,
    pub(crate) on_full: OnFull,
    pub(crate) mode: Mode,
    pub(crate) exclude: Vec<String>,
    pub(crate) rules: Vec<Rule>,
}

/// Limits for the keys a pattern matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) pattern: String,
    pub(crate) limits: Limits,
}

/// What happens to an `open` when the registry has `max_sessions`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum OnFull {
    /// It is refused, with an estimate of when to try again. The default.
    #[default]
    Reject,
    /// The session that has been idle longest and is not busy makes room; with none, it is
    /// refused. Where sessions are kept in a store it is saved and leaves memory, otherwise it ends.
    EvictIdle,
}

/// Whether sessions are ended or only watched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Mode {
    /// Limits hold. The default.
    #[default]
    Enforce,
    /// Nothing is ended, refused or evicted; events say what would have been.
    Observe,
}

impl Default for Policy {
    fn default() -> Self {
        Self::new(Limits::new())
    }
}

impl Policy {
    /// A policy with these limits for every session, no exception, no cap, enforced.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits: limits.over(&EffectiveLimits::default()),
            max_sessions: None,
            on_full: OnFull::default(),
            mode: Mode::default(),
            exclude: Vec::new(),
            rules: Vec::new(),
        }
    }

    /// Replaces the limits of sessions that no rule matches; what `limits` leaves out keeps its
    /// present value.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits.over(&self.limits);
        self
    }

    /// Sessions whose key matches the glob never expire. Short for a rule with
    /// [`Limits::never`], placed before all rules.
    #[must_use]
    pub fn exclude(mut self, pattern: impl Into<String>) -> Self {
        self.exclude.push(pattern.into());
        self
    }

    /// Sessions whose key matches the glob have these limits, unless an earlier rule matches.
    #[must_use]
    pub fn rule(mut self, pattern: impl Into<String>, limits: Limits) -> Self {
        self.rules.push(Rule { pattern: pattern.into(), limits });
        self
    }

    /// How many keys may have a session, live or waiting to start. `None` is no cap. Defaults to
    /// no cap.
    #[must_use]
    pub fn max_sessions(mut self, max: impl Into<Option<usize>>) -> Self {
        self.max_sessions = max.into();
        self
    }

    /// What happens at the cap. Defaults to [`OnFull::Reject`].
    #[must_use]
    pub fn on_full(mut self, on_full: OnFull) -> Self {
        self.on_full = on_full;
        self
    }

    /// Whether sessions are ended or only watched. Defaults to [`Mode::Enforce`].
    #[must_use]
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// The limits of sessions that no rule matches.
    pub fn get_limits(&self) -> EffectiveLimits {
        self.limits
    }

    /// The globs of sessions that never expire, in their order.
    pub fn get_exclude(&self) -> impl ExactSizeIterator<Item = &str> {
        self.exclude.iter().map(String::as_str)
    }

    /// The rules, as glob and limits, in their order.
    pub fn get_rules(&self) -> impl ExactSizeIterator<Item = (&str, &Limits)> {
        self.rules.iter().map(|rule| (rule.pattern.as_str(), &rule.limits))
    }

    /// How many keys may have a session; `None` is no cap.
    pub fn get_max_sessions(&self) -> Option<usize> {
        self.max_sessions
    }

    /// What happens at the cap.
    pub fn get_on_full(&self) -> OnFull {
        self.on_full
    }

    /// Whether sessions are ended or only watched.
    pub fn get_mode(&self) -> Mode {
        self.mode
    }
}
