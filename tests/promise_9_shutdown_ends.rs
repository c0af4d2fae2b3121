//! Promise 9: shutdown ends. It drains all, is hard at the timeout, and tells what it came to; from
//! its call on nothing is opened. Who may call it and how, threads that are blocked and what is
//! left afterwards are in `promise_9_calls.rs` and `promise_9_threads.rs`.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

#[path = "support/exact.rs"]
mod exact;
mod support;

use std::time::Duration;

use actix::prelude::*;
use exact::{Stopwatch, end_of, next_of};
use session_actors::{
    EndReason, EventKind, OnFull, OpenError, Phase, Policy, SendError, SessionRegistry, ShutdownReport, Unserved,
    Watched,
};
use support::*;

fn counts(report: ShutdownReport) -> (usize, usize, usize) {
    (report.drained, report.cut, report.unresponsive)
}

#[actix::test]
async fn the_report_counts_what_drained_and_what_was_cut() {
    let clock = Stopwatch::start();
    let log = Log::default();
    let registry = registry(limits(), &log);
    let mut watch = registry.watch();
    for key in ["idle 1", "idle 2"] {
        let _ = registry.open(key).unwrap();
    }
    let done = registry.send("done in time", Slow(secs(2)));
    let late = registry.send("late", Slow(secs(600)));
    let stuck = registry.send("stuck", Atomic(secs(600)));
    settle().await;

    let report = registry.shutdown(secs(4)).await.unwrap();

    clock.assert_at(secs(4), "hard at the timeout");
    assert_eq!(counts(report), (3, 2, 0));
    assert_eq!(done.await.unwrap(), "slow");
    for error in [late.await.map_err(told).unwrap_err(), stuck.await.map_err(told).unwrap_err()] {
        assert_eq!(error, Unserved::Ended { reason: EndReason::Shutdown, panic: None });
    }
    let mut ends = Vec::new();
    while let Some(watched) = watch.next().await {
        if let Watched::Event(event) = watched
            && let EventKind::Ended(ended) = &event.kind
        {
            assert_eq!(ended.reason, EndReason::Shutdown);
            ends.push((event.key.to_string(), ended.cut));
        }
    }
    ends.sort();
    let expected = [("done in time", 0), ("idle 1", 0), ("idle 2", 0), ("late", 1), ("stuck", 1)];
    assert_eq!(ends, expected.map(|(key, cut)| (key.to_owned(), cut)));
    assert_eq!(log.count("stopped Some(Shutdown)"), 5, "hooks run, also of those that are cut");
    assert_eq!(log.alive(), 0);
}

fn told<M>(error: SendError<M>) -> Unserved {
    match error {
        SendError::Unserved { cause } => cause,
        other => panic!("{other:?}"),
    }
}

#[actix::test]
async fn what_is_at_rest_ends_at_once() {
    let clock = Stopwatch::start();
    let log = Log::default();
    let registry = registry(limits(), &log);
    for n in 0..1000 {
        registry.do_send(format!("k{n}"), Ping).unwrap();
    }
    settle().await;
    let report = registry.shutdown(secs(3600)).await.unwrap();
    clock.assert_at(secs(0), "end");
    assert_eq!(counts(report), (1000, 0, 0));
    assert_eq!((log.count("draining"), log.count("expiring")), (0, 0));
}

#[actix::test]
async fn an_empty_registry_is_shut_down_at_once() {
    let clock = Stopwatch::start();
    let registry = registry(limits(), &Log::default());
    let mut watch = registry.watch();
    let report = registry.shutdown(secs(60)).await.unwrap();
    clock.assert_at(secs(0), "end");
    assert_eq!(counts(report), (0, 0, 0));
    assert!(matches!(watch.next().await, Some(Watched::Snapshot(_))));
    assert!(watch.next().await.is_none());
}

/// Whatever a session does, the timeout is when it has ended.
#[actix::test]
async fn it_is_hard_at_the_timeout_whatever_a_session_does() {
    tokio::time::pause();
    type Job = fn(&mut Probe, &mut session_actors::SessionContext<Probe>);
    let jobs: [Job; 5] = [
        |act, ctx| ctx.wait(std::future::pending::<()>().into_actor(act)),
        |_, ctx| std::mem::forget(ctx.hold()),
        |act, ctx| {
            // Begins its work anew whenever it is done.
            fn again(ctx: &mut session_actors::SessionContext<Probe>, act: &Probe) {
                ctx.wait(tokio::time::sleep(millis(300)).into_actor(act).map(|(), act, ctx| again(ctx, act)));
            }
            again(ctx, act);
        },
        // A flood of its own.
        |_, ctx| {
            std::mem::forget(ctx.hold());
            ctx.run_interval(millis(1), |_, ctx| ctx.address().do_send(Ping));
        },
        // It does not want to go.
        |_, ctx| {
            std::mem::forget(ctx.hold());
            ctx.set_limits(session_actors::Limits::never().drain_timeout(None)).unwrap();
        },
    ];
    for (n, job) in jobs.into_iter().enumerate() {
        let clock = Stopwatch::running();
        let registry = registry(limits(), &Log::default());
        registry.send("k", Run::new(job)).await.unwrap();
        let report = registry.shutdown(secs(4)).await.unwrap();
        clock.assert_at(secs(4), &format!("job {n}"));
        assert_eq!(counts(report), (0, 1, 0), "job {n}");
    }
}

#[actix::test]
async fn a_timeout_of_zero_cuts_at_once() {
    let clock = Stopwatch::start();
    let registry = registry(limits(), &Log::default());
    let _ = registry.send("idle", Ping).await.unwrap();
    let reply = registry.send("busy", Slow(secs(1)));
    settle().await;
    let report = registry.shutdown(Duration::ZERO).await.unwrap();
    clock.assert_at(secs(0), "end");
    assert_eq!(counts(report), (1, 1, 0));
    reply.await.unwrap_err();
}

#[actix::test]
async fn a_timeout_beyond_the_end_of_the_clock_waits_for_the_work() {
    let clock = Stopwatch::start();
    let registry = registry(limits(), &Log::default());
    let reply = registry.send("k", Slow(secs(100_000)));
    settle().await;
    let report = registry.shutdown(Duration::MAX).await.unwrap();
    clock.assert_at(secs(100_000), "end");
    assert_eq!((counts(report), reply.await.unwrap()), ((1, 0, 0), "slow"));
}

/// `drain_timeout` is for one session that ends while others go on; here the timeout of the call is
/// how long there is, be it more or less.
#[actix::test]
async fn its_timeout_stands_in_for_drain_timeout() {
    tokio::time::pause();
    for (timeout, cut, end) in [(secs(60), 0, secs(30)), (secs(2), 1, secs(2))] {
        let clock = Stopwatch::running();
        let registry = registry(limits(), &Log::default());
        let _reply = registry.send("k", Slow(secs(30)));
        settle().await;
        let report = registry.shutdown(timeout).await.unwrap();
        clock.assert_at(end, "end");
        assert_eq!(report.cut, cut);
    }
}

#[actix::test]
async fn a_session_that_drains_already_keeps_its_reason_and_the_nearer_end() {
    tokio::time::pause();
    for (timeout, end) in [(secs(60), secs(5)), (secs(2), secs(3))] {
        let clock = Stopwatch::running();
        let registry = registry(limits(), &Log::default());
        let mut watch = registry.watch();
        let _reply = registry.send("k", Slow(secs(600)));
        settle().await;
        let closing = registry.close("k");
        clock.reach(secs(1)).await;
        let report = registry.shutdown(timeout).await.unwrap();
        clock.assert_at(end, "end");
        assert_eq!(counts(report), (0, 1, 0));
        assert_eq!(closing.await.unwrap().reason, EndReason::Closed);
        assert_eq!(end_of(&mut watch, "k").await.reason, EndReason::Closed);
    }
}

// ---- from the call on --------------------------------------------------------------------------

#[actix::test]
async fn from_its_call_on_nothing_is_opened_and_messages_are_given_back() {
    tokio::time::pause();
    let log = Log::default();
    let registry = registry(limits(), &log);
    let hold = registry.send("live", TakeHold).await.unwrap();
    let addr = registry.get("live").unwrap();

    let shutdown = registry.shutdown(secs(60));
    // It acts at the call, before anything is polled.
    for key in ["new", "live"] {
        assert!(matches!(registry.open(key), Err(OpenError::ShuttingDown)), "{key}");
        let error = registry.send(key, Note("back")).await.unwrap_err();
        assert!(matches!(error, SendError::Refused { cause: OpenError::ShuttingDown, .. }));
        assert_eq!(error.into_message().unwrap().0, "back");
        assert!(registry.try_send(key, Note("back")).is_err());
        assert!(registry.do_send(key, Note("back")).is_err());
    }
    settle().await;
    // Work in flight may still need the session: by its address it goes on.
    assert_eq!(addr.send(Ping).await.unwrap(), 2);
    let info = registry.info("live").unwrap();
    assert_eq!((info.phase, registry.len()), (Phase::Draining, 1));
    drop(hold);
    assert_eq!(counts(shutdown.await.unwrap()), (1, 0, 0));
    assert!(matches!(registry.open("new"), Err(OpenError::ShuttingDown)), "and it stays so");
    assert_eq!((registry.len(), log.count("back"), log.alive()), (0, 0, 0));
    assert!(matches!(addr.send(Ping).await, Err(MailboxError::Closed)));
}

/// In the mailbox before the flag was set, though not one line of the session has run.
#[actix::test]
async fn what_was_accepted_before_is_handled() {
    tokio::time::pause();
    let registry = registry(limits(), &Log::default());
    let replies: Vec<_> = (0..100).map(|n| registry.send(format!("k{}", n % 10), Ping)).collect();
    let report = registry.shutdown(secs(5)).await.unwrap();
    for (n, reply) in (0..100).zip(replies) {
        assert_eq!(reply.await.unwrap(), n / 10 + 1);
    }
    assert_eq!(counts(report), (10, 0, 0));
}

/// Behind work that is cut: it has waited in vain, and is told so.
#[actix::test]
async fn mail_behind_work_that_is_cut_is_told() {
    tokio::time::pause();
    let registry = registry(limits(), &Log::default());
    let mut watch = registry.watch();
    let _blocked = registry.send("k", Atomic(secs(600)));
    let behind = registry.send("k", Ping);
    let report = registry.shutdown(secs(4)).await.unwrap();
    assert_eq!(told(behind.await.unwrap_err()), Unserved::Ended { reason: EndReason::Shutdown, panic: None });
    assert_eq!(counts(report), (0, 1, 0), "no successor is opened for it");
    let ended = end_of(&mut watch, "k").await;
    assert_eq!((ended.handed_over, ended.dropped), (0, 1));
}

// ---- those that have not begun -----------------------------------------------------------------

#[actix::test]
async fn a_waiting_successor_handles_its_mail_and_goes() {
    let clock = Stopwatch::start();
    let registry = registry(limits(), &Log::default());
    let mut watch = registry.watch();
    let hold = registry.send("k", TakeHold).await.unwrap();
    drop(registry.close("k"));
    settle().await;
    let reply = registry.send("k", Slow(secs(1)));
    assert_eq!(registry.stats().waiting, 1);

    let shutdown = registry.shutdown(secs(60));
    clock.reach(secs(2)).await;
    drop(hold);
    assert_eq!(reply.await.unwrap(), "slow");
    clock.assert_at(secs(3), "the answer");
    assert_eq!(counts(shutdown.await.unwrap()), (2, 0, 0));
    assert_eq!(end_of(&mut watch, "k").await.reason, EndReason::Closed);
    assert_eq!(end_of(&mut watch, "k").await.reason, EndReason::Shutdown);
}

/// It begins at the timeout, when its predecessor is cut: what needs no time is answered still,
/// what needs some is told.
#[actix::test]
async fn a_successor_that_begins_at_the_timeout_does_not_outlast_it() {
    let clock = Stopwatch::start();
    let registry = registry(limits().drain_timeout(secs(600)), &Log::default());
    let _hold = registry.send("k", TakeHold).await.unwrap();
    drop(registry.close("k"));
    settle().await;
    let (quick, slow) = (registry.send("k", Ping), registry.send("k", Slow(secs(1))));
    let report = registry.shutdown(secs(4)).await.unwrap();
    clock.assert_at(secs(4), "end");
    assert_eq!(counts(report), (0, 2, 0));
    assert_eq!(quick.await.unwrap(), 1);
    assert_eq!(told(slow.await.unwrap_err()), Unserved::Ended { reason: EndReason::Shutdown, panic: None });
}

#[actix::test]
async fn a_newcomer_that_waits_for_a_slot_handles_its_mail_and_goes() {
    let clock = Stopwatch::start();
    let policy = Policy::new(limits()).max_sessions(1).on_full(OnFull::EvictIdle);
    let registry = registry_by(policy, &Log::default());
    let mut watch = registry.watch();
    let victim = registry.open("a").unwrap();
    settle().await;
    let reply = registry.send("b", Ping);
    victim.do_send(Slow(secs(2)));
    settle().await;

    let report = registry.shutdown(secs(60)).await.unwrap();

    clock.assert_at(secs(2), "end");
    assert_eq!(reply.await.unwrap(), 1);
    assert_eq!(counts(report), (2, 0, 0));
    assert_eq!(end_of(&mut watch, "a").await.reason, EndReason::Evicted);
    assert_eq!(end_of(&mut watch, "b").await.reason, EndReason::Shutdown);
}

/// A panic on the way is an end like any other.
#[actix::test]
async fn a_session_that_panics_meanwhile_does_not_hold_it_up() {
    tokio::time::pause();
    quiet_panics();
    let registry =
        SessionRegistry::builder(|key| Probe::new(key, &Log::default())).policy(Policy::new(limits())).start().unwrap();
    let mut watch = registry.watch();
    let addr = registry.open("k").unwrap();
    let hold = addr.send(TakeHold).await.unwrap();
    let shutdown = registry.shutdown(secs(60));
    next_of(&mut watch, "draining").await;
    addr.do_send(Boom("boom"));
    assert_eq!(end_of(&mut watch, "k").await.reason, EndReason::Panicked);
    let report = shutdown.await.unwrap();
    assert_eq!(report.drained + report.cut, 1);
    drop(hold);
}
