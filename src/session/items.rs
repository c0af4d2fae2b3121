//! What an actor has spawned into its context.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use actix::{Actor, ActorFuture, SpawnHandle};

use super::caller::Caller;

/// How a piece of work counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// The session's own clockwork: keeps nothing alive.
    Clockwork,
    /// Keeps the session busy; its end restarts the idle clock.
    Counted,
    /// Keeps the session busy; its end does not restart the idle clock.
    Passive,
}

/// A future of the actor's, and what it stands for.
pub(crate) struct Item<A: Actor> {
    pub(crate) handle: SpawnHandle,
    future: Pin<Box<dyn ActorFuture<A, Output = ()>>>,
    pub(crate) work: Work,
    /// Whoever waits for the reply that it makes.
    caller: Option<Caller>,
    done: bool,
}

impl<A: Actor> Item<A> {
    pub(crate) fn new<F>(handle: SpawnHandle, future: F, work: Work, caller: Option<Caller>) -> Self
    where
        F: ActorFuture<A, Output = ()> + 'static,
    {
        Self { handle, future: Box::pin(future), work, caller, done: false }
    }

    pub(crate) fn poll(&mut self, act: &mut A, ctx: &mut A::Context, cx: &mut Context<'_>) -> Poll<()> {
        let polled = self.future.as_mut().poll(act, ctx, cx);
        self.done = polled.is_ready();
        polled
    }
}

impl<A: Actor> Drop for Item<A> {
    fn drop(&mut self) {
        // Before the future goes, which holds the reply sender.
        if let (false, Some(caller)) = (self.done, &self.caller) {
            caller.tell_unserved();
        }
    }
}

impl<A: Actor> fmt::Debug for Item<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Item").field("handle", &self.handle).field("work", &self.work).finish_non_exhaustive()
    }
}

/// What a handler asked of its context, in the order it asked; carried out by the task when the
/// handler has returned, because the handler cannot reach the lists that are being polled.
#[derive(Debug)]
pub(crate) enum Staged<A: Actor> {
    Spawn(Item<A>),
    Wait(Item<A>),
    Cancel(SpawnHandle),
}
