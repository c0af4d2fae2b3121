//! Sessions as actix actors that end on their own.
#![forbid(unsafe_code)]

mod capacity;
mod clock;
mod config;
mod directory;
mod error;
mod event;
mod eviction;
mod host;
mod info;
mod journal;
mod key;
mod limits;
mod millis;
mod policy;
mod registry;
mod rules;
mod session;
mod start;
mod stats;
mod watch;

pub use crate::{
    error::{OpenError, SendError, ShutdownError, StartError, Unserved},
    key::{IntoKey, InvalidKey, SessionKey},
    limits::{EffectiveLimits, Limits},
    policy::{Mode, OnFull, Policy, PolicyError, PolicyPlace},
    registry::{Closing, RegistryBuilder, Reply, SessionRegistry, Shutdown, ShutdownReport, WeakSessionRegistry},
    rules::{AppliedRule, Ruling},
    session::{
        context::SessionContext,
        hold::Hold,
        traits::{Expiry, Session, Warning},
    },
};
pub use crate::{
    event::{EndReason, Ended, EventId, EventKind, InvalidEventId, Phase, SessionEvent, SessionId},
    info::SessionInfo,
    stats::{EndedCounts, Stats},
    watch::{Snapshot, Watch, Watched},
};
