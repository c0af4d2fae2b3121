//! Which sessions are meant.

use std::time::{Duration, SystemTime};

use clap::{Args, ValueEnum};
use glob::Pattern;
use serde::Serialize;
use session_actors::store::Entry;

use crate::spoken::since;

#[derive(Debug, Default, Args)]
pub(crate) struct Selection {
    /// Only keys that match, as in a policy: 'hook:*'
    #[arg(value_parser = pattern)]
    pub(crate) glob: Option<Pattern>,
    /// Only those in this state
    #[arg(long, value_enum)]
    pub(crate) state: Option<State>,
    /// Only those that were opened so long ago, such as 3d
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(crate) older_than: Option<Duration>,
    /// Only those whose last activity is so long ago, such as 2h
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(crate) idle_for: Option<Duration>,
}

/// How it is with a session in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// It waits for its next message
    Resting,
    /// Its time has come: it ends when the gateway starts
    Due,
    /// Its record cannot be read
    Unreadable,
    /// Its record could not be read, and was put out of the way
    Aside,
}

impl State {
    pub(crate) fn of(entry: &Entry, now: SystemTime) -> Self {
        match &entry.record {
            Ok(record) if record.ends_at.is_some_and(|at| at <= now) => Self::Due,
            Ok(_) => Self::Resting,
            Err(_) => Self::Unreadable,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Resting => "resting",
            Self::Due => "due",
            Self::Unreadable => "unreadable",
            Self::Aside => "aside",
        }
    }
}

impl Selection {
    /// Whether this one is meant. Of what cannot be read no times are known.
    pub(crate) fn takes(&self, entry: &Entry, now: SystemTime) -> bool {
        let (opened, active) = match &entry.record {
            Ok(record) => (Some(record.opened_at), Some(record.last_activity)),
            Err(_) => (None, None),
        };
        let long_ago = |limit: Option<Duration>, at: Option<SystemTime>| {
            limit.is_none_or(|limit| at.is_some_and(|at| since(at, now) >= limit))
        };
        self.names(entry.key.as_str())
            && self.state.is_none_or(|state| state == State::of(entry, now))
            && long_ago(self.older_than, opened)
            && long_ago(self.idle_for, active)
    }

    /// Whether one that was set aside is meant.
    pub(crate) fn takes_aside(&self, key: &str) -> bool {
        self.names(key)
            && self.state.is_none_or(|state| state == State::Aside)
            && self.older_than.is_none()
            && self.idle_for.is_none()
    }

    fn names(&self, key: &str) -> bool {
        self.glob.as_ref().is_none_or(|glob| glob.matches(key))
    }
}

fn pattern(text: &str) -> Result<Pattern, String> {
    Pattern::new(text).map_err(|error| error.to_string())
}
