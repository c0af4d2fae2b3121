//! Promise 9 and section 4 of the design: what a shutdown does to what sessions have left. Replies that go on without their
//! session hold nothing of it, and no limit of its reaches them; but a shutdown waits for them, cuts them at its deadline,
//! and counts them apart. Mail that a session leaves goes to a successor that is there already, and opens none.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

#[path = "support/exact.rs"]
mod exact;
#[path = "support/hooked.rs"]
mod hooked;
mod support;

use std::time::Duration;

use actix::prelude::*;
use exact::{Stopwatch, end_of, next_of};
use hooked::{cause, ended, expect_booms};
use session_actors::{EndReason, Policy, Reply, SessionRegistry, ShutdownReport, Unserved, Watch};
use support::*;
use tokio::{task::JoinHandle, time::timeout};

/// A reply that has that long to go when its session stops itself.
async fn goes_on(registry: &SessionRegistry<Probe>, lasts: Duration) -> Reply<Slow> {
    let mut watch = registry.watch();
    let reply = registry.send("k", Slow(lasts));
    registry.do_send("k", Stop).unwrap();
    let ended = end_of(&mut watch, "k").await;
    assert_eq!((ended.reason, ended.cut), (EndReason::Stopped, 0), "it is not cut");
    reply
}

fn counts(report: ShutdownReport) -> (usize, usize, usize, usize) {
    (report.drained, report.cut, report.cut_replies, report.unresponsive)
}

/// When the stream of a watcher ends.
fn end_of_stream(mut watch: Watch, clock: Stopwatch) -> JoinHandle<Duration> {
    actix::spawn(async move {
        while watch.next().await.is_some() {}
        clock.elapsed()
    })
}

#[actix::test]
async fn a_reply_that_goes_on_holds_neither_actor_nor_slot_and_no_limit_reaches_it() {
    let clock = Stopwatch::start();
    let log = Log::default();
    let limits = limits().max_age(secs(5)).max_busy(secs(3)).drain_timeout(secs(2));
    let registry = registry_by(Policy::new(limits).max_sessions(1), &log);
    let reply = goes_on(&registry, secs(100)).await;
    settle().await;
    assert_eq!((log.alive(), registry.len(), registry.stats().keys), (0, 0, 0));
    assert_eq!(registry.send("another", Ping).await.unwrap(), 1);
    registry.close("another").await.unwrap();
    // Nor does its own key wait for it, nor is that busy.
    assert_eq!(registry.send("k", Ping).await.unwrap(), 1);
    assert_eq!(registry.info("k").unwrap().in_flight, 0);
    assert_eq!(reply.await.unwrap(), "slow");
    clock.assert_at(secs(100), "the reply");
}

#[actix::test]
async fn a_shutdown_waits_for_replies_that_go_on() {
    let clock = Stopwatch::start();
    let registry = registry(limits(), &Log::default());
    let reply = goes_on(&registry, secs(30)).await;
    let stream = end_of_stream(registry.watch(), clock);
    clock.reach(secs(1)).await;

    let report = registry.shutdown(secs(60)).await.unwrap();

    clock.assert_at(secs(30), "the report");
    assert_eq!(counts(report), (0, 0, 0, 0), "its session had ended before");
    assert_eq!(reply.await.unwrap(), "slow");
    let stream = stream.await.unwrap();
    assert!(stream >= secs(30), "watch streams end when all is over, not after {stream:?}");
}

#[actix::test]
async fn a_shutdown_cuts_replies_that_go_on_at_its_deadline() {
    let clock = Stopwatch::start();
    let registry = registry(limits(), &Log::default());
    let reply = goes_on(&registry, secs(600)).await;
    let stream = end_of_stream(registry.watch(), clock);
    clock.reach(secs(1)).await;

    let report = registry.shutdown(secs(4)).await.unwrap();

    clock.assert_at(secs(5), "the report");
    assert_eq!(counts(report), (0, 0, 1, 0), "it is no session's work any more");
    assert_eq!(cause(reply.await), ended(EndReason::Stopped), "told how its session ended");
    clock.assert_at(secs(5), "the reply");
    assert_eq!((registry.stats().work_cut, registry.stats().ended.total()), (0, 1));
    let stream = stream.await.unwrap();
    assert!(stream >= secs(5), "watch streams end when all is over, not after {stream:?}");
}

/// Those that begin to go on while the shutdown is under way, and a drop of the last handle, which is one as well.
#[actix::test]
async fn a_reply_that_goes_on_during_a_shutdown_is_cut_at_its_deadline() {
    tokio::time::pause();
    expect_booms();
    for panics in [false, true] {
        let clock = Stopwatch::running();
        let registry = registry(limits(), &Log::default());
        let addr = registry.open("k").unwrap();
        let reply = registry.send("k", Slow(secs(600)));
        let mut watch = registry.watch();
        let shutdown = registry.shutdown(secs(4));
        clock.reach(secs(1)).await;
        if panics {
            addr.do_send(Boom("boom"));
        } else {
            addr.do_send(Stop);
        }
        let end = end_of(&mut watch, "k").await;
        clock.assert_at(secs(1), "the end of the session");
        assert_eq!(end.cut, 0);

        let report = shutdown.await.unwrap();

        clock.assert_at(secs(4), "the report");
        assert_eq!(counts(report), (1, 0, 1, 0));
        let told = cause(reply.await);
        assert!(matches!(&told, Unserved::Ended { reason, .. } if *reason == end.reason), "{told:?}");
    }
}

#[actix::test]
async fn the_drop_of_the_last_handle_cuts_replies_that_go_on_by_drain_timeout() {
    let clock = Stopwatch::start();
    let registry = registry(limits(), &Log::default());
    let reply = goes_on(&registry, secs(600)).await;
    let stream = end_of_stream(registry.watch(), clock);
    clock.reach(secs(1)).await;
    drop(registry);
    let reply = timeout(secs(3600), reply).await.expect("it is forgotten");
    assert_eq!(cause(reply), ended(EndReason::Stopped));
    clock.assert_at(secs(6), "drain_timeout after the drop");
    let stream = stream.await.unwrap();
    assert!(stream >= secs(6), "{stream:?}");
}

/// Nothing is opened for it any more, but somebody else has opened the key before.
#[actix::test]
async fn mail_that_is_left_in_a_shutdown_goes_to_a_successor_that_waits() {
    tokio::time::pause();
    for wanted in [true, false] {
        let log = Log::default();
        let registry = registry(limits(), &log);
        let mut watch = registry.watch();
        let addr = registry.open("k").unwrap();
        let block = Run::new(|act, ctx| ctx.wait(std::future::pending::<()>().into_actor(act)));
        addr.send(block).await.unwrap();
        // Not closed, whose stragglers open nothing in any case.
        registry.set_policy(Policy::new(limits().max_age(millis(1)))).unwrap();
        next_of(&mut watch, "draining").await;
        let wants = wanted.then(|| registry.send("k", Note("of the successor")));
        let left = actix::spawn(addr.send(Note("left")));
        settle().await;

        let report = registry.shutdown(secs(60)).await.unwrap();

        let end = end_of(&mut watch, "k").await;
        assert_eq!((end.reason, end.cut), (EndReason::MaxAge, 1));
        match wants {
            Some(wants) => {
                assert_eq!((end.handed_over, end.dropped), (1, 0));
                assert_eq!(left.await.unwrap(), Ok(()));
                wants.await.unwrap();
                let lines = log.lines();
                let begun = lines.iter().position(|line| line == "k#2: started").unwrap();
                assert_eq!(lines[begun + 1..begun + 3], ["k#2: left", "k#2: of the successor"]);
                assert_eq!((report.drained, report.cut), (1, 1));
            }
            None => {
                assert_eq!((end.handed_over, end.dropped), (0, 1));
                assert_eq!(left.await.unwrap(), Err(MailboxError::Closed));
                assert_eq!((report.drained, report.cut, registry.stats().opened), (0, 1, 1));
            }
        }
    }
}
