//! Limits of section 4 of the design that are about work in flight: max busy and the drain.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

#[path = "support/exact.rs"]
mod exact;
mod support;

use std::time::Duration;

use actix::prelude::*;
use exact::{Stopwatch, assert_about, end_of, next_of};
use session_actors::{EndReason, EventKind, Phase, SendError, Unserved};
use support::*;
use tokio::time::sleep;

// ---- max busy ----------------------------------------------------------------------------------

#[actix::test]
async fn work_without_progress_ends_as_stuck() {
    let clock = Stopwatch::start();
    let log = Log::default();
    let registry = registry(limits().max_busy(secs(60)), &log);
    let mut watch = registry.watch();
    let _ = registry.open("k").unwrap();
    clock.reach(secs(3)).await;
    let reply = registry.send("k", Slow(secs(600)));

    let draining = next_of(&mut watch, "draining").await;
    assert!(matches!(draining.kind, EventKind::Draining { reason: EndReason::Stuck, in_flight: 1 }), "{draining:?}");
    let ended = end_of(&mut watch, "k").await;

    // It has had its time: no drain_timeout on top of it.
    clock.assert_at(secs(63), "end");
    assert_eq!((ended.reason, ended.cut, ended.handled), (EndReason::Stuck, 1, 1));
    let told = reply.await.unwrap_err();
    assert!(
        matches!(told, SendError::Unserved { cause: Unserved::Ended { reason: EndReason::Stuck, panic: None } }),
        "{told:?}"
    );
    assert_eq!((log.count("draining"), log.count("stopped Some(Stuck)")), (0, 1), "it drains in name only");
}

#[actix::test]
async fn every_begin_and_end_of_work_is_progress() {
    let clock = Stopwatch::start();
    let registry = registry(limits().max_busy(secs(60)), &Log::default());
    let mut watch = registry.watch();
    let addr = registry.open("k").unwrap();
    // One that never ends, so that the session is busy throughout.
    addr.do_send(Slow(secs(100_000)));
    clock.reach(secs(50)).await;
    addr.do_send(SlowInContext(secs(40)));
    clock.reach(secs(80)).await;
    let busy_since = registry.info("k").unwrap().busy_since.unwrap();
    let opened_at = registry.info("k").unwrap().opened_at;
    assert_about(busy_since.duration_since(opened_at).unwrap(), secs(50), "busy_since");
    // Ends at 90 s: from 50 s to there is less than max_busy.
    clock.reach(secs(140)).await;
    let hold = addr.send(TakeHold).await.unwrap();
    clock.reach(secs(190)).await;
    let second = hold.clone();
    clock.reach(secs(195)).await;
    drop((hold, second));

    let ended = end_of(&mut watch, "k").await;
    clock.assert_at(secs(195 + 60), "end");
    assert_eq!((ended.reason, ended.cut), (EndReason::Stuck, 1));
}

/// A clone of a hold is work that begins, on whatever thread; its instant counts, not that of the
/// next look.
#[actix::test]
async fn a_hold_that_is_cloned_outside_of_the_session_is_progress_at_that_instant() {
    let clock = Stopwatch::start();
    let registry = registry(limits().max_busy(secs(60)), &Log::default());
    let mut watch = registry.watch();
    let addr = registry.open("k").unwrap();
    let hold = addr.send(TakeHold).await.unwrap();
    clock.reach(secs(10)).await;
    let _second = hold.clone();
    end_of(&mut watch, "k").await;
    clock.assert_at(secs(70), "end");
}

/// Messages that need no work of their own say nothing about the work that hangs.
#[actix::test]
async fn chatter_around_stuck_work_is_no_progress() {
    let clock = Stopwatch::start();
    let registry = registry(limits().max_busy(secs(60)), &Log::default());
    let mut watch = registry.watch();
    let addr = registry.open("k").unwrap();
    addr.do_send(Slow(secs(100_000)));
    for second in 1..60 {
        clock.reach(secs(second)).await;
        addr.send(Ping).await.unwrap();
    }
    let ended = end_of(&mut watch, "k").await;
    clock.assert_at(secs(60), "end");
    assert_eq!(ended.reason, EndReason::Stuck);
}

#[actix::test]
async fn an_idle_session_is_never_stuck() {
    let clock = Stopwatch::start();
    let registry = registry(limits().idle_timeout(secs(1000)).max_busy(secs(60)), &Log::default());
    let mut watch = registry.watch();
    assert_eq!(registry.send("k", Slow(secs(59))).await.unwrap(), "slow");
    let ended = end_of(&mut watch, "k").await;
    clock.assert_at(secs(1059), "end");
    assert_eq!(ended.reason, EndReason::IdleTimeout);
}

/// The mailbox is blocked, and so would be any timer of the actor's own.
#[actix::test]
async fn a_wait_that_never_returns_is_stuck_too() {
    let clock = Stopwatch::start();
    let registry = registry(limits().max_busy(secs(60)), &Log::default());
    let mut watch = registry.watch();
    let addr = registry.open("k").unwrap();
    addr.do_send(Run::new(|act, ctx| ctx.wait(std::future::pending::<()>().into_actor(act))));
    let ended = end_of(&mut watch, "k").await;
    clock.assert_at(secs(60), "end");
    assert_eq!((ended.reason, ended.cut), (EndReason::Stuck, 1));
}

// ---- the drain ---------------------------------------------------------------------------------

#[actix::test]
async fn at_rest_already_it_ends_at_once() {
    let clock = Stopwatch::start();
    let log = Log::default();
    let registry = registry(limits(), &log);
    let mut watch = registry.watch();
    let _ = registry.send("k", Ping).await.unwrap();
    let ended = registry.close("k").await.unwrap();
    clock.assert_at(secs(0), "end");
    assert_eq!((ended.reason, ended.handled, ended.cut), (EndReason::Closed, 1, 0));
    assert_eq!(log.count("draining"), 0, "nothing to wait for");
    end_of(&mut watch, "k").await;
}

/// Its own timers, futures and streams are no work, whatever they would still have done.
#[actix::test]
async fn clockwork_does_not_hold_an_end_up() {
    let clock = Stopwatch::start();
    let log = Log::default();
    let registry = registry(limits(), &log);
    let clockwork = Run::new(|act, ctx| {
        ctx.run_interval(secs(1), |_, _| ());
        ctx.notify_later(Ping, secs(3));
        ctx.spawn(sleep(secs(3)).into_actor(act));
        ctx.add_message_stream(futures_util::stream::pending::<Ping>());
    });
    registry.send("k", clockwork).await.unwrap();
    let ended = registry.close("k").await.unwrap();
    clock.assert_at(secs(0), "end");
    assert_eq!((ended.reason, ended.cut, log.count("draining")), (EndReason::Closed, 0, 0));
}

#[actix::test]
async fn a_drain_ends_with_the_last_piece_of_work() {
    let clock = Stopwatch::start();
    let log = Log::default();
    let registry = registry(limits(), &log);
    let mut watch = registry.watch();
    let addr = registry.open("k").unwrap();
    let replies = (actix::spawn(addr.send(Slow(secs(2)))), actix::spawn(addr.send(SlowInContext(secs(4)))));
    settle().await;
    let closing = registry.close("k");
    settle().await;

    assert!(registry.get("k").is_none(), "out of the directory");
    let info = registry.info("k").unwrap();
    assert_eq!((info.phase, info.in_flight), (Phase::Draining, 2), "and live");
    assert!(info.expires_in.is_some_and(|left| left <= secs(5)));
    // Work in flight often needs it: what comes through an address is handled.
    assert_eq!(addr.send(Ping).await.unwrap(), 3);

    let ended = closing.await.unwrap();
    clock.assert_at(secs(4), "end");
    assert_eq!((ended.reason, ended.handled, ended.cut), (EndReason::Closed, 3, 0));
    assert_eq!(replies.0.await.unwrap().unwrap(), "slow");
    assert_eq!(replies.1.await.unwrap().unwrap(), "slow in context");
    let draining = next_of(&mut watch, "draining").await;
    assert!(matches!(draining.kind, EventKind::Draining { reason: EndReason::Closed, in_flight: 2 }), "{draining:?}");
    assert_eq!(
        log.take(),
        [
            "k#1: started",
            "k#1: draining closed",
            "k#1: slow in context done",
            "k#1: stopping Some(Closed)",
            "k#1: stopped Some(Closed)"
        ]
    );
}

async fn is_cut_at_drain_timeout<M>(message: M)
where
    Probe: Handler<M>,
    M: Message<Result = &'static str> + Send + Unpin + 'static,
{
    let clock = Stopwatch::start();
    let log = Log::default();
    let registry = registry(limits(), &log);
    let reply = registry.send("k", message);
    clock.reach(secs(1)).await;
    let ended = registry.close("k").await.unwrap();
    clock.assert_at(secs(6), "end");
    assert_eq!((ended.reason, ended.cut), (EndReason::Closed, 1));
    assert_eq!(ended.idle, Duration::ZERO, "work was in flight to the last");
    let told = reply.await.unwrap_err();
    assert_eq!(format!("{told}"), "the session ended (closed) before it answered", "the caller learns why");
    assert_eq!(log.count("stopped Some(Closed)"), 1, "hooks run although it was cut");
    assert_eq!(log.alive(), 0);
}

#[actix::test]
async fn a_reply_in_the_making_is_cut_at_drain_timeout() {
    is_cut_at_drain_timeout(Slow(secs(600))).await;
}

#[actix::test]
async fn work_in_the_context_is_cut_at_drain_timeout() {
    is_cut_at_drain_timeout(SlowInContext(secs(600))).await;
}

/// In plain actix it would stop every timer of the actor.
#[actix::test]
async fn an_atomic_response_is_cut_at_drain_timeout() {
    is_cut_at_drain_timeout(Atomic(secs(600))).await;
}

#[actix::test]
async fn a_hold_is_waited_for_until_drain_timeout() {
    let clock = Stopwatch::start();
    let registry = registry(limits(), &Log::default());
    let hold = registry.send("k", TakeHold).await.unwrap();
    let ended = registry.close("k").await.unwrap();
    clock.assert_at(secs(5), "end");
    assert_eq!(ended.cut, 1);
    // It outlives its session, and does no harm.
    drop(hold);
}

#[actix::test]
async fn without_a_drain_timeout_work_is_waited_for_however_long_it_takes() {
    let clock = Stopwatch::start();
    let registry = registry(limits().drain_timeout(None), &Log::default());
    let reply = registry.send("k", Slow(secs(100_000)));
    settle().await;
    let ended = registry.close("k").await.unwrap();
    clock.assert_at(secs(100_000), "end");
    assert_eq!(ended.cut, 0);
    assert_eq!(reply.await.unwrap(), "slow");
}

#[actix::test]
async fn max_busy_cuts_a_drain_that_makes_no_progress() {
    let clock = Stopwatch::start();
    let registry = registry(limits().drain_timeout(None).max_busy(secs(60)), &Log::default());
    let _reply = registry.send("k", Slow(secs(100_000)));
    clock.reach(secs(20)).await;
    let ended = registry.close("k").await.unwrap();
    clock.assert_at(secs(60), "end");
    assert_eq!((ended.reason, ended.cut), (EndReason::Closed, 1), "the first reason stays");
}

#[actix::test]
async fn work_that_begins_during_the_drain_is_waited_for() {
    let clock = Stopwatch::start();
    let registry = registry(limits(), &Log::default());
    let addr = registry.open("k").unwrap();
    addr.do_send(Run::new(|act, ctx| {
        // Its last step asks the session itself for more.
        let addr = ctx.address();
        let hold = ctx.hold();
        ctx.spawn(sleep(secs(2)).into_actor(act).map(move |(), _, _| {
            addr.do_send(Slow(secs(1)));
            drop(hold);
        }));
    }));
    settle().await;
    let ended = registry.close("k").await.unwrap();
    clock.assert_at(secs(3), "end");
    assert_eq!((ended.handled, ended.cut), (2, 0));
}
