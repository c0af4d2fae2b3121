//! Promise 4, third part: nothing of the user's is dropped while a panic unwinds, but afterwards, when a panic in its `Drop`
//! can be caught. (One that is dropped in the middle of a panic and panics itself takes the whole process down.)
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

#[path = "support/hooked.rs"]
mod hooked;
mod support;

use std::{
    future::{Future, pending, poll_fn},
    task::Poll,
};

use actix::prelude::*;
use futures_util::stream;
use hooked::{Do, Hooked, Mark, Place, Script, expect_booms};
use session_actors::{EndReason, SessionContext};
use support::{Log, gate, limits, next_end, secs, settle};

/// Notes when it is dropped.
struct Witness(Log);

impl Drop for Witness {
    fn drop(&mut self) {
        self.0.note(when());
    }
}

fn when() -> &'static str {
    if std::thread::panicking() { "dropped while unwinding" } else { "dropped afterwards" }
}

/// Panics when it is polled, with the witness still in it.
fn boom(witness: Witness) -> impl Future<Output = ()> {
    poll_fn(move |_| -> Poll<()> {
        let _ = &witness;
        panic!("boom in a future")
    })
}

/// Replies by a future that panics: beside the context, in it, and with the mailbox blocked.
struct Boom<R>(Log, std::marker::PhantomData<fn() -> R>);

impl<R> Boom<R> {
    fn new(log: &Log) -> Self {
        Self(log.clone(), std::marker::PhantomData)
    }
}

impl<R> Message for Boom<R> {
    type Result = ();
}

impl Handler<Boom<ResponseFuture<()>>> for Hooked {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, message: Boom<Self::Result>, _: &mut Self::Context) -> Self::Result {
        Box::pin(boom(Witness(message.0)))
    }
}

impl Handler<Boom<ResponseActFuture<Hooked, ()>>> for Hooked {
    type Result = ResponseActFuture<Self, ()>;

    fn handle(&mut self, message: Boom<Self::Result>, _: &mut Self::Context) -> Self::Result {
        Box::pin(boom(Witness(message.0)).into_actor(self))
    }
}

impl Handler<Boom<AtomicResponse<Hooked, ()>>> for Hooked {
    type Result = AtomicResponse<Self, ()>;

    fn handle(&mut self, message: Boom<Self::Result>, _: &mut Self::Context) -> Self::Result {
        AtomicResponse::new(Box::pin(boom(Witness(message.0)).into_actor(self)))
    }
}

impl StreamHandler<()> for Hooked {
    fn handle(&mut self, (): (), _: &mut Self::Context) {}
}

#[track_caller]
fn assert_afterwards(log: &Log, times: usize, what: &str) {
    assert_eq!((log.count("dropped while unwinding"), log.count("dropped afterwards")), (0, times), "{what}");
}

type Job = fn(Witness, &mut Hooked, &mut SessionContext<Hooked>);

/// The very future that panics.
#[actix::test]
async fn what_panics_is_dropped_afterwards() {
    tokio::time::pause();
    expect_booms();
    let jobs: [(&str, Job); 4] = [
        ("spawned", |witness, act, ctx| {
            ctx.spawn(boom(witness).into_actor(act));
        }),
        ("waited for", |witness, act, ctx| ctx.wait(boom(witness).into_actor(act))),
        ("a stream", |witness, _, ctx| {
            ctx.add_stream(stream::once(boom(witness)));
        }),
        ("a stage of a chain", |witness, act, ctx| {
            let later = tokio::time::sleep(secs(1)).into_actor(act);
            ctx.spawn(later.then(move |(), act, _| boom(witness).into_actor(act)));
        }),
    ];
    for (what, job) in jobs {
        let log = Log::default();
        let noted = log.clone();
        let registry = Script::new(&Log::default()).registry(limits());
        let mut watch = registry.watch();
        registry.do_send("a", Do::new(move |act, ctx| job(Witness(noted), act, ctx))).unwrap();
        let (_, ended) = next_end(&mut watch).await;
        assert_eq!((ended.reason, ended.panic.as_deref()), (EndReason::Panicked, Some("boom in a future")), "{what}");
        assert_afterwards(&log, 1, what);
    }
}

#[actix::test]
async fn a_reply_that_panics_is_dropped_afterwards() {
    tokio::time::pause();
    expect_booms();
    let log = Log::default();
    let registry = Script::new(&Log::default()).registry(limits());
    assert!(registry.send("a", Boom::<ResponseFuture<()>>::new(&log)).await.is_err());
    assert_afterwards(&log, 1, "beside the context");
    assert_eq!(registry.stats().ended.total(), 0, "it fails that reply only");
    assert!(registry.send("a", Boom::<ResponseActFuture<Hooked, ()>>::new(&log)).await.is_err());
    assert_afterwards(&log, 2, "in the context");
    assert!(registry.send("a", Boom::<AtomicResponse<Hooked, ()>>::new(&log)).await.is_err());
    assert_afterwards(&log, 3, "blocking the mailbox");
}

/// All else that the session has, and the actor.
#[actix::test]
async fn what_lies_beside_a_panic_is_dropped_afterwards() {
    tokio::time::pause();
    expect_booms();
    let log = Log::default();
    let noted = log.clone();
    let script = Script::new(&Log::default()).on_bare(Place::Dropped, move |act| {
        if act.incarnation == 1 {
            noted.note(when());
        }
    });
    let registry = script.registry(limits());
    let mut watch = registry.watch();
    let held = |log: &Log| {
        let witness = Witness(log.clone());
        async move {
            pending::<()>().await;
            drop(witness);
        }
    };
    let noted = log.clone();
    let runs = Do::new(move |act, ctx| {
        ctx.spawn(held(&noted).into_actor(act));
        ctx.run_later(secs(100), {
            let witness = Witness(noted.clone());
            move |_, _| drop(witness)
        });
    });
    registry.send("a", runs).await.unwrap();
    settle().await;
    // Staged by the handler that panics; and behind it there is mail whose caller has gone.
    let (open, gate) = gate();
    let noted = log.clone();
    let panics = Do::new(move |act, ctx| {
        let noted = noted.clone();
        ctx.wait(async { drop(gate.await) }.into_actor(act).map(
            move |(), act: &mut Hooked, ctx: &mut SessionContext<_>| {
                ctx.spawn(held(&noted).into_actor(act));
                ctx.wait(held(&noted).into_actor(act));
                panic!("boom after a wait");
            },
        ));
    });
    registry.do_send("a", panics).unwrap();
    let witness = Witness(log.clone());
    let abandoned = registry.send("a", Do::new(move |_, _| drop(witness)));
    settle().await;
    drop(abandoned);
    open.send(()).unwrap();

    let (_, ended) = next_end(&mut watch).await;
    settle().await;

    assert_eq!((ended.reason, ended.dropped), (EndReason::Panicked, 1));
    // Two that ran, two that were staged, the message and the actor.
    assert_afterwards(&log, 6, "beside it");
    assert_eq!(registry.send("a", Mark("goes on")).await.unwrap(), 2);
}
