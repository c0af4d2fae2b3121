//! The work, the same for every contender.

pub(crate) mod cores;
mod expire;
mod lives;
mod lookup;
mod messages;
mod pending;
mod rest;
mod storm;

use serde::{Deserialize, Serialize};

use crate::{contender::Contender, jemalloc};

/// A row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Work {
    /// Messages to one live session.
    Hot,
    /// Rounds over many live sessions.
    Spread,
    /// Round trips to one session.
    Reply,
    /// Sessions opened, and their first message handled.
    Open,
    /// Open, one message, end.
    Churn,
    /// The same, watched.
    ChurnWatched,
    /// Bytes of an idle live session.
    Rest,
    /// How late sessions end.
    Expire,
    /// All sessions expire in the same instant.
    Storm,
    /// By key, from one thread and from two.
    Lookup,
    /// A quick message to a session with many replies in the making.
    Pending,
    /// Rounds over many live sessions, with jemalloc.
    SpreadJemalloc,
    /// Sessions opened, with jemalloc.
    OpenJemalloc,
    /// Whole lives, with jemalloc.
    ChurnJemalloc,
    /// Messages on an arbiter, by a sender on its thread.
    OneArbiter,
    /// The same on two at once.
    TwoArbiters,
}

/// How much of it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Scale {
    Full,
    /// So that it cannot rot: seconds instead of minutes, and the figures mean nothing.
    Short,
}

impl Scale {
    fn pick(self, full: usize, short: usize) -> usize {
        match self {
            Self::Full => full,
            Self::Short => short,
        }
    }
}

/// One figure of one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Figure {
    /// Of several of one row; empty if there is one.
    pub(crate) name: String,
    pub(crate) value: f64,
    pub(crate) unit: String,
}

impl Figure {
    fn new(name: &str, value: f64, unit: &str) -> Self {
        Self { name: name.into(), value, unit: unit.into() }
    }
}

impl Work {
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Hot => "hot",
            Self::Spread => "spread",
            Self::Reply => "reply",
            Self::Open => "open",
            Self::Churn => "churn",
            Self::ChurnWatched => "churn, watched",
            Self::Rest => "rest",
            Self::Expire => "expire",
            Self::Storm => "storm",
            Self::Lookup => "lookup",
            Self::Pending => "pending",
            Self::SpreadJemalloc => "spread, with jemalloc",
            Self::OpenJemalloc => "open, with jemalloc",
            Self::ChurnJemalloc => "churn, with jemalloc",
            Self::OneArbiter => "cores, one arbiter",
            Self::TwoArbiters => "cores, two arbiters",
        }
    }

    pub(crate) fn describes(self) -> &'static str {
        match self {
            Self::Hot => "1,000,000 messages to one live session, a thousand queued at a time.",
            Self::Spread => "10 rounds over 100,000 live sessions, a message for each queued at a time.",
            Self::Reply => "200,000 round trips to one session, one after the other.",
            Self::Open => "200,000 sessions opened by key, the first message of each answered.",
            Self::Churn => "Open, one message answered, end; 200,000 times, one after the other.",
            Self::ChurnWatched => {
                "The same while somebody watches and reads every event: of beginning and end, or, with kameo and moka, \
                 of the end alone."
            }
            Self::Rest => {
                "Memory of an idle live session, all that keeps it by key included, as the allocator counts it."
            }
            Self::Expire => {
                "100,000 sessions, half of which end by their idle time and half by their maximum age, spread over ten \
                 seconds: how late they end."
            }
            Self::Storm => {
                "1,000,000 sessions expire in the same instant, while a hundred others get a request each millisecond: \
                 how late each answer comes after its request was due. `DashMap` and moka begin at their next sweep."
            }
            Self::Lookup => {
                "By key among 100,000 live sessions: the address, and a message sent; by one thread, and by two \
                 at once. With `DashMap` and moka, what is sent is handled as well."
            }
            Self::Pending => "Round trips to a session that has 5,000 replies in the making.",
            Self::SpreadJemalloc | Self::OpenJemalloc | Self::ChurnJemalloc => {
                "As the row of that name, with an allocator that keeps together what is of one size. In all other rows it \
                 is the system's."
            }
            Self::OneArbiter => "Hot and spread on one arbiter of its own, with the sender on its thread.",
            Self::TwoArbiters => {
                "The same on two at once, each with a sender of its own: the time for each message of all."
            }
        }
    }

    /// Of so many: those that take a minute each have fewer, those that take a second more.
    pub(crate) fn rounds(self, rounds: usize) -> usize {
        match self {
            Self::Rest | Self::Expire | Self::Storm => rounds.min(3),
            Self::Hot | Self::Reply => 3 * rounds,
            _ => rounds,
        }
    }

    /// Of a row that is about them.
    pub(crate) fn arbiters(self) -> Option<usize> {
        match self {
            Self::OneArbiter => Some(1),
            Self::TwoArbiters => Some(2),
            _ => None,
        }
    }

    /// Whether the process has to be started with jemalloc.
    pub(crate) fn wants_jemalloc(self) -> bool {
        matches!(self, Self::SpreadJemalloc | Self::OpenJemalloc | Self::ChurnJemalloc)
    }

    /// Why it cannot be measured on this machine.
    pub(crate) fn is_missing(self) -> Option<String> {
        self.wants_jemalloc().then(jemalloc::is_missing).flatten()
    }

    pub(crate) async fn run<C: Contender>(self, scale: Scale) -> Result<Vec<Figure>, String> {
        match self {
            Self::Hot => messages::hot::<C>(scale).await,
            Self::Spread | Self::SpreadJemalloc => messages::spread::<C>(scale).await,
            Self::Reply => messages::reply::<C>(scale).await,
            Self::Open | Self::OpenJemalloc => lives::open::<C>(scale).await,
            Self::Churn | Self::ChurnJemalloc => lives::churn::<C>(scale).await,
            Self::ChurnWatched => lives::churn_watched::<C>(scale).await,
            Self::Rest => rest::rest::<C>(scale).await,
            Self::Expire => expire::expire::<C>(scale).await,
            Self::Storm => storm::storm::<C>(scale).await,
            Self::Lookup => lookup::lookup::<C>(scale).await,
            Self::Pending => pending::pending::<C>(scale).await,
            Self::OneArbiter | Self::TwoArbiters => Err("it knows one thread only".into()),
        }
    }
}

/// Nanoseconds for each of `count`.
fn each(begin: std::time::Instant, count: usize) -> f64 {
    begin.elapsed().as_secs_f64() * 1e9 / count as f64
}

/// Of sorted values.
fn percentile(sorted: &[f64], percent: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    let at = (percent / 100.0 * last as f64).round() as usize;
    sorted.get(at).copied().unwrap_or(f64::NAN)
}
