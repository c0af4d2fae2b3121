//! The envelope around every mailbox message: it is how a session notices messages and the work
//! they start, without a line of user code.

use std::{any::Any, any::TypeId, marker::PhantomData};

use actix::{
    ActorResponse, AtomicResponse, Handler, Message, MessageResult, ResponseActFuture, ResponseFuture,
    dev::{Envelope, EnvelopeProxy, MessageResponse, OneshotSender, ToEnvelope},
};
use tokio::sync::oneshot;

use super::{
    caller::Caller,
    context::SessionContext,
    parcel::{Forward, Parcel, offer},
    replies::Reply,
    traits::Session,
};

impl<A, M> ToEnvelope<A, M> for SessionContext<A>
where
    A: Session + Handler<M>,
    M: Message + Send + 'static,
    M::Result: Send,
{
    /// Only boxes: it runs on the sender's thread, in the middle of its send.
    #[inline]
    fn pack(msg: M, tx: Option<OneshotSender<M::Result>>) -> Envelope<A> {
        // A `do_send` has nobody who could be told anything.
        match tx.as_ref().and_then(|_| Caller::current()) {
            None => SessionEnvelope::<A, M, Untold>::envelope(msg, tx, Untold),
            Some(caller) => SessionEnvelope::<A, M, Caller>::envelope(msg, tx, caller),
        }
    }
}

/// Who is told why no reply comes.
trait Told: Clone + Send + 'static {
    fn caller(&self) -> Option<&Caller>;
}

impl Told for Caller {
    fn caller(&self) -> Option<&Caller> {
        Some(self)
    }
}

/// Nobody: the message came through an address. It takes no room, so that such an envelope is no
/// larger than actix's own.
#[derive(Clone)]
struct Untold;

impl Told for Untold {
    fn caller(&self) -> Option<&Caller> {
        None
    }
}

/// One message, whoever waits for its reply, and how to tell them that none will come.
struct SessionEnvelope<A, M, T>
where
    A: Session + Handler<M>,
    M: Message + Send + 'static,
    M::Result: Send,
    T: Told,
{
    /// Taken when it is handled.
    msg: Option<M>,
    tx: Option<OneshotSender<M::Result>>,
    told: T,
    actor: PhantomData<fn() -> A>,
}

impl<A, M, T> SessionEnvelope<A, M, T>
where
    A: Session + Handler<M>,
    M: Message + Send + 'static,
    M::Result: Send,
    T: Told,
{
    fn envelope(msg: M, tx: Option<OneshotSender<M::Result>>, told: T) -> Envelope<A> {
        Envelope::with_proxy(Box::new(Self { msg: Some(msg), tx, told, actor: PhantomData }))
    }
}

impl<A, M, T> EnvelopeProxy<A> for SessionEnvelope<A, M, T>
where
    A: Session + Handler<M>,
    M: Message + Send + 'static,
    M::Result: Send,
    T: Told,
{
    fn handle(&mut self, act: &mut A, ctx: &mut SessionContext<A>) {
        if self.is_abandoned() {
            // Dropped as actix does; nobody asked for anything, so it is no activity either.
            self.msg = None;
            return;
        }
        let Some(msg) = self.msg.take() else { return };
        ctx.begin_message();
        let response = <A as Handler<M>>::handle(act, msg, ctx);
        // It stays here until it is used: if the handler panics, or the response does, `drop` tells the caller.
        hand_over::<A, M>(response, ctx, &mut self.tx, self.told.caller());
        ctx.end_message();
    }
}

impl<A, M, T> Forward<A> for SessionEnvelope<A, M, T>
where
    A: Session + Handler<M>,
    M: Message + Send + 'static,
    M::Result: Send,
    T: Told,
{
    fn is_abandoned(&self) -> bool {
        self.tx.as_ref().is_some_and(oneshot::Sender::is_closed)
    }

    fn is_moot(&self) -> bool {
        self.msg.as_ref().is_some_and(|msg| A::is_moot(msg))
    }
}

impl<A, M, T> Drop for SessionEnvelope<A, M, T>
where
    A: Session + Handler<M>,
    M: Message + Send + 'static,
    M::Result: Send,
    T: Told,
{
    fn drop(&mut self) {
        if self.msg.is_some() {
            let (msg, tx, told) = (&mut self.msg, &mut self.tx, &self.told);
            let collected = offer::<A>(|| -> Parcel<A> {
                Box::new(Self { msg: msg.take(), tx: tx.take(), told: told.clone(), actor: PhantomData })
            });
            if collected {
                return;
            }
        }
        // Before the reply sender goes, which is what the caller waits for.
        if let (Some(_), Some(caller)) = (&self.tx, self.told.caller()) {
            caller.tell_unserved();
        }
    }
}

/// Gives the response to whoever waits, and notes the work that is behind it.
///
/// What a response does with the context is known by its type: plain values and `MessageResult`
/// answer now; a `ResponseFuture` is taken out and polled by the session itself, so that it is seen
/// to be in flight; actix's context-bound responses call `ctx.spawn` or `ctx.wait` while they are
/// handed over, and what they spawn there carries the mark. Everything else (`Response`, a user's
/// own type) gets its reply relayed, outside of the context, so that neither `stop` nor a `wait`
/// ever stands between a reply and its caller.
fn hand_over<A, M>(
    response: <A as Handler<M>>::Result,
    ctx: &mut SessionContext<A>,
    tx: &mut Option<OneshotSender<M::Result>>,
    caller: Option<&Caller>,
) where
    A: Session + Handler<M>,
    M: Message + Send + 'static,
    M::Result: Send,
{
    let kind = TypeId::of::<<A as Handler<M>>::Result>();
    // What is behind the reply may have to be saved first: then it is relayed, whatever it is.
    let held = tx.is_some() && ctx.holds_replies();
    if held && kind != TypeId::of::<ResponseFuture<M::Result>>() {
        relay_reply::<A, M>(response, ctx, tx, caller);
    } else if kind == TypeId::of::<M::Result>() || kind == TypeId::of::<MessageResult<M>>() {
        response.handle(ctx, tx.take());
    } else if kind == TypeId::of::<ResponseFuture<M::Result>>() {
        let mut response = Some(response);
        let taken =
            (&mut response as &mut dyn Any).downcast_mut::<Option<ResponseFuture<M::Result>>>().and_then(Option::take);
        match (taken, response) {
            (Some(future), _) => {
                let reply = Reply::future(future, tx.take(), caller.cloned(), ctx.origin());
                ctx.add_reply(reply.held(held));
            }
            (None, Some(response)) => response.handle(ctx, tx.take()),
            (None, None) => {}
        }
    } else if kind == TypeId::of::<ResponseActFuture<A, M::Result>>()
        || kind == TypeId::of::<AtomicResponse<A, M::Result>>()
        || kind == TypeId::of::<ActorResponse<A, M::Result>>()
    {
        ctx.begin_hand_over(caller.cloned());
        response.handle(ctx, tx.take());
        ctx.end_hand_over();
    } else {
        relay_reply::<A, M>(response, ctx, tx, caller);
    }
}

fn relay_reply<A, M>(
    response: <A as Handler<M>>::Result,
    ctx: &mut SessionContext<A>,
    tx: &mut Option<OneshotSender<M::Result>>,
    caller: Option<&Caller>,
) where
    A: Session + Handler<M>,
    M: Message + Send + 'static,
    M::Result: Send,
{
    let (relay, relayed) = oneshot::channel();
    ctx.begin_hand_over(caller.cloned());
    response.handle(ctx, Some(relay));
    // If it spawned into the context, that piece is tracked already; the relay only forwards.
    let tracked = ctx.end_hand_over();
    ctx.relay(relayed, tx.take(), caller.cloned(), tracked);
}
