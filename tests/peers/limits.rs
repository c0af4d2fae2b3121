//! What other runtimes test, as scenarios for this one.

use crate::exact::{Stopwatch, end_of, inside};
use crate::support::*;
use actix::prelude::*;
use session_actors::{EndReason, EventKind, Hold, Limits, OnFull, OpenError, Policy, SessionRegistry};

fn keys(registry: &SessionRegistry<Probe>) -> Vec<String> {
    registry.list().iter().map(|info| info.key.to_string()).collect()
}

fn hours(hours: u64) -> std::time::Duration {
    secs(hours * 3600)
}

// ---- Pekko cluster sharding --------------------------------------------------------------------

/// IdleSpec: one gets a single message, the other one each half timeout; both come back and expire
/// again.
#[actix::test]
async fn pekko_idle_entities_passivate_and_come_back() {
    let clock = Stopwatch::start();
    let registry = registry(limits(), &Log::default());
    let mut watch = registry.watch();
    for round in [0, 1000] {
        let (a, b) = (registry.send("a", Ping), registry.send("b", Ping));
        assert_eq!((a.await.unwrap(), b.await.unwrap()), (1, 1), "a new incarnation each");
        let steady = actix::spawn({
            let registry = registry.clone();
            async move {
                for half in 1..10 {
                    clock.reach(secs(round + 5 * half)).await;
                    registry.send("b", Ping).await.unwrap();
                }
            }
        });
        end_of(&mut watch, "a").await;
        clock.assert_at(secs(round + 10), "a, after its last message and not before");
        steady.await.unwrap();
        end_of(&mut watch, "b").await;
        clock.assert_at(secs(round + 45 + 10), "b, after its last");
        clock.reach(secs(round + 1000)).await;
    }
}

/// EntityPassivationSpec "disabled": no stop in a long wait.
#[actix::test]
async fn pekko_passivation_that_is_disabled_stops_nothing() {
    let clock = Stopwatch::start();
    let registry = registry(Limits::never(), &Log::default());
    for n in 0..10 {
        registry.send(format!("{n}"), Ping).await.unwrap();
    }
    clock.reach(hours(24 * 365)).await;
    assert_eq!(registry.len(), 10);
}

/// LeastRecentlyUsedSpec, then LimitAdjustment: what a lowered limit does differs here, on purpose.
#[actix::test]
async fn pekko_least_recently_used_make_room() {
    let clock = Stopwatch::start();
    let policy = |cap| Policy::new(Limits::never()).max_sessions(cap).on_full(OnFull::EvictIdle);
    let registry = registry_by(policy(10), &Log::default());
    let mut watch = registry.watch();
    for id in 1..=20_u64 {
        clock.reach(secs(id)).await;
        registry.send(id.to_string(), Ping).await.unwrap();
        if id > 10 {
            assert_eq!(end_of(&mut watch, &(id - 10).to_string()).await.reason, EndReason::Evicted);
        }
    }
    assert_eq!(keys(&registry), (11..=20).map(|id| id.to_string()).collect::<Vec<_>>());

    // Passivated by hand: the next arrivals fill what is free before anybody has to go.
    for id in ["15", "16", "17"] {
        registry.close(id).await.unwrap();
    }
    for id in ["21", "22", "23"] {
        registry.send(id, Ping).await.unwrap();
    }
    assert_eq!(registry.stats().ended.get(EndReason::Evicted), 10);
    clock.reach(secs(30)).await;
    registry.send("24", Ping).await.unwrap();
    assert_eq!(registry.stats().ended.get(EndReason::Evicted), 11);
    assert!(registry.info("11").is_none());

    // Pekko evicts the excess at once. Here it ends nobody, and lets nobody in.
    registry.set_policy(policy(5)).unwrap();
    settle().await;
    assert_eq!(registry.len(), 10);
    assert!(matches!(registry.open("25"), Err(OpenError::AtCapacity { limit: 5, .. })));
    // Raised, nobody goes until the new limit is reached.
    registry.set_policy(policy(12)).unwrap();
    for id in ["25", "26"] {
        registry.send(id, Ping).await.unwrap();
    }
    assert_eq!((registry.len(), registry.stats().ended.get(EndReason::Evicted)), (12, 11));
    clock.reach(secs(31)).await;
    registry.send("27", Ping).await.unwrap();
    assert_eq!((registry.len(), registry.stats().ended.get(EndReason::Evicted)), (12, 12));
}

// ---- Orleans -----------------------------------------------------------------------------------

/// ActivationCollectorShouldNotCollectBusyActivations: 500 idle, 500 called all the time; then
/// exactly none of the first and all of the second are there.
#[actix::test]
async fn orleans_the_collector_takes_the_idle_and_leaves_the_busy() {
    let clock = Stopwatch::start();
    let registry = registry(limits(), &Log::default());
    for n in 0..500 {
        registry.do_send(format!("idle:{n}"), Ping).unwrap();
        // Busy by calls, and every tenth by one call that takes longer than the timeout.
        let message_lasts = if n % 10 == 0 { secs(60) } else { secs(1) };
        registry.do_send(format!("busy:{n}"), Slow(message_lasts)).unwrap();
    }
    for second in 1..=30 {
        clock.reach(secs(second)).await;
        for n in (0..500).filter(|n| n % 10 != 0) {
            registry.do_send(format!("busy:{n}"), Ping).unwrap();
        }
    }
    settle().await;
    let left = keys(&registry);
    assert_eq!(left.len(), 500);
    assert!(left.iter().all(|key| key.starts_with("busy:")));
    assert_eq!(registry.stats().ended.get(EndReason::IdleTimeout), 500);
}

/// CollectAfterCancellingKeepAlive, and the timer that must not hold its grain (and orleans#9506,
/// where one that should have did not): a hold is how a session says so.
#[actix::test]
async fn orleans_keep_alive_holds_and_a_timer_does_not() {
    let clock = Stopwatch::start();
    let log = Log::default();
    let registry = registry(limits(), &log);
    let mut watch = registry.watch();
    let kept = inside(&registry.open("kept").unwrap(), |_, ctx| ctx.hold()).await;
    inside(&registry.open("timer").unwrap(), |_, ctx| {
        ctx.notify_later(Note("a tick without a hold"), secs(30));
    })
    .await;
    inside(&registry.open("held timer").unwrap(), |_, ctx| {
        let hold: Hold = ctx.hold();
        ctx.notify_later(Note("a tick with a hold"), secs(30));
        ctx.run_later(secs(30), move |_, _| drop(hold));
    })
    .await;
    end_of(&mut watch, "timer").await;
    clock.assert_at(secs(10), "a timer of its own does not keep it");
    end_of(&mut watch, "held timer").await;
    clock.assert_at(secs(40), "a hold does, until it is let go");
    assert_eq!((log.count("without a hold"), log.count("with a hold")), (0, 1));

    clock.reach(secs(300)).await;
    assert_eq!(keys(&registry), ["kept"]);
    drop(kept);
    end_of(&mut watch, "kept").await;
    clock.assert_at(secs(310), "cancelled");
    assert!(registry.is_empty());
}

// ---- session managers of MCP, Dapr -----------------------------------------------------------

/// StreamableHttpServerConformanceTests of the C# SDK: two hours idle, a cap of two.
#[actix::test]
async fn mcp_csharp_sessions_are_pruned_kept_and_capped() {
    let clock = Stopwatch::start();
    let registry = registry(Limits::new().idle_timeout(hours(2)).max_age(None), &Log::default());
    let mut watch = registry.watch();
    let _ = (registry.send("pruned", Ping).await.unwrap(), registry.send("periodic", Ping).await.unwrap());
    for half in 1..=10 {
        clock.reach(secs(half * 1800)).await;
        registry.send("periodic", Ping).await.unwrap();
    }
    end_of(&mut watch, "pruned").await;
    assert!(registry.get("pruned").is_none(), "404");
    assert_eq!(registry.send("periodic", Ping).await.unwrap(), 12, "five hours with two hours idle");

    let policy = Policy::new(Limits::never()).max_sessions(2).on_full(OnFull::EvictIdle);
    let registry = registry_by(policy, &Log::default());
    let mut watch = registry.watch();
    for key in ["first", "second"] {
        registry.send(key, Ping).await.unwrap();
        clock.reach(clock.elapsed() + hours(24)).await;
    }
    assert_eq!(registry.len(), 2, "an infinite timeout survives the day");
    registry.send("third", Ping).await.unwrap();
    assert_eq!(keys(&registry), ["second", "third"], "the longest idle is dropped despite it");
    let mut ends = 0;
    drop(registry);
    while let Some(item) = watch.next().await {
        if let session_actors::Watched::Event(event) = item
            && matches!(&event.kind, EventKind::Ended(ended) if ended.reason == EndReason::Evicted)
        {
            ends += 1;
        }
    }
    assert_eq!(ends, 1, "and it is told once");
}

/// The Go SDK: two concurrent callers, each every 10 ms, keep a session of 50 ms; then it goes, and
/// its id with it.
#[actix::test]
async fn mcp_go_concurrent_callers_keep_a_session() {
    let clock = Stopwatch::start();
    let registry = registry(Limits::new().idle_timeout(millis(50)), &Log::default());
    let mut watch = registry.watch();
    let id = inside(&registry.open("k").unwrap(), |_, ctx| ctx.id()).await;
    let callers = [5, 10].map(|offset| {
        let registry = registry.clone();
        actix::spawn(async move {
            for n in 0..100 {
                clock.reach(millis(n * 10 + offset)).await;
                registry.send("k", Slow(millis(3))).await.unwrap();
            }
        })
    });
    for caller in callers {
        caller.await.unwrap();
    }
    assert_eq!(registry.info("k").unwrap().id, id, "one incarnation served them all");
    let ended = end_of(&mut watch, "k").await;
    clock.assert_at(millis(1000 + 3 + 50), "end");
    assert_eq!(ended.handled, 201);
    assert!(registry.get("k").is_none() && registry.info("k").is_none());
    assert_ne!(inside(&registry.open("k").unwrap(), |_, ctx| ctx.id()).await, id, "an id is never used again");
}

/// What Dapr's own tests leave out, and the Python SDK got wrong: a call that takes longer than the
/// idle timeout is finished, once.
#[actix::test]
async fn dapr_a_call_longer_than_the_timeout_is_finished_once() {
    tokio::time::pause();
    let log = Log::default();
    let registry = registry(limits(), &log);
    assert_eq!(registry.send("k", SlowInContext(secs(1000))).await.unwrap(), "slow in context");
    assert_eq!((log.count("started"), log.count("slow in context done")), (1, 1));
}
