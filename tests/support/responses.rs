//! One message for each way in which a handler may answer: those of actix and some of a user's own.
#![allow(dead_code, missing_docs, unreachable_pub)]

use std::time::Duration;

use actix::{
    dev::{MessageResponse, OneshotSender},
    prelude::*,
};
use session_actors::SessionContext;
use tokio::time::sleep;

use crate::support::Probe;

/// What a message asks for: a reply after so much work.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    pub lasts: Duration,
    /// Whether the handler calls `ctx.passive()` first.
    pub passive: bool,
}

impl Work {
    fn begin(self, probe: &mut Probe, ctx: &mut SessionContext<Probe>) {
        probe.handled += 1;
        if self.passive {
            ctx.passive();
        }
    }

    async fn done(self) -> u64 {
        sleep(self.lasts).await;
        7
    }
}

/// A message `$message`, answered by `$answer`, which makes a `$response` of the work.
macro_rules! answered_by {
    ($(#[$doc:meta])* $message:ident, $response:ty, $answer:expr) => {
        $(#[$doc])*
        #[derive(Message)]
        #[rtype(result = "u64")]
        pub struct $message(pub Work);

        impl Handler<$message> for Probe {
            type Result = $response;

            fn handle(&mut self, message: $message, ctx: &mut Self::Context) -> Self::Result {
                message.0.begin(self, ctx);
                let answer: fn(Work, &mut Self) -> $response = $answer;
                answer(message.0, self)
            }
        }
    };
}

// Ready when the handler returns; what the work asks for is ignored.
answered_by!(Plain, u64, |_, _| 7);
answered_by!(ByResult, MessageResult<ByResult>, |_, _| MessageResult(7));
answered_by!(ActorReady, ActorResponse<Probe, u64>, |_, _| ActorResponse::reply(7));
answered_by!(ResponseReady, Response<u64>, |_, _| Response::reply(7));
answered_by!(OwnReady, AtOnce, |_, _| AtOnce);

// Ready when the work is done.
answered_by!(ByFuture, ResponseFuture<u64>, |work, _| Box::pin(work.done()));
answered_by!(ByActFuture, ResponseActFuture<Probe, u64>, |work, act| Box::pin(work.done().into_actor(act)));
answered_by!(ByAtomic, AtomicResponse<Probe, u64>, |work, act| {
    AtomicResponse::new(Box::pin(work.done().into_actor(act)))
});
answered_by!(ActorLater, ActorResponse<Probe, u64>, |work, act| ActorResponse::r#async(work.done().into_actor(act)));
answered_by!(ResponseLater, Response<u64>, |work, _| Response::fut(work.done()));
answered_by!(
    /// By a task that the session knows nothing of.
    OwnOutside,
    Outside,
    |work, _| Outside(work)
);
answered_by!(
    /// By a future in the context.
    OwnInside,
    Inside,
    |work, _| Inside(work)
);
answered_by!(
    /// At once, with work in the context that goes on after it.
    OwnEarly,
    Early,
    |work, _| Early(work)
);

pub struct AtOnce;

impl<A: Actor, M: Message<Result = u64>> MessageResponse<A, M> for AtOnce {
    fn handle(self, _: &mut A::Context, tx: Option<OneshotSender<u64>>) {
        answer(tx);
    }
}

pub struct Outside(Work);

impl<A: Actor, M: Message<Result = u64>> MessageResponse<A, M> for Outside {
    fn handle(self, _: &mut A::Context, tx: Option<OneshotSender<u64>>) {
        actix::spawn(async move {
            self.0.done().await;
            answer(tx);
        });
    }
}

pub struct Inside(Work);

impl<A, M> MessageResponse<A, M> for Inside
where
    A: Actor,
    A::Context: AsyncContext<A>,
    M: Message<Result = u64>,
{
    fn handle(self, ctx: &mut A::Context, tx: Option<OneshotSender<u64>>) {
        ctx.spawn(actix::fut::wrap_future(self.0.done()).map(|_, _: &mut A, _| answer(tx)));
    }
}

pub struct Early(Work);

impl<A, M> MessageResponse<A, M> for Early
where
    A: Actor,
    A::Context: AsyncContext<A>,
    M: Message<Result = u64>,
{
    fn handle(self, ctx: &mut A::Context, tx: Option<OneshotSender<u64>>) {
        answer(tx);
        ctx.spawn(actix::fut::wrap_future(self.0.done()).map(|_, _: &mut A, _| ()));
    }
}

fn answer(tx: Option<OneshotSender<u64>>) {
    if let Some(tx) = tx {
        let _ = tx.send(7);
    }
}

/// A reply type of a user's own, by actix's derive.
#[derive(MessageResponse, Debug, PartialEq)]
pub struct Derived(pub u64);

#[derive(Message)]
#[rtype(result = "Derived")]
pub struct AskDerived;

impl Handler<AskDerived> for Probe {
    type Result = Derived;

    fn handle(&mut self, _: AskDerived, _: &mut Self::Context) -> Derived {
        self.handled += 1;
        Derived(7)
    }
}

/// A handler that lets its reply go: the work behind it ends when the sender does.
#[derive(Message)]
#[rtype(result = "u64")]
pub struct LetGo(pub Work);

pub struct Gone(Work);

impl Handler<LetGo> for Probe {
    type Result = Gone;

    fn handle(&mut self, message: LetGo, ctx: &mut Self::Context) -> Gone {
        message.0.begin(self, ctx);
        Gone(message.0)
    }
}

impl<A: Actor, M: Message<Result = u64>> MessageResponse<A, M> for Gone {
    fn handle(self, _: &mut A::Context, tx: Option<OneshotSender<u64>>) {
        actix::spawn(async move {
            self.0.done().await;
            drop(tx);
        });
    }
}
