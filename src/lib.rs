//! Sessions as [actix] actors that end on their own.
//!
//! A gateway (chat, agent, webhook, WebSocket, MCP) holds one session per conversation. Here each is an actix actor with
//! an idle timeout that every message resets and a maximum age that nothing moves. When either is due it finishes what
//! it has in flight, stops, and its registry forgets it and tells who watches.
//!
//! ```
//! use std::time::Duration;
//!
//! use actix::prelude::*;
//! use session_actors::{Limits, Policy, Session, SessionContext, SessionKey, SessionRegistry};
//!
//! struct Chat;
//!
//! impl Actor for Chat {
//!     type Context = SessionContext<Self>; // the one line that makes an actor a session
//! }
//! impl Session for Chat {} // optional hooks, all defaulted
//!
//! #[derive(Message)]
//! #[rtype(result = "String")]
//! struct Say(&'static str);
//!
//! impl Handler<Say> for Chat {
//!     type Result = String;
//!     fn handle(&mut self, Say(text): Say, ctx: &mut Self::Context) -> String {
//!         format!("{}: {text}", ctx.key())
//!     }
//! }
//!
//! # #[actix::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let limits = Limits::new().idle_timeout(Duration::from_secs(3600));
//! let sessions = SessionRegistry::builder(|_: &SessionKey| Chat).policy(Policy::new(limits)).start()?;
//! assert_eq!(sessions.send("user:42", Say("hi")).await?, "user:42: hi"); // opens the session if it is not live
//! # Ok(())
//! # }
//! ```
//!
//! | to | see |
//! |---|---|
//! | make an actor a session, and hear of its deadlines | [`Session`], [`SessionContext`] |
//! | say when sessions end | [`Limits`], [`Policy`] |
//! | open, send, close, list, shut down | [`SessionRegistry`], [`RegistryBuilder`] |
//! | follow what happens | [`SessionRegistry::watch`], [`SessionEvent`], [`EndReason`] |
//! | see what is there | [`SessionInfo`], [`Stats`] |
//! | know why not | [`OpenError`], [`SendError`], [`Unserved`], [`PolicyError`] |
//!
//! # What counts as activity
//!
//! A message through `Addr`, `Recipient` or [`SessionRegistry::send`] counts when it is handled, and again when its reply
//! is ready; so do [`SessionContext::touch`] and [`SessionRegistry::open`] of a live key. A session's own clockwork does
//! not (`ctx.notify`, `run_later`, `run_interval`, `spawn`, streams), nor a message whose handler called
//! [`SessionContext::passive`], nor looking at it (`get`, `info`, `list`, `watch`).
//!
//! A session is busy, and then not idle, while a reply is pending, a [`Hold`] is alive or a `ctx.wait` runs.
//!
//! # Sessions that outlive memory and restarts
//!
//! With the feature `store` (`redb` for one in a file) and `RegistryBuilder::persist`, a session whose actor is
//! `Persistent` is saved when it has rested for [`passivate_after`](Limits::passivate_after) and leaves memory; its key's
//! next message brings it back before it is handled. Age and idle time go on, on the wall clock: what falls due in
//! the store is ended there, without its hooks. A shutdown saves all. [`Checkpoint`] says what a crash may lose. An
//! address leads to one stay in memory, as it leads to one incarnation: send by key, or
//! [stay](SessionContext::set_resident) as long as somebody has one. Only what is in memory counts for [`max_sessions`](Policy::max_sessions) and is listed; and
//! [`OnFull::EvictIdle`] saves instead of ending.
//!
//! # Panics stay in their session
//!
//! This needs `panic = "unwind"`. With `panic = "abort"` a panic ends the process, as everywhere.
#![forbid(unsafe_code)]

mod alarms;
mod capacity;
mod checkpoint;
mod clock;
mod config;
mod directory;
mod error;
mod event;
mod eviction;
mod host;
mod info;
mod journal;
mod keeping;
mod key;
mod limits;
mod locals;
#[cfg(feature = "metrics")]
pub mod metrics;
mod millis;
mod moment;
mod policy;
mod registry;
mod rules;
mod session;
mod start;
mod stats;
#[cfg(feature = "store")]
pub mod store;
mod watch;
#[cfg(feature = "web")]
pub mod web;

#[cfg(feature = "store")]
pub use crate::keeping::persistent::Persistent;
pub use crate::{
    checkpoint::Checkpoint,
    error::{CloseError, NotSaved, OpenError, SendError, ShutdownError, StartError, Unserved},
    event::{EndReason, Ended, EventId, EventKind, InvalidEventId, Phase, SessionEvent, SessionId, StoreTask},
    info::SessionInfo,
    key::{IntoKey, InvalidKey, SessionKey},
    limits::{EffectiveLimits, Limits},
    policy::{Mode, OnFull, Policy, PolicyError, PolicyPlace},
    registry::{
        Closing, DryRun, RegistryBuilder, Reply, SessionRegistry, Shutdown, ShutdownReport, WeakSessionRegistry,
    },
    rules::{AppliedRule, Ruling},
    session::{
        caller::dropped_by,
        context::SessionContext,
        hold::Hold,
        traits::{Expiry, Session, Warning},
    },
    stats::{EndedCounts, Stats, StoreFailedCounts},
    watch::{Snapshot, Watch, Watched},
};

/// The README's code, compiled and run; some of it is about a store, some about actix-web.
#[cfg(all(doctest, feature = "redb", feature = "web"))]
#[doc = include_str!("../README.md")]
struct Readme;
