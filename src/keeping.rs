//! How a registry keeps its sessions in a store.
//!
//! # Ground rules
//!
//! * **A session is in one place.** Its key leads to it in memory, or it is in the store. On the way from one to the other
//!   its key is in the directory, as starting (it is being loaded) or as ending (it is being saved, or ended in the store),
//!   and whoever comes meanwhile waits there, as for any start and behind any end.
//! * **It leaves memory when what is on disk is current.** It is saved while it serves; when the store has confirmed that, and
//!   nothing has happened since, it goes. A save that fails changes nothing, and no message waits for a disk.
//! * **An end is on disk before it is told.** The record is removed, then `Ended` is published, then the key is free.
//!   A crash in between is an end that nobody has heard of.
//! * **Nobody waits without end.** The store is called on threads of its own ([`desk`]); who asks it gives up after
//!   the timeout that the registry was built with.
//!
//! Without the feature `store` there is no keeper, and the compiler knows it ([`absent`]).

#[cfg(not(feature = "store"))]
mod absent;
#[cfg(feature = "store")]
mod desk;
#[cfg(feature = "store")]
mod keeper;
#[cfg(feature = "store")]
mod loading;
#[cfg(feature = "store")]
pub(crate) mod persistent;
#[cfg(feature = "store")]
mod reads;
#[cfg(feature = "store")]
mod resting;
#[cfg(feature = "store")]
pub(crate) mod rounds;
#[cfg(feature = "store")]
mod waits;

use std::time::Duration;

#[cfg(not(feature = "store"))]
pub(crate) use self::absent::{Keeper, Snapshot, Ticket, Waiting};
#[cfg(feature = "store")]
pub(crate) use self::{
    desk::Ticket,
    keeper::{Keeper, Snapshot},
    waits::Waiting,
};
#[cfg(feature = "store")]
use crate::{event::EndReason, limits::EffectiveLimits};
use crate::{event::SessionId, limits::Limits, moment::Moment};

/// How long a store may take for an answer, unless told otherwise.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);

/// What is known of a session besides its state.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Figures {
    pub(crate) opened: Moment,
    pub(crate) last_activity: Moment,
    /// Until when `Session::expiring` has put off its idle end.
    pub(crate) extended: Option<Moment>,
    pub(crate) handled: u64,
    /// What it set itself.
    pub(crate) limits: Option<Limits>,
}

#[cfg(feature = "store")]
impl Figures {
    /// When it ends if nobody comes, and as what.
    pub(crate) fn end(&self, limits: &EffectiveLimits) -> Option<(Moment, EndReason)> {
        let after = |since: Moment, limit: Option<Duration>| limit.and_then(|limit| since.checked_add(limit));
        let idle = after(self.last_activity, limits.idle_timeout);
        let idle = idle.map(|at| (self.extended.map_or(at, |until| until.max(at)), EndReason::IdleTimeout));
        let age = after(self.opened, limits.max_age).map(|at| (at, EndReason::MaxAge));
        match (idle, age) {
            (Some(idle), Some(age)) => Some(if idle.0 < age.0 { idle } else { age }),
            (idle, age) => idle.or(age),
        }
    }
}

/// What the store remembered of a session that comes back.
#[derive(Debug)]
#[cfg_attr(not(feature = "store"), expect(dead_code, reason = "nobody makes one"))]
pub(crate) struct Memory {
    pub(crate) session: SessionId,
    pub(crate) figures: Figures,
    pub(crate) snapshot: Snapshot,
}

/// What is known of a start's key in the store.
#[derive(Debug)]
#[cfg_attr(not(feature = "store"), expect(dead_code, reason = "nobody finds anything"))]
pub(crate) enum Remembered {
    /// The store has to be asked.
    Unread,
    Nothing,
    Something(Box<Memory>),
}
