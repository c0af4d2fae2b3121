//! Ends: of an incarnation, of one that never started, and of the registry.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::hub::Hub;
use crate::{
    capacity::{Freed, Permit},
    directory::Released,
    error::Unserved,
    event::{EndReason, Ended},
    host::Instruction,
    session::{
        Session,
        parcel::Parcel,
        vitals::{Vitals, Wishes},
    },
    start::Parts,
};

impl<A: Session> Hub<A> {
    /// Takes back an incarnation that could not be started.
    pub(crate) fn undo(&self, parts: Parts<A>, why: Unserved) {
        let vitals = Arc::clone(&parts.vitals);
        let route = self.directory.undo(&vitals);
        let error = why.to_string();
        tracing::warn!(key = %vitals.key(), id = %vitals.id(), %error, "session not started");
        let waiters = self.journal.start_failed(&vitals, error);
        drop(route);
        let permit = parts.discard(why);
        drop(permit);
        drop(waiters);
    }

    /// Whether the leftovers of an incarnation that is ending have somebody to go to; makes a
    /// successor for them if they are entitled to one.
    pub(crate) fn has_successor(self: &Arc<Self>, vitals: &Arc<Vitals>, ended: &Ended) -> bool {
        let entitled = match ended.reason {
            EndReason::Closed | EndReason::Shutdown => false,
            // One that ended without having taken a message would only be followed by its like.
            _ => ended.handled > 0,
        };
        let entitled = entitled && !self.shutdown.begun() && self.has_host();
        self.directory.succeeded_by(vitals.key(), || entitled.then(|| self.incarnation(vitals.key().clone(), None)))
    }

    pub(crate) fn note_end(&self, ended: &Ended) {
        self.shutdown.note_end(ended);
    }

    /// An incarnation is done: lets its successor through, with the leftovers and the slot, or
    /// frees the slot.
    pub(crate) fn release(self: &Arc<Self>, vitals: &Arc<Vitals>, mail: Vec<Parcel<A>>, permit: Permit<A>) {
        match self.directory.release(vitals.key()) {
            Released::Nothing => drop(permit),
            Released::Successor(mut start) => {
                start.inherit(mail);
                start.grant(permit);
                Self::dispatch(self, start);
                if vitals.is_victim() {
                    // Its slot was promised to a newcomer.
                    self.relieve();
                }
            }
        }
    }

    /// A permit was dropped.
    pub(crate) fn free_slot(self: &Arc<Self>) {
        match self.capacity.free() {
            Freed::PassedTo(mut start) => {
                start.grant(Permit::new(Arc::clone(self)));
                Self::dispatch(self, start);
            }
            Freed::Free { last: true } => self.complete_shutdown(),
            Freed::Free { last: false } => {}
        }
    }

    /// Begins the shutdown; only the first call does anything. `None` waits for ever.
    pub(crate) fn begin_shutdown(&self, timeout: Option<Duration>) {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        if !self.shutdown.begin(deadline) {
            return;
        }
        tracing::info!(sessions = self.journal.len(), ?timeout, "session registry shuts down");
        if self.capacity.close() {
            self.complete_shutdown();
        } else {
            self.instruct(Instruction::Wish(Wishes::SHUTDOWN));
        }
    }

    /// Every slot is free and none will be given: the hosts stop, the watchers' streams end.
    fn complete_shutdown(&self) {
        self.journal.close();
        self.instruct(Instruction::Stop);
        self.shutdown.complete();
    }
}
