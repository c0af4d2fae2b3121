//! What a context keeps account of: messages, the work they start, and what is handed over.
//!
//! Called by the envelope around every message and by the task around every future it polls.

use std::{mem, sync::Arc};

use actix::{SpawnHandle, dev::OneshotSender};
use tokio::sync::oneshot::{self, error::TryRecvError};

use super::{
    caller::Caller,
    context::{Extras, HandOver, SessionContext, State},
    held::Held,
    items::Work,
    lifecycle::Load,
    replies::Reply,
    traits::Session,
};
use crate::{
    limits::Limits,
    policy::{PolicyError, PolicyPlace},
    registry::hub::Hub,
    rules::{AppliedRule, Ruling},
};

impl<A: Session> SessionContext<A> {
    pub(super) fn hub(&self) -> &Arc<Hub<A>> {
        &self.locals.hub
    }

    pub(super) fn extras(&mut self) -> &mut Extras<A> {
        self.extras.get_or_insert_default()
    }

    /// Whether something is to be cancelled.
    pub(super) fn has_cancelled(&self) -> bool {
        self.extras.as_ref().is_some_and(|extras| extras.cancelled)
    }

    /// Something is staged for the task to carry out.
    pub(super) fn has_staged(&self) -> bool {
        self.extras.as_ref().is_some_and(|extras| !extras.staged.is_empty())
    }

    /// What is on its hands. `mailbox_empty`: the mailbox was seen empty.
    pub(super) fn load(&self, mailbox_empty: bool) -> Load {
        // Holds as the task has noted them: one that has ended since is news, to be noted before anything is decided.
        let busy = self.in_flight > 0 || self.waits > 0 || self.holding;
        Load { busy, awaits_store: busy && !self.is_at_work(self.holding), at_rest: !busy && mailbox_empty }
    }

    /// Resolves the limits again after a change of policy.
    pub(super) fn follow_policy(&mut self) {
        let own = self.extras.as_mut().and_then(|extras| extras.own_limits.take());
        match self.rule(own.as_ref()) {
            Ok(ruling) => self.adopt(ruling),
            // Its own limits contradict the new policy (a warning longer than the new limit):
            // what the session set wins, so the limits stay as they were.
            Err(error) => {
                // The mode may be another.
                self.vitals.set_limits_since(self.locals.clock.now());
                tracing::warn!(
                    key = %self.vitals.key(), %error,
                    "the session's own limits do not fit the new policy and stay as they were"
                );
            }
        }
        if own.is_some() {
            self.extras().own_limits = own;
        }
        let mode = self.hub().mode();
        self.lifecycle.set_mode(mode);
    }

    /// What applies to it.
    pub(crate) fn ruling(&self) -> Arc<Ruling> {
        Arc::clone(&self.ruling)
    }

    pub(super) fn rule(&self, own: Option<&Limits>) -> Result<Arc<Ruling>, PolicyError> {
        let ruling = self.hub().ruling(self.vitals.key());
        match own {
            None => Ok(ruling),
            Some(own) => {
                let limits = own.checked_over(&ruling.limits)?;
                if !self.locals.keeps {
                    limits.check_without_store(&PolicyPlace::Session)?;
                }
                Ok(Arc::new(Ruling { limits, rule: AppliedRule::Session, own: Some(own.clone()) }))
            }
        }
    }

    pub(super) fn adopt(&mut self, ruling: Arc<Ruling>) {
        self.vitals.set_ruling(Arc::clone(&ruling));
        self.ruling = ruling;
        self.vitals.set_limits_since(self.locals.clock.now());
        self.limits_changed = true;
    }

    /// How work that begins now counts.
    pub(super) fn origin(&self) -> Work {
        self.origin
    }

    /// Runs one of the actor's own futures: what it begins counts as it does.
    pub(super) fn set_origin(&mut self, origin: Work) {
        self.origin = origin;
    }

    /// An item is polled from here on.
    pub(super) fn be_patient(&mut self, polls: u8) {
        self.extras().patience.set(polls.saturating_add(1));
    }

    /// No more. True if the item was told to wait for no other reason than its neighbours.
    pub(super) fn was_impatient(&mut self) -> bool {
        self.extras().patience.replace(0) == 1
    }

    pub(super) fn loses_patience(&self) -> bool {
        let Some(extras) = &self.extras else { return false };
        match extras.patience.get() {
            0 => false,
            1 => true,
            left => {
                extras.patience.set(left - 1);
                false
            }
        }
    }

    /// The item that is being polled, or none.
    pub(super) fn set_current(&mut self, handle: SpawnHandle) {
        self.extras().current = handle;
    }

    pub(super) fn begin_message(&mut self) {
        self.origin = Work::Counted;
        // Here, not at its end: a message that panics its session was taken all the same.
        self.vitals.count_handled();
        self.message_handled = true;
    }

    pub(super) fn end_message(&mut self) {
        if self.origin == Work::Counted {
            self.activity = true;
        }
        self.origin = Work::Clockwork;
    }

    pub(super) fn begin_hand_over(&mut self, caller: Option<Caller>) {
        if caller.is_some() {
            self.extras().handed_caller = caller;
        }
        self.hand_over = HandOver::Begun;
    }

    /// Whether something was spawned into the context meanwhile.
    pub(super) fn end_hand_over(&mut self) -> bool {
        if let Some(extras) = &mut self.extras {
            extras.handed_caller = None;
        }
        mem::replace(&mut self.hand_over, HandOver::No) == HandOver::Spawned
    }

    pub(super) fn add_reply<T: 'static>(&mut self, reply: Reply<T>) {
        self.begin_work(reply.work());
        self.extras().replies.push(reply);
    }

    /// Forwards a reply that a response sends by itself. Most have by now.
    pub(super) fn relay<T: 'static>(
        &mut self,
        mut relay: oneshot::Receiver<T>,
        tx: Option<OneshotSender<T>>,
        caller: Option<Caller>,
        tracked: bool,
    ) {
        match relay.try_recv() {
            Ok(reply) => {
                let Some(tx) = tx else { return };
                if self.holds_replies() {
                    self.hold_back(Held::reply(tx, reply, caller));
                } else {
                    let _ = tx.send(reply);
                }
            }
            Err(TryRecvError::Closed) => {}
            Err(TryRecvError::Empty) => {
                let work = if tracked { Work::Clockwork } else { self.origin };
                let held = self.holds_replies();
                self.add_reply(Reply::relay(relay, tx, caller, work).held(held));
            }
        }
    }

    /// A piece of work begins.
    pub(super) fn begin_work(&mut self, work: Work) {
        if work != Work::Clockwork {
            self.in_flight += 1;
            self.progress = true;
        }
    }

    /// A piece of work has ended.
    pub(super) fn end_work(&mut self, work: Work) {
        if work != Work::Clockwork {
            self.in_flight = self.in_flight.saturating_sub(1);
            self.progress = true;
        }
        if work == Work::Counted {
            self.activity = true;
        }
    }

    /// A wait has ended.
    pub(super) fn end_wait(&mut self, work: Work) {
        self.waits = self.waits.saturating_sub(1);
        self.progress = true;
        if work == Work::Counted {
            self.activity = true;
        }
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.state != State::Running
    }

    pub(super) fn is_handing_over(&self) -> bool {
        self.hand_over != HandOver::No
    }

    /// What a reply being handed over spawns carries its mark.
    pub(super) fn handed(&mut self) -> Option<Caller> {
        self.hand_over = HandOver::Spawned;
        self.extras().handed_caller.take()
    }
}
