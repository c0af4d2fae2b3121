//! The traits that make a `SessionContext` an actix context.

use actix::{ActorContext, ActorFuture, ActorState, Addr, AsyncContext, SpawnHandle};

use super::{
    context::{SessionContext, State},
    items::{Item, Staged, Work},
    traits::Session,
};
#[cfg(doc)]
use crate::event::EndReason;

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
        let (work, caller) =
            if self.is_handing_over() { (self.origin, self.handed()) } else { (Work::Clockwork, None) };
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
        let caller = if self.is_handing_over() { self.handed() } else { None };
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
        let extras = self.extras();
        extras.staged.push(Staged::Cancel(handle));
        extras.cancelled = true;
        true
    }
}
