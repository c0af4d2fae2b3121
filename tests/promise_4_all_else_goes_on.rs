//! Promise 4, second part: neighbours notice nothing of a panic, the mail behind it goes to the
//! successor, and in a `ResponseFuture` it fails that reply only.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

#[path = "support/guard.rs"]
mod guard;
mod support;

use actix::prelude::*;
use futures_util::future::join_all;
use session_actors::{EndReason, EventKind, Limits, Policy, SendError, SessionRegistry, Unserved};
use tokio::time::{Instant, pause, sleep};

use crate::{
    guard::{assert_due_now, assert_on_time, or_give_up, quiet_provoked_panics},
    support::{
        Atomic, Boom, Log, Note, Ping, Probe, Run, Slow, SlowInContext, TakeHold, limits, millis, next_end, next_event,
        registry, secs,
    },
};

/// Replies by a future that panics after a while.
#[derive(Message)]
#[rtype(result = "u64")]
struct PanicOutside(u64);

impl Handler<PanicOutside> for Probe {
    type Result = ResponseFuture<u64>;

    fn handle(&mut self, message: PanicOutside, _: &mut Self::Context) -> Self::Result {
        self.handled += 1;
        Box::pin(async move {
            sleep(secs(message.0)).await;
            panic!("provoked outside")
        })
    }
}

/// The same by actix's `Response`, which runs it in a task of its own.
#[derive(Message)]
#[rtype(result = "u64")]
struct PanicInResponse;

impl Handler<PanicInResponse> for Probe {
    type Result = Response<u64>;

    fn handle(&mut self, _: PanicInResponse, _: &mut Self::Context) -> Self::Result {
        self.handled += 1;
        Response::fut(async { panic!("provoked in a response") })
    }
}

/// The same in the context.
#[derive(Message)]
#[rtype(result = "u64")]
struct PanicInContext;

impl Handler<PanicInContext> for Probe {
    type Result = ResponseActFuture<Self, u64>;

    fn handle(&mut self, _: PanicInContext, _: &mut Self::Context) -> Self::Result {
        self.handled += 1;
        Box::pin(sleep(secs(1)).into_actor(self).map(|(), _, _| panic!("provoked inside")))
    }
}

#[track_caller]
fn assert_unserved<M, T: std::fmt::Debug>(answer: Result<T, SendError<M>>, because: &Unserved) {
    let error = answer.unwrap_err();
    assert!(matches!(&error, SendError::Unserved { cause } if cause == because), "{error:?}");
}

#[actix::test]
async fn neighbours_notice_nothing() {
    pause();
    quiet_provoked_panics();
    let log = Log::default();
    let registry = registry(limits(), &log);
    let neighbour = registry.open("neighbour").unwrap();
    let id = neighbour.send(Ping).await.map(|_| registry.info("neighbour").unwrap().id).unwrap();
    let began = Instant::now();
    // Everything a session can have in flight.
    let slow = registry.send("neighbour", Slow(secs(3)));
    let in_context = registry.send("neighbour", SlowInContext(secs(3)));
    let (ticks, mut ticked) = tokio::sync::mpsc::unbounded_channel();
    neighbour.do_send(Run::new(move |_, ctx| {
        ctx.run_interval(millis(500), move |_, _| ticks.send(()).unwrap());
    }));
    let hold = registry.send("neighbour", TakeHold).await.unwrap();
    let mut watch = registry.watch();

    for n in 0..20 {
        let key = format!("broken:{}", n % 3);
        registry.send(&key, Ping).await.unwrap();
        registry.send(&key, Boom("provoked")).await.unwrap_err();
        assert_eq!(next_end(&mut watch).await.1.reason, EndReason::Panicked);
    }
    registry.send("broken", PanicInContext).await.unwrap_err();
    assert_due_now(began, secs(1));

    assert_eq!((slow.await.unwrap(), in_context.await.unwrap()), ("slow", "slow in context"));
    assert_due_now(began, secs(3));
    let mut count = 0;
    while ticked.try_recv().is_ok() {
        count += 1;
    }
    assert!((5..=6).contains(&count), "{count} ticks");
    drop(hold);
    assert_eq!(neighbour.send(Ping).await.unwrap(), 6);
    let info = registry.info("neighbour").unwrap();
    assert_eq!((info.id, info.in_flight), (id, 0));
    // Its idle time ran from its own last message, as if nothing had been.
    let last = Instant::now();
    let (key, ended) = next_end(&mut watch).await;
    let (key, ended) = if key == "neighbour" { (key, ended) } else { next_end(&mut watch).await };
    assert_eq!((key.as_str(), ended.reason), ("neighbour", EndReason::IdleTimeout));
    assert_due_now(last, secs(10));
}

#[actix::test]
async fn a_panic_leaves_no_trace_on_its_thread() {
    pause();
    quiet_provoked_panics();
    let registry = registry(limits(), &Log::default());
    let reply = registry.send("k", Boom("provoked"));
    reply.await.unwrap_err();
    // The thread is not inside of a session any more, and ends of others are told their own reasons.
    registry.send("other", TakeHold).await.map(std::mem::forget).unwrap();
    let cut = registry.send("other", Atomic(secs(100)));
    let report = registry.shutdown(secs(1)).await.unwrap();
    assert_eq!((report.drained, report.cut), (0, 1));
    assert_unserved(cut.await, &Unserved::Ended { reason: EndReason::Shutdown, panic: None });
}

#[actix::test]
async fn the_mail_behind_a_panic_goes_to_the_successor_in_order() {
    pause();
    quiet_provoked_panics();
    let log = Log::default();
    let registry = registry(limits(), &log);
    let mut watch = registry.watch();
    registry.send("k", Ping).await.unwrap();
    let first = registry.info("k").unwrap().id;
    log.take();
    let before = registry.send("k", Note("before"));
    let panics = registry.send("k", Boom("provoked"));
    let behind = [registry.send("k", Note("one")), registry.send("k", Note("two"))];
    registry.do_send("k", Note("three")).unwrap();
    let last = registry.send("k", Ping);

    before.await.unwrap();
    panics.await.unwrap_err();
    for answer in join_all(behind).await {
        answer.unwrap();
    }
    // By a fresh actor, which has handled three before.
    assert_eq!(last.await.unwrap(), 4);
    let second = registry.info("k").unwrap().id;
    assert!(second > first);
    let expected = [
        format!("k#{first}: before"),
        format!("k#{second}: started"),
        format!("k#{second}: one"),
        format!("k#{second}: two"),
        format!("k#{second}: three"),
    ];
    assert_eq!(log.lines(), expected);
    let (_, ended) = next_end(&mut watch).await;
    assert_eq!((ended.reason, ended.handled, ended.handed_over, ended.dropped), (EndReason::Panicked, 3, 4, 0));
}

/// A message that panics its session is not tried again, so a queue of them comes to an end.
#[actix::test]
async fn each_of_many_that_panic_takes_one_incarnation() {
    pause();
    quiet_provoked_panics();
    let registry = registry(limits(), &Log::default());
    let mut watch = registry.watch();
    let panics: Vec<_> = (0..10).map(|_| registry.send("k", Boom("provoked"))).collect();
    let behind = registry.send("k", Ping);

    let because = Unserved::Ended { reason: EndReason::Panicked, panic: Some("provoked".into()) };
    for answer in join_all(panics).await {
        assert_unserved(answer, &because);
    }
    assert_eq!(behind.await.unwrap(), 1);
    for left in (1..=10).rev() {
        let (_, ended) = next_end(&mut watch).await;
        assert_eq!((ended.reason, ended.handled, ended.handed_over), (EndReason::Panicked, 1, left));
    }
    assert_eq!(registry.stats().opened, 11);
}

#[actix::test]
async fn a_panic_in_a_response_future_fails_that_reply_only() {
    pause();
    quiet_provoked_panics();
    let log = Log::default();
    let registry = registry(limits(), &log);
    let mut watch = registry.watch();
    let began = Instant::now();
    let panics = registry.send("k", PanicOutside(1));
    let others = [registry.send("k", Slow(secs(2))), registry.send("k", Slow(millis(500)))];
    let id = loop {
        let event = next_event(&mut watch).await;
        if matches!(event.kind, EventKind::Opened { .. }) {
            break event.session;
        }
    };

    assert_unserved(panics.await, &Unserved::ReplyPanicked { panic: "provoked outside".into() });
    assert_due_now(began, secs(1));
    for answer in join_all(others).await {
        assert_eq!(answer.unwrap(), "slow");
    }
    // The same session, with what it knew.
    assert_eq!(registry.send("k", Ping).await.unwrap(), 4);
    assert_eq!(registry.info("k").unwrap().id, id);
    assert_eq!(registry.info("k").unwrap().in_flight, 0);
    assert_eq!(log.count("stopped"), 0);
    let (_, ended) = next_end(&mut watch).await;
    assert_eq!((ended.reason, ended.cut), (EndReason::IdleTimeout, 0));
}

/// It was work in flight like any other: it kept the session, and the idle clock runs from its end.
#[actix::test]
async fn a_reply_that_panicked_counts_as_work_that_ended() {
    pause();
    quiet_provoked_panics();
    let registry = registry(limits(), &Log::default());
    let mut watch = registry.watch();
    let began = Instant::now();
    registry.send("k", PanicOutside(30)).await.unwrap_err();
    let (_, ended) = next_end(&mut watch).await;
    assert_due_now(began, secs(40));
    assert_eq!(ended.reason, EndReason::IdleTimeout);
    assert_on_time(ended.idle, secs(10));
}

#[actix::test]
async fn a_plain_address_loses_that_reply_only_too() {
    pause();
    quiet_provoked_panics();
    let registry = registry(limits(), &Log::default());
    let addr = registry.open("k").unwrap();
    assert_eq!(addr.send(PanicOutside(1)).await, Err(MailboxError::Closed));
    // Nobody asked: nobody is told, and nothing happens.
    addr.do_send(PanicOutside(1));
    sleep(secs(2)).await;
    assert_eq!(addr.send(Ping).await, Ok(3));
    assert_eq!(registry.send("k", PanicInResponse).await.ok(), None);
    assert_eq!(addr.send(Ping).await, Ok(5));
}

#[actix::test]
async fn a_panic_in_the_context_cuts_what_is_in_it_and_lets_the_other_replies_go_on() {
    pause();
    quiet_provoked_panics();
    let registry = registry(limits(), &Log::default());
    let mut watch = registry.watch();
    let began = Instant::now();
    let outside = registry.send("k", Slow(secs(3)));
    let inside = registry.send("k", SlowInContext(secs(3)));
    let panics = registry.send("k", PanicInContext);

    let because = Unserved::Ended { reason: EndReason::Panicked, panic: Some("provoked inside".into()) };
    assert_unserved(panics.await, &because);
    assert_unserved(inside.await, &because);
    assert_due_now(began, secs(1));
    let (_, ended) = next_end(&mut watch).await;
    assert_eq!((ended.reason, ended.cut), (EndReason::Panicked, 2));
    // It needs no actor, and bare actix delivers it.
    assert_eq!(outside.await.unwrap(), "slow");
    assert_due_now(began, secs(3));
}

/// The twin in real time: on two threads, sessions that panic between sessions that do not.
#[test]
fn on_threads_of_their_own_neighbours_notice_nothing_either() {
    or_give_up("neighbours", || async {
        quiet_provoked_panics();
        let log = Log::default();
        let noted = log.clone();
        let registry = SessionRegistry::builder(move |key| Probe::new(key, &noted))
            .policy(Policy::new(Limits::never()))
            .arbiters(2)
            .start()
            .unwrap();
        let neighbours: Vec<_> = (0..8).map(|n| format!("neighbour:{n}")).collect();
        for round in 1..=100 {
            for n in 0..8 {
                registry.do_send(format!("broken:{n}"), Boom("provoked")).unwrap();
            }
            let answers = neighbours.iter().map(|key| registry.send(key, Ping));
            for answer in join_all(answers).await {
                assert_eq!(answer.unwrap(), round);
            }
        }
        while registry.stats().ended.get(EndReason::Panicked) < 800 {
            sleep(millis(1)).await;
        }
        let stats = registry.stats();
        assert_eq!((stats.live, log.alive()), (8, 8));
    });
}
