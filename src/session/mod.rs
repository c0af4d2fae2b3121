//! One session: an actor, its context, and the task that runs them.
//!
//! Who uses whom: `lifecycle` (pure) <- `context` <- `task`, which is split by what a poll does:
//! `running` (the actor's turn), `noting` (what has happened), `deciding` (what is due), `ending` (the
//! order of an end), `saving` (what a store is told).
//! `envelope` is how messages are noticed, `replies` and `items` are the work in flight, `parcel`
//! and `caller` are what makes a message survive its session, or its caller learn why not.
//! `vitals`, with `wishes`, `holds` and `victim`, is all that other threads may touch.
//!
//! Everything here runs on the thread of the session's host, but for `vitals`, `hold` and
//! `envelope::pack`.

mod async_context;
pub(crate) mod caller;
pub(crate) mod context;
mod deciding;
mod detached;
mod ending;
mod envelope;
mod farewell;
mod held;
pub(crate) mod hold;
mod holds;
pub(crate) mod inside;
mod items;
mod leaving;
pub(crate) mod lifecycle;
#[cfg(test)]
mod lifecycle_model;
mod noting;
pub(crate) mod panics;
pub(crate) mod parcel;
mod parting;
mod pending;
mod plain;
mod replies;
mod running;
mod saved;
mod saving;
pub(crate) mod span;
pub(crate) mod task;
mod tracking;
pub(crate) mod traits;
mod victim;
pub(crate) mod vitals;
pub(crate) mod wishes;

pub(crate) use traits::Session;
