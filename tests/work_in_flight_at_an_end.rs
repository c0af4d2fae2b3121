//! What an end does to the work in flight, for every way in which a handler may answer: a soft end
//! waits for it, a hard one cuts it, tells its caller and counts it. Where the actor ends by itself:
//! `replies_as_in_actix.rs`.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

#[path = "support/exact.rs"]
mod exact;
#[path = "support/hooked.rs"]
mod hooked;
#[path = "support/responses.rs"]
mod responses;
mod support;

use std::time::Duration;

use actix::prelude::*;
use exact::{assert_about, end_of};
use hooked::{Do, Script, cause, ended, expect_booms, panicked};
use responses::{ActorLater, ByActFuture, ByAtomic, ByFuture, OwnEarly, OwnInside, OwnOutside, ResponseLater, Work};
use session_actors::{EndReason, SessionRegistry};
use support::{Log, Ping, Probe, Run, TakeHold, limits, next_end, secs, settle};

/// Calls a generic test for every message that is answered later.
macro_rules! for_each_answered_later {
    ($test:ident($($argument:expr),*)) => {
        $test("ResponseFuture", ByFuture, $($argument),*).await;
        $test("ResponseActFuture", ByActFuture, $($argument),*).await;
        $test("AtomicResponse", ByAtomic, $($argument),*).await;
        $test("ActorResponse", ActorLater, $($argument),*).await;
        $test("Response", ResponseLater, $($argument),*).await;
        $test("own, outside of the context", OwnOutside, $($argument),*).await;
        $test("own, in the context", OwnInside, $($argument),*).await;
    };
}

fn lasting(lasts: Duration) -> Work {
    Work { lasts, passive: false }
}

fn start() -> SessionRegistry<Probe> {
    support::registry(limits(), &Log::default())
}

#[actix::test]
async fn a_hard_end_cuts_the_work_and_tells_its_caller() {
    tokio::time::pause();
    for_each_answered_later!(is_cut());
}

async fn is_cut<M>(name: &str, message: fn(Work) -> M)
where
    Probe: Handler<M>,
    M: Message<Result = u64> + Send + 'static,
{
    for with_caller in [true, false] {
        let registry = start();
        let mut watch = registry.watch();
        let answer = with_caller.then(|| registry.send("a", message(lasting(secs(1000)))));
        if !with_caller {
            registry.do_send("a", message(lasting(secs(1000)))).unwrap();
        }
        settle().await;
        assert_eq!(registry.info("a").unwrap().in_flight, 1, "{name}, with caller: {with_caller}");

        let told = registry.close("a").await.unwrap();

        assert_eq!((told.reason, told.handled, told.cut), (EndReason::Closed, 1, 1), "{name}, caller: {with_caller}");
        assert_eq!((told.handed_over, told.dropped, &told.panic), (0, 0, &None), "{name}");
        assert_about(told.age, secs(5), name);
        assert_eq!(next_end(&mut watch).await.1, told);
        if let Some(answer) = answer {
            assert_eq!(cause(answer.await), ended(EndReason::Closed), "{name}");
        }
        assert_eq!(registry.stats().work_cut, 1);
    }
}

#[actix::test]
async fn by_an_address_the_caller_of_cut_work_is_told_that_it_is_closed() {
    tokio::time::pause();
    for_each_answered_later!(is_closed());
}

async fn is_closed<M>(name: &str, message: fn(Work) -> M)
where
    Probe: Handler<M>,
    M: Message<Result = u64> + Send + 'static,
{
    let registry = start();
    let answer = actix::spawn(registry.open("a").unwrap().send(message(lasting(secs(1000)))));
    settle().await;
    drop(registry.close("a"));
    assert!(matches!(answer.await.unwrap(), Err(MailboxError::Closed)), "{name}");
}

#[actix::test]
async fn a_soft_end_waits_for_the_work() {
    tokio::time::pause();
    for_each_answered_later!(is_waited_for());
}

async fn is_waited_for<M>(name: &str, message: fn(Work) -> M)
where
    Probe: Handler<M>,
    M: Message<Result = u64> + Send + 'static,
{
    let registry = start();
    let answer = registry.send("a", message(lasting(secs(4))));
    settle().await;
    let closing = registry.close("a");
    assert_eq!(answer.await.unwrap(), 7, "{name}");
    let told = closing.await.unwrap();
    assert_eq!((told.handled, told.cut), (1, 0), "{name}");
    assert_about(told.age, secs(4), name);
}

#[actix::test]
async fn everything_that_is_cut_is_counted_once() {
    tokio::time::pause();
    let registry = start();
    let hold = registry.send("a", TakeHold).await.unwrap();
    let second = hold.clone();
    let long = lasting(secs(1000));
    registry.do_send("a", ByFuture(long)).unwrap();
    registry.do_send("a", ByActFuture(long)).unwrap();
    registry.do_send("a", ResponseLater(long)).unwrap();
    registry.do_send("a", OwnInside(long)).unwrap();
    assert_eq!(registry.send("a", OwnEarly(long)).await.unwrap(), 7, "answered, with work that goes on");
    // The session's own clockwork is no work.
    let clockwork = Run::new(|probe, ctx| {
        ctx.spawn(std::future::pending::<()>().into_actor(probe));
        ctx.run_later(secs(500), |_, _| ());
    });
    registry.send("a", clockwork).await.unwrap();
    // Two waits, of which the second hides the first.
    registry
        .do_send(
            "a",
            Run::new(|probe, ctx| {
                ctx.wait(std::future::pending::<()>().into_actor(probe));
                ctx.wait(std::future::pending::<()>().into_actor(probe));
            }),
        )
        .unwrap();
    settle().await;
    assert_eq!(registry.info("a").unwrap().in_flight, 9);

    let told = registry.close("a").await.unwrap();
    assert_eq!((told.handled, told.cut), (8, 9));
    // Guards that are dropped after the end harm nobody.
    drop((hold, second));
    assert_eq!(registry.send("a", Ping).await.unwrap(), 1);
}

struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("boom in a future's drop");
    }
}

#[derive(Message)]
#[rtype(result = "()")]
struct Booby;

impl Handler<Booby> for Probe {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Booby, _: &mut Self::Context) -> Self::Result {
        let bomb = Bomb;
        Box::pin(async move {
            std::future::pending::<()>().await;
            drop(bomb);
        })
    }
}

/// One that panics while it is dropped must not take the others' callers with it.
#[actix::test]
async fn every_caller_of_cut_replies_is_told_although_one_of_them_panics_while_it_is_dropped() {
    tokio::time::pause();
    expect_booms();
    let registry = start();
    let mut watch = registry.watch();
    let before = registry.send("a", ByFuture(lasting(secs(1000))));
    let booby = registry.send("a", Booby);
    let after = registry.send("a", ByFuture(lasting(secs(1000))));
    settle().await;
    drop(registry.close("a"));
    let (_, told) = next_end(&mut watch).await;
    assert_eq!((told.reason, told.cut), (EndReason::Closed, 3), "it fails that reply only");
    let patience = secs(60);
    assert!(tokio::time::timeout(patience, booby).await.expect("the one itself").is_err());
    for answer in [before, after] {
        let answer = tokio::time::timeout(patience, answer).await.expect("a neighbour waits for ever");
        assert_eq!(cause(answer), ended(EndReason::Closed));
    }
}

#[actix::test]
async fn a_reply_that_panics_in_the_context_ends_the_session_and_tells_its_caller() {
    tokio::time::pause();
    expect_booms();
    #[derive(Message)]
    #[rtype(result = "()")]
    struct InContext;
    impl Handler<InContext> for Probe {
        type Result = ResponseActFuture<Self, ()>;
        fn handle(&mut self, _: InContext, _: &mut Self::Context) -> Self::Result {
            Box::pin(tokio::time::sleep(secs(1)).into_actor(self).map(|(), _, _| panic!("boom in a reply")))
        }
    }
    #[derive(Message)]
    #[rtype(result = "()")]
    struct Atomically;
    impl Handler<Atomically> for Probe {
        type Result = AtomicResponse<Self, ()>;
        fn handle(&mut self, _: Atomically, _: &mut Self::Context) -> Self::Result {
            AtomicResponse::new(Box::pin(
                tokio::time::sleep(secs(1)).into_actor(self).map(|(), _, _| panic!("boom in a reply")),
            ))
        }
    }
    let registry = start();
    let mut watch = registry.watch();
    let neighbour = registry.send("a", InContext);
    let answer = registry.send("a", InContext);
    assert_eq!(cause(answer.await), panicked("boom in a reply"));
    assert_eq!(cause(neighbour.await), panicked("boom in a reply"));
    let ended = end_of(&mut watch, "a").await;
    assert_eq!((ended.reason, ended.cut), (EndReason::Panicked, 2));

    let answer = registry.send("b", Atomically);
    let behind = registry.send("b", Ping);
    assert_eq!(cause(answer.await), panicked("boom in a reply"));
    assert_eq!(behind.await.unwrap(), 1);
    assert_eq!(end_of(&mut watch, "b").await.cut, 1);
}

/// Notes when it is dropped.
struct Witness(Log, &'static str);

impl Drop for Witness {
    fn drop(&mut self) {
        self.0.note(self.1);
    }
}

/// What an actor has in its context may rely on nothing but what goes after it.
#[actix::test]
async fn after_the_hooks_waits_are_dropped_then_what_was_spawned_then_the_actor() {
    tokio::time::pause();
    let log = Log::default();
    let registry = Script::new(&log).registry(limits());
    let held = |what| {
        let witness = Witness(log.clone(), what);
        async move {
            std::future::pending::<()>().await;
            drop(witness);
        }
    };
    let (spawned, waited) = (held("spawned"), held("waited for"));
    let job = Do::new(move |act, ctx| {
        ctx.spawn(spawned.into_actor(act));
        ctx.wait(waited.into_actor(act));
    });
    registry.send("a", job).await.unwrap();
    assert_eq!(registry.close("a").await.unwrap().cut, 1);
    let end = ["a#1 stopping", "a#1 stopped", "waited for", "spawned", "a#1 dropped"];
    assert_eq!(log.lines()[3..], end);
}

/// Asks its own key after a second; replies with whether there was an answer.
#[derive(Message)]
#[rtype(result = "bool")]
struct AskItself;

impl Handler<AskItself> for Probe {
    type Result = ResponseFuture<bool>;

    fn handle(&mut self, _: AskItself, ctx: &mut Self::Context) -> Self::Result {
        let (registry, key) = (ctx.registry().upgrade().unwrap(), ctx.key().clone());
        Box::pin(async move {
            tokio::time::sleep(secs(1)).await;
            registry.send(key, Ping).await.is_ok()
        })
    }
}

/// Not promised otherwise: in a drain the key leads to the successor, which waits for the end of the drain.
#[actix::test]
async fn work_that_sends_to_its_own_key_waits_for_itself_in_a_drain_until_drain_timeout() {
    tokio::time::pause();
    let registry = start();
    assert!(registry.send("a", AskItself).await.unwrap(), "at any other time it is answered");

    let begun = tokio::time::Instant::now();
    let answer = registry.send("a", AskItself);
    settle().await;
    let told = registry.close("a").await.unwrap();

    assert_about(begun.elapsed(), secs(5), "drain_timeout");
    assert_eq!((told.reason, told.handled, told.cut), (EndReason::Closed, 3, 1));
    assert_eq!(cause(answer.await), ended(EndReason::Closed));
    // The one who asked has gone, so the successor has nothing to handle.
    settle().await;
    assert_eq!(registry.info("a").unwrap().handled, 0);
}
