//! Ends: of an incarnation, of one that never started, and of the registry.

use std::{sync::Arc, time::Duration};

use tokio::{sync::oneshot, time::Instant};

use super::hub::Hub;
use crate::{
    capacity::{Freed, Permit},
    directory::Released,
    error::Unserved,
    event::{EndReason, Ended, EventKind, SessionId, StoreTask},
    host::Instruction,
    key::SessionKey,
    session::{Session, panics::quietly, parcel::Parcel, vitals::Vitals, wishes::Wishes},
    start::Parts,
};

impl<A: Session> Hub<A> {
    /// Takes back an incarnation that could not be started.
    pub(crate) fn undo(&self, parts: Parts<A>, why: Unserved) {
        let vitals = Arc::clone(&parts.vitals);
        let route = self.directory.undo(&vitals);
        let error = why.to_string();
        let waiters = self.journal.start_failed(&vitals, error.clone());
        drop(route);
        let permit = parts.discard(why);
        drop(permit);
        drop(waiters);
        tracing::warn!(key = %vitals.key(), id = %vitals.id(), %error, "session not started");
    }

    /// Whether the leftovers of an incarnation that is ending have somebody to go to; makes a
    /// successor for them if they are entitled to one.
    pub(crate) fn has_successor(
        self: &Arc<Self>,
        vitals: &Arc<Vitals>,
        ended: &Ended,
        seen_empty: bool,
        goes_on: bool,
    ) -> bool {
        let entitled = match ended.reason {
            // The successor is the session itself, as the store has it.
            _ if goes_on => true,
            EndReason::Closed | EndReason::Shutdown => false,
            // An arbiter that goes away says nothing about the session.
            EndReason::Aborted => true,
            // One that neither took a message nor ever saw its mailbox empty (a `started` that panics) would only be
            // followed by its like.
            _ => ended.handled > 0 || seen_empty,
        };
        let entitled = entitled && !self.shutdown.begun() && self.has_host();
        self.directory.succeeded_by(vitals.key(), || entitled.then(|| self.incarnation(vitals.key().clone(), None)))
    }

    /// Says that the store could not do something for a session.
    pub(crate) fn store_failed(&self, key: &SessionKey, id: SessionId, doing: StoreTask, error: &str) {
        // A subscriber that panics must not keep a session from its end.
        let _ = quietly(|| tracing::error!(%key, %id, %doing, error, "the session store failed"));
        let kind = EventKind::StoreFailed { doing, error: error.to_owned() };
        self.journal.publish(self.clock.now(), key, id, kind);
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
            }
        }
        self.has_gone(vitals);
    }

    /// Asks the session of a key to end, if there is one in memory. Resolves when it has.
    pub(crate) fn close_in_memory(&self, key: &str) -> Option<oneshot::Receiver<Ended>> {
        let routed = self.directory.with(key, |route| Arc::clone(&route.vitals));
        let vitals = routed.or_else(|| self.journal.find(key))?;
        // The waiter first: on its own thread the session may have ended before this one got to wait for it. Asked
        // also if only the journal knew it: it may have been opened in between, and what drains keeps its reason.
        let ended = self.journal.await_end(&vitals);
        vitals.wish(Wishes::CLOSE);
        Some(ended)
    }

    /// A permit was dropped.
    pub(crate) fn free_slot(self: &Arc<Self>) {
        loop {
            match self.capacity.free() {
                // Nobody can run it. It goes without the slot, which is still ours to pass on: in a loop, because a
                // permit dropped in here would come back here, once for each of them.
                Freed::PassedTo(start) if !self.has_host() => start.fail(Unserved::HostGone),
                Freed::PassedTo(mut start) => {
                    start.grant(Permit::new(Arc::clone(self)));
                    return Self::dispatch(self, start);
                }
                Freed::Free { last: true } => return self.complete_shutdown(),
                Freed::Free { last: false } => return,
            }
        }
    }

    /// Work that outlived its session has ended.
    pub(crate) fn end_detached(&self) {
        if self.capacity.end_detached() {
            self.complete_shutdown();
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
        // First: whoever is woken by the keeper looks at it.
        self.shutdown.complete();
        if let Some(keeper) = &self.keeper {
            keeper.stop();
        }
    }
}
