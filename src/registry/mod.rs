//! The registry's handle: what a gateway works with.

use std::{fmt, sync::Arc, time::Duration};

use actix::{Addr, Handler, Message, prelude::SendError as ActixSendError};

mod builder;
mod closing;
mod dry_run;
mod ends;
pub(crate) mod handle;
pub(crate) mod hub;
mod looking;
mod making_room;
mod opening;
mod policy;
mod reply;
mod shutdown;

pub use self::{
    builder::RegistryBuilder,
    closing::Closing,
    dry_run::DryRun,
    handle::WeakSessionRegistry,
    reply::Reply,
    shutdown::{Shutdown, ShutdownReport},
};
use self::{handle::Handle, hub::Hub};
use crate::{
    directory::Route,
    error::{OpenError, SendError, ShutdownError},
    key::{IntoKey, SessionKey},
    moment::Moment,
    policy::Mode,
    session::{Session, caller::Caller, inside, wishes::Wishes},
    start::Make,
};

/// Sessions by key: opens them, leads to them, and watches them end.
///
/// Cheap to clone and usable from every thread. When the last clone is dropped the registry shuts
/// down, as [`shutdown`](Self::shutdown) with the policy's `drain_timeout` does; sessions
/// themselves hold it weakly.
pub struct SessionRegistry<A: Session> {
    handle: Arc<Handle<A>>,
}

impl<A: Session> SessionRegistry<A> {
    /// A registry whose sessions are made by `factory`, on the thread they will run on. A factory
    /// that panics refuses that one session; whoever sent to it is told.
    pub fn builder<F>(factory: F) -> RegistryBuilder<A>
    where
        F: Fn(&SessionKey) -> A + Send + Sync + 'static,
    {
        RegistryBuilder::new(Box::new(factory))
    }

    pub(crate) fn from_handle(handle: Arc<Handle<A>>) -> Self {
        Self { handle }
    }

    fn hub(&self) -> &Arc<Hub<A>> {
        &self.handle.hub
    }

    // ---- sessions -----------------------------------------------------------------------------

    /// The address of the session of `key`, which is opened if it is not live.
    ///
    /// Opening a live key counts as activity: the address is good for `idle_timeout` from now. An
    /// address leads to one incarnation: after its end, messages to it are refused by actix as
    /// closed, while [`send`](Self::send) finds or opens the next.
    ///
    /// # Errors
    ///
    /// If the key is invalid, the cap is reached, the registry shuts down or no arbiter is left.
    pub fn open(&self, key: impl IntoKey) -> Result<Addr<A>, OpenError> {
        self.open_by(key, None)
    }

    /// As [`open`](Self::open), but a session that is opened by it is made by `make` instead of the
    /// registry's factory; for a session that needs what only its opener has. Not called if the
    /// key is live. A successor that is opened later, for mail this one left, is made by the
    /// registry's factory.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_with<F>(&self, key: impl IntoKey, make: F) -> Result<Addr<A>, OpenError>
    where
        F: FnOnce(&SessionKey) -> A + Send + 'static,
    {
        self.open_by(key, Some(Box::new(make)))
    }

    fn open_by(&self, key: impl IntoKey, make: Option<Make<A>>) -> Result<Addr<A>, OpenError> {
        let hub = self.hub();
        let observing = hub.mode() == Mode::Observe;
        hub.route(key, make, &mut |route: &Route<A>| {
            // One that comes back from the store has not.
            if route.vitals.has_begun() || hub.keeper.is_some() {
                route.vitals.touch(hub.clock.now());
            }
            // After a warning, activity may bring the next one nearer than the alarm is set.
            if observing || route.vitals.has_warned() {
                route.vitals.wish(Wishes::OPENED);
            }
            Addr::new(route.sender.clone())
        })
    }

    /// The address of the session of `key`, if it is live. No activity.
    pub fn get(&self, key: impl IntoKey) -> Option<Addr<A>> {
        self.hub().directory.with(key.as_str(), |route| Addr::new(route.sender.clone()))
    }

    /// Sends a message to the session of `key`, which is opened if it is not live. The message is
    /// in a mailbox, or refused, when this returns; wait for the answer.
    ///
    /// A message that was accepted is handled by that session or, if it ends first, by its
    /// successor, which is opened for it.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open), and if the mailbox is full: the message is given back. If it was
    /// accepted and then went unserved, the cause.
    pub fn send<M>(&self, key: impl IntoKey, message: M) -> Reply<M>
    where
        A: Handler<M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        let caller = Caller::default();
        let mut message = Some(message);
        let sent = self.hub().route(key, None, &mut |route: &Route<A>| {
            message.take().map(|message| caller.around(|| route.sender.send(message)))
        });
        match (sent, message) {
            (Ok(Some(Ok(rx))), _) => Reply::waiting(rx, caller),
            (Ok(Some(Err(ActixSendError::Full(message)))), _) => Reply::failed(SendError::Full { message }),
            // A mailbox closes after its session has left the directory, so nobody gets here but
            // by an arbiter that stopped this very moment.
            (Ok(Some(Err(ActixSendError::Closed(message)))), _) => {
                Reply::failed(SendError::Refused { cause: self.hub().no_host(), message })
            }
            (Err(cause), Some(message)) => Reply::failed(SendError::Refused { cause, message }),
            (Ok(None) | Err(_), _) => {
                Reply::failed(SendError::Unserved { cause: crate::error::Unserved::ReplyDropped })
            }
        }
    }

    /// Sends a message without waiting for an answer, unless the mailbox is full.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send); the message is given back.
    pub fn try_send<M>(&self, key: impl IntoKey, message: M) -> Result<(), SendError<M>>
    where
        A: Handler<M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        // `park`: its sender is the directory's, which is thereby told when there is room again.
        self.push(key, message, |route, message| route.sender.try_send(message, true))
    }

    /// Sends a message without waiting for an answer. It is queued even if the mailbox is full, as
    /// by actix's `do_send`.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open); the message is given back.
    pub fn do_send<M>(&self, key: impl IntoKey, message: M) -> Result<(), SendError<M>>
    where
        A: Handler<M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        // The directory's own sender is told that it has reached the bound, though it queues beyond it.
        self.push(key, message, |route, message| match route.sender.try_send(message, true) {
            Err(ActixSendError::Full(message)) => route.sender.do_send(message),
            sent => sent,
        })
    }

    fn push<M>(
        &self,
        key: impl IntoKey,
        message: M,
        push: impl Fn(&Route<A>, M) -> Result<(), ActixSendError<M>>,
    ) -> Result<(), SendError<M>> {
        let mut message = Some(message);
        let pushed =
            self.hub().route(key, None, &mut |route: &Route<A>| message.take().map(|message| push(route, message)));
        match (pushed, message) {
            (Ok(Some(Ok(())) | None), _) => Ok(()),
            (Ok(Some(Err(ActixSendError::Full(message)))), _) => Err(SendError::Full { message }),
            (Ok(Some(Err(ActixSendError::Closed(message)))), _) => {
                Err(SendError::Refused { cause: self.hub().no_host(), message })
            }
            (Err(cause), Some(message)) => Err(SendError::Refused { cause, message }),
            (Err(_), None) => Ok(()),
        }
    }

    /// Ends the session of `key` as [`EndReason::Closed`](crate::EndReason::Closed): it leaves the
    /// directory and drains. Takes effect at the call; the returned future tells when it has ended.
    /// A session that drains already keeps its reason, and is waited for.
    ///
    /// # Errors
    ///
    /// The future's: [`CloseError`](crate::CloseError).
    pub fn close(&self, key: impl IntoKey) -> Closing {
        let hub = self.hub();
        if let Some(keeper) = &hub.keeper {
            return key.into_key().map_or_else(|_| Closing::new(None), |key| keeper.close(hub, key));
        }
        Closing::new(hub.close_in_memory(key.as_str()))
    }

    /// Puts off the idle end of the session of `key`: it does not come before `by` from now. As if
    /// [`Session::expiring`] had answered that, so it is no activity, never shortens what the session has, and does not
    /// move `max_age`. True if there is such a session in memory, which then gets that time; one that drains does not.
    pub fn extend(&self, key: impl IntoKey, by: Duration) -> bool {
        let hub = self.hub();
        let until = hub.clock.now().checked_add(by).unwrap_or(Moment::LAST);
        // Under the entry lock: an idle end sees it, or has left the directory before.
        hub.directory.with(key.as_str(), |route| route.vitals.grant(until)).is_some()
    }

    /// Ends everything: from now on nothing is opened, every session drains, and what is not at
    /// rest after `timeout` is cut. Takes effect at the call; the returned future tells the
    /// outcome, at most a second after the timeout, and has to be awaited on a tokio runtime. A
    /// second call joins the first, and its timeout does not count. Then the hosts stop, with the
    /// arbiters that were made for them, and the streams of watchers end.
    ///
    /// # Errors
    ///
    /// From inside a session of this registry, which would wait for itself.
    pub fn shutdown(&self, timeout: Duration) -> Shutdown {
        let hub = self.hub();
        if inside::is_inside(Arc::as_ptr(hub).cast()) {
            return Shutdown::refused(ShutdownError::InsideSession);
        }
        hub.begin_shutdown(Some(timeout));
        Shutdown::of(Arc::clone(hub))
    }

    /// A handle that does not keep the registry open.
    pub fn downgrade(&self) -> WeakSessionRegistry<A> {
        WeakSessionRegistry::new(Arc::downgrade(&self.handle))
    }
}

impl<A: Session> Clone for SessionRegistry<A> {
    fn clone(&self) -> Self {
        Self { handle: Arc::clone(&self.handle) }
    }
}

impl<A: Session> fmt::Debug for SessionRegistry<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionRegistry").field("hub", self.hub()).finish()
    }
}
