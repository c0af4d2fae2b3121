//! `SessionContext`: the actix context of a session.
//!
//! It holds what handlers may reach; the loop that drives it is `task.rs`. Ground rules: only the
//! session's own thread touches it; handlers stage what they spawn, wait for or cancel, and the
//! task carries that out when the handler has returned; a message costs one addition here, and the
//! clock is read by the task, once per poll.

use std::{cell::Cell, fmt, rc::Rc, sync::Arc};

use actix::{SpawnHandle, dev::channel::AddressReceiver};
use tokio::time::Instant;

use super::{
    caller::Caller,
    hold::Hold,
    items::{Staged, Work},
    lifecycle::Lifecycle,
    replies::Replies,
    saved::Saving,
    traits::Session,
    vitals::Vitals,
};
use crate::{
    event::{EndReason, Phase, SessionId},
    key::SessionKey,
    limits::{EffectiveLimits, Limits},
    locals::Locals,
    policy::PolicyError,
    registry::WeakSessionRegistry,
    rules::Ruling,
};

/// The largest bound of a mailbox that actix can keep.
pub(crate) const MOST_MAIL: usize = (usize::MAX >> 2) - 1;

/// The context that makes an actor a session.
///
/// `type Context = SessionContext<Self>` is all it takes: everything `actix::Context` offers works
/// the same way (`spawn`, `wait`, `notify`, `run_later`, streams, `address`, `stop`), and the
/// session's idle and age timers run beside it without a line of user code. Only a
/// [`SessionRegistry`](crate::SessionRegistry) makes one.
// In the order in which a message needs them: see `task.rs`.
#[repr(C)]
pub struct SessionContext<A: Session> {
    pub(super) mailbox: AddressReceiver<A>,
    pub(super) vitals: Arc<Vitals>,
    pub(super) locals: Rc<Locals<A>>,
    /// What only some sessions need; a plain one never has it.
    pub(super) extras: Option<Box<Extras<A>>>,
    /// Something counted as activity since the task looked last.
    pub(super) activity: bool,
    /// Work began or ended since the task looked last.
    pub(super) progress: bool,
    /// Holds were alive when the task looked last.
    pub(super) holding: bool,
    pub(super) limits_changed: bool,
    /// A message was given to a handler since the task looked last.
    pub(super) message_handled: bool,
    pub(super) state: State,
    /// How work that begins now counts: set by what is running now.
    pub(super) origin: Work,
    pub(super) hand_over: HandOver,
    /// Tracked items and replies in flight, without waits and holds.
    pub(super) in_flight: u32,
    /// Waits staged or running.
    pub(super) waits: u32,
    pub(super) lifecycle: Lifecycle,
    pub(super) ruling: Arc<Ruling>,
}

/// What a context holds once it is used for more than messages with plain answers.
pub(super) struct Extras<A: Session> {
    pub(super) staged: Vec<Staged<A>>,
    /// Some of it is a cancellation.
    pub(super) cancelled: bool,
    pub(super) replies: Replies,
    /// Who waits for the reply that is being handed over, for what is spawned meanwhile.
    pub(super) handed_caller: Option<Caller>,
    pub(super) last_handle: SpawnHandle,
    /// The handle of the item that is being polled.
    pub(super) current: SpawnHandle,
    /// How often that item may still ask whether it has to wait, plus one; zero while none is polled.
    pub(super) patience: Cell<u8>,
    /// What the session set itself; wins over the policy until it lets go.
    pub(super) own_limits: Option<Limits>,
    /// Of a session that the store has, or is about to have.
    pub(super) saving: Option<Box<Saving>>,
}

impl<A: Session> Default for Extras<A> {
    fn default() -> Self {
        Self {
            staged: Vec::new(),
            cancelled: false,
            replies: Replies::default(),
            handed_caller: None,
            last_handle: SpawnHandle::default(),
            current: SpawnHandle::default(),
            patience: Cell::new(0),
            own_limits: None,
            saving: None,
        }
    }
}

/// Whether a reply is being handed over, which marks what is spawned meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HandOver {
    No,
    Begun,
    /// Something was spawned.
    Spawned,
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
        locals: Rc<Locals<A>>,
        lifecycle: Lifecycle,
        ruling: Arc<Ruling>,
    ) -> Self {
        Self {
            mailbox,
            vitals,
            locals,
            extras: None,
            activity: false,
            progress: false,
            holding: false,
            limits_changed: false,
            message_handled: false,
            state: State::Running,
            origin: Work::Clockwork,
            hand_over: HandOver::No,
            in_flight: 0,
            waits: 0,
            lifecycle,
            ruling,
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
        let mut load = self.load(false);
        // Also a hold that was taken in this handler.
        load.busy |= self.vitals.holds().alive() > 0;
        self.lifecycle.expires_at(load, &self.ruling.limits).map(|at| self.hub().clock.instant(at))
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
    ///
    /// `None` for one that only leaves memory, in its `stopping` and `stopped` as well: see
    /// [`is_passivated`](Self::is_passivated).
    pub fn end_reason(&self) -> Option<EndReason> {
        if self.is_passivated() {
            return None;
        }
        match self.state {
            State::Running => self.lifecycle.end_reason(),
            State::Stopping | State::Stopped => Some(self.lifecycle.end_reason().unwrap_or(EndReason::Stopped)),
        }
    }

    /// Whether the session leaves memory for its store, at rest: in `stopping` and `stopped`. It was saved before;
    /// what these change is not kept. A shutdown, which saves sessions too, is an end for whoever asks here.
    pub fn is_passivated(&self) -> bool {
        self.known_saving().is_some_and(|saving| saving.passivated)
    }

    /// A session that comes back: its own limits, and that the store has it.
    pub(crate) fn resume(&mut self, own: Option<Limits>) {
        self.saving().stored = true;
        let Some(own) = own else { return };
        match self.rule(Some(&own)) {
            Ok(ruling) => {
                self.extras().own_limits = Some(own);
                self.adopt(ruling);
                // The store has them: nothing that would have to be saved.
                self.limits_changed = false;
            }
            Err(error) => {
                tracing::warn!(key = %self.vitals.key(), %error, "the limits that the session had set itself are dropped");
            }
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
