//! Where the actor ends by itself, by `ctx.stop()` or by a panic, a reply that bare actix would
//! deliver is delivered, and one that it would not is told so. Every answer is asked of an actor on
//! actix's own context as well.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

#[path = "support/exact.rs"]
mod exact;
#[path = "support/hooked.rs"]
mod hooked;
#[path = "support/responses.rs"]
mod responses;
mod support;

use std::{future::Future, pin::Pin, time::Duration};

use actix::{
    dev::{MessageResponse, OneshotSender},
    prelude::*,
};
use exact::assert_about;
use hooked::{cause, ended, expect_booms, panicked};
use responses::{ActorLater, ByActFuture, ByAtomic, ByFuture, OwnInside, OwnOutside, ResponseLater, Work};
use session_actors::{EndReason, Policy, Reply, Session, SessionContext, SessionRegistry, Unserved};
use support::{Log, Ping, Probe, limits, next_end, secs, settle};

fn lasting(lasts: Duration) -> Work {
    Work { lasts, passive: false }
}

fn start() -> SessionRegistry<Probe> {
    support::registry(limits(), &Log::default())
}

/// The same answers by an actor on actix's own context.
struct Bare;

impl Actor for Bare {
    type Context = Context<Self>;
}

async fn work(work: Work) -> u64 {
    tokio::time::sleep(work.lasts).await;
    7
}

macro_rules! bare {
    ($message:ident, $response:ty, $answer:expr) => {
        impl Handler<$message> for Bare {
            type Result = $response;

            fn handle(&mut self, message: $message, _: &mut Self::Context) -> Self::Result {
                let answer: fn(Work) -> $response = $answer;
                answer(message.0)
            }
        }
    };
}

fn act(lasts: Work) -> ResponseActFuture<Bare, u64> {
    Box::pin(actix::fut::wrap_future(work(lasts)))
}

bare!(ByFuture, ResponseFuture<u64>, |lasts| Box::pin(work(lasts)));
bare!(ByActFuture, ResponseActFuture<Bare, u64>, act);
bare!(ByAtomic, AtomicResponse<Bare, u64>, |lasts| AtomicResponse::new(act(lasts)));
bare!(ActorLater, ActorResponse<Bare, u64>, |lasts| ActorResponse::r#async(act(lasts)));
bare!(ResponseLater, Response<u64>, |lasts| Response::fut(work(lasts)));
bare!(OwnOutside, Outside, Outside);
bare!(OwnInside, Inside, Inside);

/// As the session's own of these names.
struct Outside(Work);

impl MessageResponse<Bare, OwnOutside> for Outside {
    fn handle(self, _: &mut Context<Bare>, tx: Option<OneshotSender<u64>>) {
        actix::spawn(async move { tx.unwrap().send(work(self.0).await) });
    }
}

struct Inside(Work);

impl MessageResponse<Bare, OwnInside> for Inside {
    fn handle(self, ctx: &mut Context<Bare>, tx: Option<OneshotSender<u64>>) {
        ctx.spawn(actix::fut::wrap_future(work(self.0)).map(|seven, _, _| {
            let _ = tx.unwrap().send(seven);
        }));
    }
}

/// How an actor ends by itself, one second after it began the work.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Stop,
    Terminate,
    Panic,
}

#[derive(Message)]
#[rtype(result = "()")]
struct EndBy(Way);

macro_rules! ends_by {
    ($actor:ty) => {
        impl Handler<EndBy> for $actor {
            type Result = ();

            fn handle(&mut self, end: EndBy, ctx: &mut Self::Context) {
                match end.0 {
                    Way::Stop => ctx.stop(),
                    Way::Terminate => ctx.terminate(),
                    Way::Panic => panic!("boom"),
                }
            }
        }
    };
}

ends_by!(Bare);
ends_by!(Probe);

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

#[actix::test]
async fn a_reply_that_bare_actix_would_deliver_is_delivered() {
    tokio::time::pause();
    expect_booms();
    for way in [Way::Stop, Way::Terminate, Way::Panic] {
        for_each_answered_later!(is_delivered_as_by_actix(way));
    }
}

async fn is_delivered_as_by_actix<M>(name: &str, message: fn(Work) -> M, way: Way)
where
    Probe: Handler<M>,
    Bare: Handler<M>,
    M: Message<Result = u64> + Send + 'static,
{
    let bare = Bare.start();
    let by_actix = actix::spawn(bare.send(message(lasting(secs(2)))));
    let registry = start();
    let mut watch = registry.watch();
    let by_session = registry.send("a", message(lasting(secs(2))));
    tokio::time::sleep(secs(1)).await;
    bare.do_send::<EndBy>(EndBy(way));
    registry.do_send::<EndBy>("a", EndBy(way)).unwrap();

    let by_actix = by_actix.await.unwrap();
    let by_session = by_session.await;
    let (_, end) = next_end(&mut watch).await;

    let reason = if way == Way::Panic { EndReason::Panicked } else { EndReason::Stopped };
    assert_eq!((end.reason, end.handled), (reason, 2), "{name}, {way:?}");
    assert_eq!(by_session.is_ok(), by_actix.is_ok(), "{name}, {way:?}");
    assert_eq!(end.cut, u32::from(by_session.is_err()), "{name}, {way:?}: what is delivered is not cut");
    // An `AtomicResponse` holds the mailbox until it is done, so the end comes after it.
    assert_about(end.age, if name == "AtomicResponse" { secs(2) } else { secs(1) }, name);
    if by_session.is_err() {
        let why = if way == Way::Panic { panicked("boom") } else { ended(EndReason::Stopped) };
        assert_eq!(cause(by_session), why, "{name}, {way:?}");
    }
}

/// The table of the test above in words, so that it cannot agree on nothing.
#[actix::test]
async fn replies_outside_of_the_context_survive_a_stop_and_a_panic() {
    tokio::time::pause();
    expect_booms();
    for way in [Way::Stop, Way::Panic] {
        let registry = start();
        let work = lasting(secs(2));
        let survive = [
            registry.send("a", ByFuture(work)).boxed(),
            registry.send("a", ResponseLater(work)).boxed(),
            registry.send("a", OwnOutside(work)).boxed(),
        ];
        let cut = [registry.send("a", ByActFuture(work)).boxed(), registry.send("a", ActorLater(work)).boxed()];
        let behind = {
            registry.do_send("a", EndBy(way)).unwrap();
            registry.send("a", Ping)
        };
        assert_eq!(behind.await.unwrap(), 1, "the successor does not wait for replies of its predecessor");
        for answer in survive {
            assert_eq!(answer.await.unwrap(), 7);
        }
        for answer in cut {
            assert!(matches!(answer.await, Err(Unserved::Ended { .. })));
        }
    }
}

type Answer = Pin<Box<dyn Future<Output = Result<u64, Unserved>>>>;

trait Boxed {
    fn boxed(self) -> Answer;
}

impl<M: Message<Result = u64> + 'static> Boxed for Reply<M> {
    fn boxed(self) -> Answer {
        Box::pin(async move {
            match self.await {
                Ok(answer) => Ok(answer),
                answer => Err(cause(answer)),
            }
        })
    }
}

// ---- a sender that the actor keeps ------------------------------------------------------------

/// Keeps its reply for later, in the actor.
#[derive(Message)]
#[rtype(result = "u64")]
struct Keep;

struct Kept(Keeps);

type Keeps = std::rc::Rc<std::cell::RefCell<Vec<OneshotSender<u64>>>>;

struct Keeper {
    kept: Keeps,
    /// Whether `stopped` answers.
    answers: bool,
}

impl Actor for Keeper {
    type Context = SessionContext<Self>;

    fn stopped(&mut self, _: &mut Self::Context) {
        if self.answers {
            self.kept.borrow_mut().drain(..).for_each(|tx| tx.send(7).unwrap());
        }
    }
}

impl Session for Keeper {}

impl Handler<Keep> for Keeper {
    type Result = Kept;

    fn handle(&mut self, _: Keep, _: &mut Self::Context) -> Kept {
        Kept(self.kept.clone())
    }
}

impl MessageResponse<Keeper, Keep> for Kept {
    fn handle(self, _: &mut SessionContext<Keeper>, tx: Option<OneshotSender<u64>>) {
        self.0.borrow_mut().extend(tx);
    }
}

impl Handler<EndBy> for Keeper {
    type Result = ();

    fn handle(&mut self, end: EndBy, ctx: &mut Self::Context) {
        match end.0 {
            Way::Stop => ctx.stop(),
            Way::Terminate => ctx.terminate(),
            Way::Panic => panic!("boom"),
        }
    }
}

fn keepers(answers: bool) -> SessionRegistry<Keeper> {
    SessionRegistry::builder(move |_| Keeper { kept: Keeps::default(), answers })
        .policy(Policy::new(limits()))
        .start()
        .unwrap()
}

#[actix::test]
async fn a_reply_that_stopped_gives_is_delivered() {
    tokio::time::pause();
    for way in [Way::Stop, Way::Terminate] {
        let registry = keepers(true);
        let answer = registry.send("a", Keep);
        registry.do_send("a", EndBy(way)).unwrap();
        assert_eq!(answer.await.unwrap(), 7, "{way:?}");
    }
    // A hard end as well: the hooks come before anything is cut.
    let registry = keepers(true);
    let answer = registry.send("a", Keep);
    settle().await;
    let ended = registry.close("a").await.unwrap();
    assert_eq!((answer.await.unwrap(), ended.cut), (7, 0));
}

#[actix::test]
async fn a_reply_that_goes_down_with_its_actor_is_told_the_end_of_the_session() {
    tokio::time::pause();
    expect_booms();
    for way in [Way::Stop, Way::Terminate, Way::Panic] {
        let registry = keepers(false);
        let answer = registry.send("a", Keep);
        registry.do_send("a", EndBy(way)).unwrap();
        let why = if way == Way::Panic { panicked("boom") } else { ended(EndReason::Stopped) };
        assert_eq!(cause(answer.await), why, "{way:?}");
    }
    let registry = keepers(false);
    let answer = registry.send("a", Keep);
    settle().await;
    assert_eq!(registry.close("a").await.unwrap().cut, 1);
    assert_eq!(cause(answer.await), ended(EndReason::Closed));
}
