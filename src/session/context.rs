//! `SessionContext`: the actix context of a session.
//!
//! It holds what handlers may reach; the loop that drives it is `task.rs`. Ground rules: only the
//! session's own thread touches it; handlers stage what they spawn, wait for or cancel, and the
//! task carries that out when the handler has returned; a message costs one addition here, and the
//! clock is read by the task, once per poll.

use std::{cell::Cell, fmt, sync::Arc};

use actix::{
    ActorContext, ActorFuture, ActorState, Addr, AsyncContext, SpawnHandle,
    dev::{OneshotSender, channel::AddressReceiver},
};
use tokio::{
    sync::oneshot::{self, error::TryRecvError},
    time::Instant,
};

use super::{
    caller::Caller,
    hold::Hold,
    items::{Item, Staged, Work},
    lifecycle::{Lifecycle, Load},
    replies::{Replies, Reply},
    traits::Session,
    vitals::Vitals,
};
use crate::{
    capacity::Permit,
    event::EndReason,
    event::{Phase, SessionId},
    key::SessionKey,
    limits::{EffectiveLimits, Limits},
    policy::PolicyError,
    registry::{WeakSessionRegistry, hub::Hub},
    rules::{AppliedRule, Ruling},
};

/// The largest bound of a mailbox that actix can keep.
pub(crate) const MOST_MAIL: usize = (usize::MAX >> 2) - 1;

/// The context that makes an actor a session.
///
/// `type Context = SessionContext<Self>` is all it takes: everything `actix::Context` offers works
/// the same way (`spawn`, `wait`, `notify`, `run_later`, streams, `address`, `stop`), and the
/// session's idle and age timers run beside it without a line of user code. Only a
/// [`SessionRegistry`](crate::SessionRegistry) makes one.
pub struct SessionContext<A: Session> {
    pub(super) mailbox: AddressReceiver<A>,
    pub(super) vitals: Arc<Vitals>,
    /// The key's slot, and the way to the hub.
    pub(super) permit: Permit<A>,
    pub(super) lifecycle: Lifecycle,
    pub(super) ruling: Arc<Ruling>,
    /// What only some sessions need; a plain one never has it.
    pub(super) extras: Option<Box<Extras<A>>>,
    /// A message was given to a handler since the task looked last.
    pub(super) message_handled: bool,
    /// Something counted as activity since the task looked last.
    pub(super) activity: bool,
    /// Work began or ended since the task looked last.
    pub(super) progress: bool,
    /// Tracked items and replies in flight, without waits and holds.
    pub(super) in_flight: u32,
    /// Waits staged or running.
    pub(super) waits: u32,
    pub(super) state: State,
    /// How work that begins now counts: set by what is running now.
    origin: Work,
    handing_over: bool,
    /// Something was spawned while a reply was handed over.
    spawned: bool,
    pub(super) limits_changed: bool,
    /// How often the item that is being polled may still ask whether it has to wait, plus one; zero
    /// while none is.
    patience: Cell<u8>,
}

/// What a context holds once it is used for more than messages with plain answers.
pub(super) struct Extras<A: Session> {
    pub(super) staged: Vec<Staged<A>>,
    pub(super) replies: Replies,
    /// Who waits for the reply that is being handed over, for what is spawned meanwhile.
    handed_caller: Option<Caller>,
    last_handle: SpawnHandle,
    /// The handle of the item that is being polled.
    current: SpawnHandle,
    /// What the session set itself; wins over the policy until it lets go.
    own_limits: Option<Limits>,
}

impl<A: Session> Default for Extras<A> {
    fn default() -> Self {
        Self {
            staged: Vec::new(),
            replies: Replies::default(),
            handed_caller: None,
            last_handle: SpawnHandle::default(),
            current: SpawnHandle::default(),
            own_limits: None,
        }
    }
}

/// Like actix's context flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Running,
    /// The session's own `ctx.stop()`.
    Stopping,
    /// `ctx.terminate()`, or the end.
    Stopped,
}

impl<A: Session> SessionContext<A> {
    pub(crate) fn new(
        mailbox: AddressReceiver<A>,
        vitals: Arc<Vitals>,
        permit: Permit<A>,
        lifecycle: Lifecycle,
        ruling: Arc<Ruling>,
    ) -> Self {
        Self {
            mailbox,
            vitals,
            permit,
            lifecycle,
            ruling,
            extras: None,
            message_handled: false,
            activity: false,
            progress: false,
            in_flight: 0,
            waits: 0,
            state: State::Running,
            origin: Work::Clockwork,
            handing_over: false,
            spawned: false,
            limits_changed: false,
            patience: Cell::new(0),
        }
    }

    /// The key this session was opened under.
    pub fn key(&self) -> &SessionKey {
        self.vitals.key()
    }

    /// This incarnation of the key.
    pub fn id(&self) -> SessionId {
        self.vitals.id()
    }

    /// The registry, held weakly: a session does not keep its registry alive.
    pub fn registry(&self) -> WeakSessionRegistry<A> {
        self.hub().handle()
    }

    /// Counts as activity: the idle clock starts again. For what the session notices itself and
    /// actix does not deliver as a message, such as a socket fed by a stream.
    pub fn touch(&mut self) {
        self.activity = true;
    }

    /// The message that is being handled does not count as activity, nor does the end of the work
    /// it starts from here on. That work still keeps the session while it runs. For probes and
    /// other traffic that must not keep a session alive.
    ///
    /// Outside of the handling of a mailbox message it has no effect.
    pub fn passive(&mut self) {
        if self.origin == Work::Counted {
            self.origin = Work::Passive;
        }
    }

    /// Keeps the session busy until the returned guard is dropped, from whatever thread.
    pub fn hold(&self) -> Hold {
        Hold::new(Arc::clone(&self.vitals), self.origin != Work::Passive)
    }

    /// When the session will end if nothing more happens: the nearer of the idle and the max-age
    /// deadline, or the hard end of a drain. `None` is never. While the session is busy it has no
    /// idle deadline. The message being handled is counted in when it has been handled.
    pub fn expires_at(&self) -> Option<Instant> {
        self.lifecycle.expires_at(self.load(false), &self.ruling.limits)
    }

    /// The limits in force for this session.
    pub fn limits(&self) -> EffectiveLimits {
        self.ruling.limits
    }

    /// Sets limits of the session's own. What they leave out comes from the policy. They win over
    /// the policy, also over one set later, until `set_limits(None)` lets go. Takes effect when
    /// the handler returns; a deadline that has passed by the new limits is due at once.
    ///
    /// # Errors
    ///
    /// If a duration is zero, or `warn_before` is not below `idle_timeout` and `max_age`. The
    /// limits stay as they were.
    pub fn set_limits(&mut self, limits: impl Into<Option<Limits>>) -> Result<(), PolicyError> {
        let own = limits.into();
        let ruling = self.rule(own.as_ref())?;
        if own.is_some() || self.extras.is_some() {
            self.extras().own_limits = own;
        }
        self.adopt(ruling);
        Ok(())
    }

    /// Why the session is ending, from the begin of its drain on; in `stopping` and `stopped` too.
    pub fn end_reason(&self) -> Option<EndReason> {
        match self.state {
            State::Running => self.lifecycle.end_reason(),
            State::Stopping | State::Stopped => Some(self.lifecycle.end_reason().unwrap_or(EndReason::Stopped)),
        }
    }

    /// Whether the session serves or drains.
    pub fn phase(&self) -> Phase {
        if self.lifecycle.is_draining() { Phase::Draining } else { Phase::Active }
    }

    /// The handle of the future that is running now, as `actix::Context::handle`.
    pub fn handle(&self) -> SpawnHandle {
        self.extras.as_ref().map_or_else(SpawnHandle::default, |extras| extras.current)
    }

    /// How many messages may wait for this session before senders are told that it is full, as
    /// `actix::Context::set_mailbox_capacity`. Starts as the builder's `mailbox_capacity`.
    pub fn set_mailbox_capacity(&mut self, capacity: usize) {
        self.mailbox.set_capacity(capacity.min(MOST_MAIL));
    }

    /// Whether any address is connected, as `actix::Context::connected`. The registry's own counts,
    /// so this is true until the session leaves the directory.
    pub fn connected(&self) -> bool {
        self.mailbox.connected()
    }

    // ---- for the task -------------------------------------------------------------------------

    pub(super) fn hub(&self) -> &Arc<Hub<A>> {
        self.permit.hub()
    }

    pub(super) fn extras(&mut self) -> &mut Extras<A> {
        self.extras.get_or_insert_default()
    }

    /// Something is staged for the task to carry out.
    pub(super) fn has_staged(&self) -> bool {
        self.extras.as_ref().is_some_and(|extras| !extras.staged.is_empty())
    }

    /// What is on its hands. `mailbox_empty`: the mailbox was seen empty.
    pub(super) fn load(&self, mailbox_empty: bool) -> Load {
        let busy = self.in_flight > 0 || self.waits > 0 || self.vitals.holds() > 0;
        Load { busy, at_rest: !busy && mailbox_empty }
    }

    /// Resolves the limits again after a change of policy.
    pub(super) fn follow_policy(&mut self) {
        let own = self.extras.as_mut().and_then(|extras| extras.own_limits.take());
        match self.rule(own.as_ref()) {
            Ok(ruling) => self.adopt(ruling),
            // Its own limits contradict the new policy (a warning longer than the new limit):
            // what the session set wins, so the limits stay as they were.
            Err(error) => tracing::warn!(
                key = %self.vitals.key(), %error,
                "the session's own limits do not fit the new policy and stay as they were"
            ),
        }
        if own.is_some() {
            self.extras().own_limits = own;
        }
        let mode = self.hub().mode();
        self.lifecycle.set_mode(mode);
    }

    fn rule(&self, own: Option<&Limits>) -> Result<Arc<Ruling>, PolicyError> {
        let ruling = self.hub().ruling(self.vitals.key());
        match own {
            None => Ok(ruling),
            Some(own) => {
                let limits = own.checked_over(&ruling.limits)?;
                Ok(Arc::new(Ruling { limits, rule: AppliedRule::Session }))
            }
        }
    }

    fn adopt(&mut self, ruling: Arc<Ruling>) {
        self.vitals.set_ruling(Arc::clone(&ruling));
        self.ruling = ruling;
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
    pub(super) fn be_patient(&self, polls: u8) {
        self.patience.set(polls.saturating_add(1));
    }

    /// No more. True if the item was told to wait for no other reason than its neighbours.
    pub(super) fn was_impatient(&self) -> bool {
        self.patience.replace(0) == 1
    }

    fn loses_patience(&self) -> bool {
        match self.patience.get() {
            0 => false,
            1 => true,
            left => {
                self.patience.set(left - 1);
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
        self.handing_over = true;
        self.spawned = false;
    }

    /// Whether something was spawned into the context meanwhile.
    pub(super) fn end_hand_over(&mut self) -> bool {
        if let Some(extras) = &mut self.extras {
            extras.handed_caller = None;
        }
        self.handing_over = false;
        self.spawned
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
                if let Some(tx) = tx {
                    let _ = tx.send(reply);
                }
            }
            Err(TryRecvError::Closed) => {}
            Err(TryRecvError::Empty) => {
                let work = if tracked { Work::Clockwork } else { self.origin };
                self.add_reply(Reply::relay(relay, tx, caller, work));
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

    /// What a reply being handed over spawns carries its mark.
    fn handed(&mut self) -> Option<Caller> {
        self.spawned = true;
        self.extras().handed_caller.take()
    }
}

impl<A: Session> ActorContext for SessionContext<A> {
    /// Records the wish; the session ends when the handler has returned, as
    /// [`EndReason::Stopped`]. Work in the context is cut, mail that waits goes to a successor.
    fn stop(&mut self) {
        if self.state == State::Running {
            self.state = State::Stopping;
        }
    }

    /// As [`stop`](Self::stop), without asking `stopping`.
    fn terminate(&mut self) {
        self.state = State::Stopped;
    }

    fn state(&self) -> ActorState {
        match self.state {
            State::Running => ActorState::Running,
            State::Stopping => ActorState::Stopping,
            State::Stopped => ActorState::Stopped,
        }
    }
}

impl<A: Session> AsyncContext<A> for SessionContext<A> {
    fn address(&self) -> Addr<A> {
        Addr::new(self.mailbox.sender())
    }

    fn spawn<F>(&mut self, fut: F) -> SpawnHandle
    where
        F: ActorFuture<A, Output = ()> + 'static,
    {
        let (work, caller) = if self.handing_over { (self.origin, self.handed()) } else { (Work::Clockwork, None) };
        self.begin_work(work);
        let extras = self.extras();
        extras.last_handle = extras.last_handle.next();
        let handle = extras.last_handle;
        extras.staged.push(Staged::Spawn(Item::new(handle, fut, work, caller)));
        handle
    }

    fn wait<F>(&mut self, fut: F)
    where
        F: ActorFuture<A, Output = ()> + 'static,
    {
        let caller = if self.handing_over { self.handed() } else { None };
        self.waits += 1;
        self.progress = true;
        let item = Item::new(SpawnHandle::default(), fut, self.origin, caller);
        self.extras().staged.push(Staged::Wait(item));
    }

    /// As in actix; and a future that asks again and again while it is polled is told to wait once
    /// it has had its share. It is how actix's message streams, which have no end of their own, are
    /// made to yield.
    fn waiting(&self) -> bool {
        self.waits > 0 || self.is_stopping() || self.loses_patience()
    }

    fn cancel_future(&mut self, handle: SpawnHandle) -> bool {
        self.extras().staged.push(Staged::Cancel(handle));
        true
    }
}

impl<A: Session> fmt::Debug for SessionContext<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionContext")
            .field("key", self.vitals.key())
            .field("id", &self.vitals.id())
            .field("state", &self.state)
            .field("in_flight", &self.in_flight)
            .finish_non_exhaustive()
    }
}
