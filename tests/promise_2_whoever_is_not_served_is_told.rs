//! Promise 2, the other half: when there is no successor, or no session at all, the message is
//! dropped, its caller is told why, and `Ended` counts it.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

#[path = "support/exact.rs"]
mod exact;
#[path = "support/hooked.rs"]
mod hooked;
mod support;

use std::sync::Arc;

use actix::{
    dev::{MessageResponse, OneshotSender},
    prelude::*,
};
use exact::next_of;
use hooked::{Do, Hooked, Mark, Place, Script, cause, ended, expect_booms, panicked};
use session_actors::{
    CloseError, EndReason, EventKind, OpenError, SendError, Session, SessionContext, SessionRegistry, Unserved,
};
use support::{Log, gate, limits, next_end, quiet_panics, secs, settle};

fn failed(words: &str) -> Unserved {
    Unserved::StartFailed { panic: words.to_owned() }
}

#[actix::test]
async fn stragglers_of_a_closed_session_open_nothing() {
    tokio::time::pause();
    let log = Log::default();
    let registry = Script::new(&log).registry(limits());
    let mut watch = registry.watch();
    registry.do_send("a", Do::block()).unwrap();
    let through_registry = [registry.send("a", Mark("1")), registry.send("a", Mark("2"))];
    let by_address = registry.get("a").unwrap().send(Mark("3"));
    let by_address = actix::spawn(by_address);
    registry.get("a").unwrap().do_send(Mark("4"));
    settle().await;

    let told = registry.close("a").await.unwrap();

    assert_eq!((told.reason, told.handled, told.cut), (EndReason::Closed, 1, 1));
    assert_eq!((told.handed_over, told.dropped), (0, 4));
    for answer in through_registry {
        assert_eq!(cause(answer.await), ended(EndReason::Closed));
    }
    assert!(matches!(by_address.await.unwrap(), Err(MailboxError::Closed)));
    assert_eq!(next_end(&mut watch).await.1, told);
    settle().await;
    assert_eq!((registry.len(), registry.stats().opened, registry.stats().keys), (0, 1, 0));
    assert_eq!((registry.stats().messages_dropped, registry.stats().messages_handed_over), (4, 0));
}

#[actix::test]
async fn stragglers_of_a_shutdown_open_nothing() {
    tokio::time::pause();
    let log = Log::default();
    let registry = Script::new(&log).registry(limits());
    let mut watch = registry.watch();
    registry.do_send("a", Do::block()).unwrap();
    let straggler = registry.send("a", Mark("1"));
    settle().await;
    let report = registry.shutdown(secs(3));
    let refused = registry.send("a", Mark("2")).await;
    let refused_too = registry.open("b");
    assert_eq!((report.await.unwrap().cut, registry.stats().opened), (1, 1));

    assert_eq!(cause(straggler.await), ended(EndReason::Shutdown));
    assert_eq!(next_end(&mut watch).await.1.dropped, 1);
    assert!(matches!(&refused, Err(SendError::Refused { cause: OpenError::ShuttingDown, .. })), "{refused:?}");
    assert!(matches!(refused_too, Err(OpenError::ShuttingDown)));
    assert_eq!(refused.unwrap_err().into_message().unwrap().0, "2", "what was not accepted is given back");
}

/// Its own stop in the middle of a shutdown must not open a successor either.
#[actix::test]
async fn leftovers_of_a_stop_during_a_shutdown_open_nothing() {
    tokio::time::pause();
    let log = Log::default();
    let registry = Script::new(&log).registry(limits());
    let mut watch = registry.watch();
    registry.do_send("a", Do::stop()).unwrap();
    let behind = registry.send("a", Mark("behind"));
    let report = registry.shutdown(secs(3)).await.unwrap();
    assert_eq!((report.drained, report.cut, report.unresponsive), (1, 0, 0));
    let (_, end) = next_end(&mut watch).await;
    assert_eq!((end.handed_over, end.dropped), (0, 1));
    assert_eq!(cause(behind.await), ended(end.reason));
}

#[actix::test]
async fn a_panicking_started_takes_its_mail_with_it_and_tells_why() {
    tokio::time::pause();
    expect_booms();
    let log = Log::default();
    let registry = Script::new(&log).booms(Place::Started, 1).registry(limits());
    let mut watch = registry.watch();
    let answers = [registry.send("a", Mark("1")), registry.send("a", Mark("2"))];
    let by_address = registry.get("a").unwrap().send(Mark("3"));
    registry.do_send("a", Mark("4")).unwrap();

    for answer in answers {
        assert_eq!(cause(answer.await), panicked("boom in Started of 1"));
    }
    assert!(matches!(by_address.await, Err(MailboxError::Closed)));
    let (_, end) = next_end(&mut watch).await;
    assert_eq!((end.reason, end.handled), (EndReason::Panicked, 0));
    assert_eq!((end.handed_over, end.dropped), (0, 4));
    settle().await;
    assert!(registry.is_empty(), "it would only be followed by its like");

    // The key is as good as new.
    assert_eq!(registry.send("a", Mark("again")).await.unwrap(), 2);
    assert_eq!(registry.stats().keys, 1);
}

#[actix::test]
async fn a_session_that_stops_in_started_takes_its_mail_with_it() {
    tokio::time::pause();
    let log = Log::default();
    let registry = Script::new(&log).on(Place::Started, |_, ctx| ctx.stop()).registry(limits());
    let mut watch = registry.watch();
    assert_eq!(cause(registry.send("a", Mark("1")).await), ended(EndReason::Stopped));
    let (_, end) = next_end(&mut watch).await;
    assert_eq!((end.reason, end.handled, end.dropped), (EndReason::Stopped, 0, 1));
    settle().await;
    assert_eq!((registry.len(), registry.stats().opened), (0, 1));
}

#[actix::test]
async fn a_panicking_factory_refuses_that_one_session() {
    tokio::time::pause();
    expect_booms();
    let log = Log::default();
    let registry = Script::new(&log).booms(Place::Made, 1).registry(limits());
    let mut watch = registry.watch();
    let neighbour = registry.open("b").unwrap();
    // Their own first is the one that panics.
    settle().await;
    assert!(matches!(neighbour.send(Mark("")).await, Err(MailboxError::Closed)));
    assert_eq!(registry.send("b", Mark("")).await.unwrap(), 2);
    log.take();

    let answers = [registry.send("a", Mark("1")), registry.send("a", Mark("2"))];
    let by_address = registry.get("a").unwrap().send(Mark("3"));
    let closing = registry.close("a");
    for answer in answers {
        assert_eq!(cause(answer.await), failed("boom in Made of 1"));
    }
    assert!(matches!(by_address.await, Err(MailboxError::Closed)));
    assert_eq!(closing.await, Err(CloseError::NotFound), "there was never a session");

    let event = next_of(&mut watch, "start_failed").await;
    assert_eq!(event.key.as_str(), "b");
    let event = next_of(&mut watch, "start_failed").await;
    let EventKind::StartFailed { error } = &event.kind else { unreachable!() };
    assert!(event.key.as_str() == "a" && error.contains("boom in Made of 1"), "{error}");
    let stats = registry.stats();
    assert_eq!((stats.opened, stats.keys, stats.live, stats.start_failed), (1, 1, 1, 2));
    assert!(registry.get("a").is_none() && registry.info("a").is_none());

    assert_eq!(registry.send("a", Mark("again")).await.unwrap(), 2);
}

#[actix::test]
async fn a_panicking_open_with_refuses_that_one_session() {
    tokio::time::pause();
    expect_booms();
    let log = Log::default();
    let script = Script::new(&log);
    let registry = script.registry(limits());
    let addr = registry.open_with("a", |_| panic!("boom in open_with")).unwrap();
    let answer = registry.send("a", Mark("1"));
    assert_eq!(cause(answer.await), failed("boom in open_with"));
    assert!(matches!(addr.send(Mark("")).await, Err(MailboxError::Closed)));
    assert_eq!((registry.stats().start_failed, registry.stats().keys, registry.len()), (1, 0, 0));
    assert_eq!(registry.send("a", Mark("2")).await.unwrap(), 1);
}

#[actix::test]
async fn leftovers_whose_successor_cannot_be_made_are_told_so() {
    tokio::time::pause();
    expect_booms();
    let log = Log::default();
    let registry = Script::new(&log).booms(Place::Made, 2).registry(limits());
    let mut watch = registry.watch();
    registry.do_send("a", Do::stop()).unwrap();
    let left = [registry.send("a", Mark("1")), registry.send("a", Mark("2"))];
    for answer in left {
        assert_eq!(cause(answer.await), failed("boom in Made of 2"));
    }
    assert_eq!(next_end(&mut watch).await.1.handed_over, 2);
    let event = next_of(&mut watch, "start_failed").await;
    assert_eq!(event.key.as_str(), "a");
    settle().await;
    assert_eq!((registry.stats().opened, registry.stats().keys, registry.stats().waiting), (1, 0, 0));
    assert_eq!(registry.send("a", Mark("again")).await.unwrap(), 3);
}

#[actix::test]
async fn leftovers_whose_successor_panics_in_started_are_told_so_and_no_third_is_made() {
    tokio::time::pause();
    expect_booms();
    let log = Log::default();
    let registry = Script::new(&log).booms(Place::Started, 2).registry(limits());
    let mut watch = registry.watch();
    registry.do_send("a", Do::stop()).unwrap();
    let left = [registry.send("a", Mark("1")), registry.send("a", Mark("2"))];
    for answer in left {
        assert_eq!(cause(answer.await), panicked("boom in Started of 2"));
    }
    assert_eq!(next_end(&mut watch).await.1.handed_over, 2);
    let (_, end) = next_end(&mut watch).await;
    assert_eq!((end.reason, end.handled, end.handed_over, end.dropped), (EndReason::Panicked, 0, 0, 2));
    settle().await;
    assert_eq!((registry.stats().opened, log.count("made"), registry.stats().keys), (2, 2, 0));
}

/// Someone else opened the key while the session that cannot start was ending: then there is a
/// successor, and it takes the mail as it always does.
#[actix::test]
async fn what_a_panicking_started_leaves_goes_to_a_successor_that_others_want() {
    tokio::time::pause();
    expect_booms();
    let log = Log::default();
    let registry: Arc<std::sync::OnceLock<session_actors::WeakSessionRegistry<Hooked>>> = Arc::default();
    let weak = Arc::clone(&registry);
    let script = Script::new(&log).booms(Place::Started, 1).on_bare(Place::Dropped, move |act| {
        if act.incarnation == 1 {
            let registry = weak.get().unwrap().upgrade().unwrap();
            registry.do_send("a", Mark("of somebody else")).unwrap();
        }
    });
    let strong = script.registry(limits());
    registry.set(strong.downgrade()).unwrap();
    let mut watch = strong.watch();
    assert_eq!(strong.send("a", Mark("1")).await.unwrap(), 2);
    assert_eq!(next_end(&mut watch).await.1.handed_over, 1);
    settle().await;
    let lines = log.lines();
    assert_eq!(lines[lines.len() - 2..], ["a#2 1", "a#2 of somebody else"]);
}

#[actix::test]
async fn the_message_that_panics_is_told_the_words_and_by_an_address_that_it_is_closed() {
    tokio::time::pause();
    expect_booms();
    let log = Log::default();
    let registry = Script::new(&log).registry(limits());
    assert_eq!(cause(registry.send("a", Do::panic("boom")).await), panicked("boom"));
    let by_address = registry.open("b").unwrap().send(Do::panic("boom")).await;
    assert!(matches!(by_address, Err(MailboxError::Closed)));
    let numbered = Do::new(|_, _| panic!("boom {}", 42));
    assert_eq!(cause(registry.send("c", numbered).await), panicked("boom 42"));
}

#[actix::test]
async fn a_reply_that_the_handler_lets_go_is_told_apart_from_an_end() {
    tokio::time::pause();
    let log = Log::default();
    let registry = Script::new(&log).registry(limits());

    struct Forgets;
    impl actix::dev::MessageResponse<Hooked, Ask> for Forgets {
        fn handle(self, _: &mut SessionContext<Hooked>, tx: Option<actix::dev::OneshotSender<()>>) {
            drop(tx);
        }
    }
    #[derive(Message)]
    #[rtype(result = "()")]
    struct Ask;
    impl Handler<Ask> for Hooked {
        type Result = Forgets;
        fn handle(&mut self, _: Ask, _: &mut Self::Context) -> Forgets {
            Forgets
        }
    }

    assert_eq!(cause(registry.send("a", Ask).await), Unserved::ReplyDropped);
    assert_eq!(registry.send("a", Mark("goes on")).await.unwrap(), 1);
}

#[actix::test]
async fn mail_for_a_session_that_waits_is_told_when_nothing_comes_of_it() {
    tokio::time::pause();
    expect_booms();
    let log = Log::default();
    let registry = Script::new(&log).booms(Place::Made, 2).registry(limits());
    let (open, gate) = gate();
    let job = Do::new(move |act, ctx| ctx.wait(async { drop(gate.await) }.into_actor(act)));
    registry.do_send("a", job).unwrap();
    settle().await;
    drop(registry.close("a"));
    settle().await;
    let waits = registry.send("a", Mark("waits"));
    open.send(()).unwrap();
    assert_eq!(cause(waits.await), failed("boom in Made of 2"));
    settle().await;
    assert_eq!((registry.stats().keys, registry.stats().waiting, registry.len()), (0, 0, 0));
}

/// A response of a user's own that panics while it is handed over: its reply sender was dropped while unwinding, and the
/// caller was told that the handler had let it go.
#[actix::test]
async fn the_caller_of_a_response_that_panics_is_told_of_the_panic() {
    quiet_panics();
    let registry = SessionRegistry::builder(|_| Odd).start().unwrap();
    let error = registry.send("k", Ask).await.unwrap_err();
    let SendError::Unserved { cause: Unserved::Ended { reason, panic } } = error else { panic!("{error:?}") };
    assert_eq!((reason, panic.as_deref()), (EndReason::Panicked, Some("in the response")));
}

struct Odd;

impl Actor for Odd {
    type Context = SessionContext<Self>;
}

impl Session for Odd {}

#[derive(Message)]
#[rtype(result = "u32")]
struct Ask;

struct PanicsInHandOver;

impl MessageResponse<Odd, Ask> for PanicsInHandOver {
    fn handle(self, _: &mut SessionContext<Odd>, _: Option<OneshotSender<u32>>) {
        panic!("in the response");
    }
}

impl Handler<Ask> for Odd {
    type Result = PanicsInHandOver;

    fn handle(&mut self, _: Ask, _: &mut Self::Context) -> PanicsInHandOver {
        PanicsInHandOver
    }
}
