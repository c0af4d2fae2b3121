//! Promise 8: the cap holds. `max_sessions` counts keys with an incarnation that is live or
//! waiting; at the cap an open is refused. Making room by eviction is in `promise_8_eviction.rs`,
//! several threads are in `promise_8_threads.rs`.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

#[path = "support/exact.rs"]
mod exact;
mod support;

use exact::{Stopwatch, assert_left, end_of};
use session_actors::{EndReason, Limits, OpenError, Policy, SendError, SessionRegistry, Unserved};
use support::*;

fn capped(cap: usize, log: &Log) -> SessionRegistry<Probe> {
    registry_by(Policy::new(limits()).max_sessions(cap), log)
}

#[track_caller]
fn assert_full(registry: &SessionRegistry<Probe>, key: &str) -> Option<std::time::Duration> {
    match registry.open(key) {
        Err(OpenError::AtCapacity { limit, retry_after }) => {
            assert_eq!(Some(limit), registry.policy().get_max_sessions());
            retry_after
        }
        other => panic!("{key} was not refused: {other:?}"),
    }
}

#[actix::test]
async fn at_the_cap_an_open_is_refused_until_a_session_ends() {
    let clock = Stopwatch::start();
    let registry = capped(3, &Log::default());
    let mut watch = registry.watch();
    for second in 0..3 {
        clock.reach(secs(second)).await;
        let _ = registry.open(format!("k{second}")).unwrap();
    }
    clock.reach(secs(3)).await;
    // The estimate is the end of the first.
    assert_left(assert_full(&registry, "k3"), secs(7), "retry_after");
    // Those that are there go on as if nothing were; that keeps k0 until 13 s.
    assert_eq!(registry.send("k0", Ping).await.unwrap(), 1);
    let _ = registry.open("k1").unwrap();
    clock.reach(secs(4)).await;
    assert_left(assert_full(&registry, "k3"), secs(8), "retry_after");

    end_of(&mut watch, "k2").await;
    clock.assert_at(secs(12), "the first to end");
    let _ = registry.open("k3").unwrap();
    assert_full(&registry, "k4");
    let stats = registry.stats();
    assert_eq!((stats.refused, stats.keys, stats.max_sessions), (3, 3, Some(3)));
}

#[actix::test]
async fn a_refused_message_is_given_back() {
    tokio::time::pause();
    let log = Log::default();
    let registry = capped(1, &log);
    let _ = registry.open("a").unwrap();
    let refused = [
        registry.send("b", Note("send")).await.unwrap_err(),
        registry.try_send("b", Note("try_send")).unwrap_err(),
        registry.do_send("b", Note("do_send")).unwrap_err(),
    ];
    for (error, text) in refused.into_iter().zip(["send", "try_send", "do_send"]) {
        assert!(
            matches!(&error, SendError::Refused { cause: OpenError::AtCapacity { limit: 1, .. }, .. }),
            "{error:?}"
        );
        assert_eq!(error.into_message().unwrap().0, text);
    }
    // And `open_with` does not make what it has no slot for.
    let error = registry.open_with("b", |_| unreachable!("there is no slot")).unwrap_err();
    assert!(matches!(error, OpenError::AtCapacity { .. }));
    settle().await;
    assert_eq!(log.take(), ["a#1: started"]);
}

#[actix::test]
async fn the_estimate_says_when_a_slot_is_due_to_be_free() {
    let clock = Stopwatch::start();
    let registry = registry_by(Policy::new(limits().max_age(secs(60))).max_sessions(1), &Log::default());
    // Busy: it will not be idle before its work ends, and nobody knows when that is.
    let reply = registry.send("a", Slow(secs(20)));
    clock.reach(secs(1)).await;
    assert_left(assert_full(&registry, "b"), secs(59), "busy until max age");
    assert_eq!(reply.await.unwrap(), "slow");
    clock.reach(secs(25)).await;
    assert_left(assert_full(&registry, "b"), secs(5), "idle since 20 s");
    let hold = registry.send("a", TakeHold).await.unwrap();
    clock.reach(secs(30)).await;
    let closing = registry.close("a");
    settle().await;
    assert_left(assert_full(&registry, "b"), secs(5), "draining: its hard end");
    closing.await.unwrap();
    drop(hold);
    let _ = registry.open("b").unwrap();
}

#[actix::test]
async fn where_nothing_is_due_to_end_there_is_no_estimate() {
    tokio::time::pause();
    let registry = registry_by(Policy::new(Limits::never()).max_sessions(1), &Log::default());
    let _ = registry.open("a").unwrap();
    settle().await;
    assert_eq!(assert_full(&registry, "b"), None);
}

// ---- what holds a slot -------------------------------------------------------------------------

#[actix::test]
async fn a_draining_session_holds_its_slot_and_its_successor_inherits_it() {
    let clock = Stopwatch::start();
    let log = Log::default();
    let registry = capped(1, &log);
    let hold = registry.send("a", TakeHold).await.unwrap();
    let closing = registry.close("a");
    settle().await;
    assert_full(&registry, "b");
    // The key has its slot, so its own successor is no newcomer.
    let reply = registry.send("a", Ping);
    assert_full(&registry, "b");
    let stats = registry.stats();
    assert_eq!((stats.live, stats.draining, stats.waiting, stats.keys), (1, 1, 1, 1));

    clock.reach(secs(3)).await;
    drop(hold);
    closing.await.unwrap();
    assert_eq!(reply.await.unwrap(), 1);
    assert_full(&registry, "b");
    assert_eq!(registry.stats().keys, 1);
    registry.close("a").await.unwrap();
    let _ = registry.open("b").unwrap();
}

#[actix::test]
async fn a_successor_for_leftovers_inherits_the_slot() {
    tokio::time::pause();
    let registry = capped(1, &Log::default());
    let mut watch = registry.watch();
    for _ in 0..20 {
        registry.do_send("a", Stop).unwrap();
    }
    // Each incarnation takes one message and leaves the others.
    for _ in 0..20 {
        assert_eq!(end_of(&mut watch, "a").await.reason, EndReason::Stopped);
        let keys = registry.stats().keys;
        assert!(keys <= 1, "{keys} keys");
    }
    settle().await;
    assert_eq!(registry.stats().keys, 0);
    let _ = registry.open("b").unwrap();
}

#[actix::test]
async fn a_start_that_fails_gives_its_slot_back() {
    tokio::time::pause();
    quiet_panics();
    let registry = SessionRegistry::builder(|key| match key.as_str() {
        "good" => Probe::new(key, &Log::default()),
        _ => panic!("no disk"),
    })
    .policy(Policy::new(limits()).max_sessions(1))
    .start()
    .unwrap();
    for round in 0..50 {
        let error = registry.send(format!("bad{round}"), Ping).await.unwrap_err();
        assert!(
            matches!(&error, SendError::Unserved { cause: Unserved::StartFailed { panic } } if panic == "no disk"),
            "{error:?}"
        );
        let _ = registry.open_with(format!("worse{round}"), |_| panic!("no memory")).unwrap();
        settle().await;
        assert_eq!(registry.stats().keys, 0);
    }
    assert_eq!(registry.stats().start_failed, 100);
    assert_eq!(registry.send("good", Ping).await.unwrap(), 1);
}

#[actix::test]
async fn every_kind_of_end_gives_its_slot_back() {
    let clock = Stopwatch::start();
    quiet_panics();
    let registry =
        registry_by(Policy::new(limits().max_age(secs(30)).max_busy(secs(20))).max_sessions(1), &Log::default());
    let mut watch = registry.watch();
    for reason in EndReason::ALL {
        let key = format!("{reason}");
        match reason {
            EndReason::IdleTimeout => registry.do_send(&key, Ping).unwrap(),
            EndReason::MaxAge => registry
                .do_send(&key, Run::new(|_, ctx| ctx.set_limits(Limits::new().idle_timeout(None)).unwrap()))
                .unwrap(),
            EndReason::Stuck => registry.do_send(&key, Slow(secs(1000))).unwrap(),
            EndReason::Stopped => registry.do_send(&key, Stop).unwrap(),
            EndReason::Panicked => registry.do_send(&key, Boom("boom")).unwrap(),
            EndReason::Closed => {
                let _ = registry.open(&key).unwrap();
                drop(registry.close(&key));
            }
            // Eviction and shutdown have files of their own; an abort needs an arbiter that stops.
            _ => continue,
        }
        let ended = end_of(&mut watch, &key).await;
        assert_eq!(ended.reason, *reason);
        settle().await;
        assert_eq!(registry.stats().keys, 0, "{reason}");
    }
    assert!(clock.elapsed() >= secs(60));
}

// ---- the cap is changed ------------------------------------------------------------------------

#[actix::test]
async fn a_lowered_cap_refuses_newcomers_and_ends_nobody() {
    let clock = Stopwatch::start();
    let registry = capped(5, &Log::default());
    let mut watch = registry.watch();
    for second in 0..5 {
        clock.reach(secs(second)).await;
        let _ = registry.open(format!("k{second}")).unwrap();
    }
    registry.set_policy(Policy::new(limits()).max_sessions(2)).unwrap();
    settle().await;
    assert_eq!(registry.len(), 5);
    assert_full(&registry, "new");
    // Three have to go before there is one below the cap, and one more to make room.
    for second in 0..4 {
        assert_full(&registry, "new");
        assert_eq!(registry.send("k4", Ping).await.unwrap(), second + 1);
        end_of(&mut watch, &format!("k{second}")).await;
        clock.assert_at(secs(10 + second), "each at its own time");
    }
    let _ = registry.open("new").unwrap();
    assert_full(&registry, "newer");
}

#[actix::test]
async fn a_raised_cap_holds_at_once() {
    tokio::time::pause();
    let registry = capped(1, &Log::default());
    let _ = registry.open("a").unwrap();
    assert_full(&registry, "b");
    registry.set_policy(Policy::new(limits()).max_sessions(2)).unwrap();
    let _ = registry.open("b").unwrap();
    assert_full(&registry, "c");
    registry.set_policy(Policy::new(limits())).unwrap();
    for n in 0..100 {
        let _ = registry.open(format!("n{n}")).unwrap();
    }
    assert_eq!((registry.stats().keys, registry.stats().max_sessions), (102, None));
}
