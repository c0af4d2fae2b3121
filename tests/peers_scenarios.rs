//! What other runtimes test, as scenarios for this one, and what users of theirs have complained
//! about, as regressions. The number in a name is that of an issue there.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

#[path = "support/exact.rs"]
mod exact;
mod support;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use actix::prelude::*;
use exact::{Stopwatch, end_of, inside};
use session_actors::{
    EndReason, EventKind, Hold, Limits, Mode, OnFull, OpenError, Policy, Session, SessionContext, SessionKey,
    SessionRegistry, StartError,
};
use support::*;

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

// ---- MCP session managers ----------------------------------------------------------------------

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

// ---- OpenClaw ----------------------------------------------------------------------------------

/// Writing a route or a title down refreshed the stamp, so idle never fired.
#[actix::test]
async fn openclaw_11520_bookkeeping_does_not_refresh_idle() {
    let clock = Stopwatch::start();
    let registry = registry(limits(), &Log::default());
    let mut watch = registry.watch();
    let addr = registry.open("k").unwrap();
    for second in 1..10 {
        clock.reach(secs(second)).await;
        inside(&addr, |_, ctx| ctx.passive()).await;
        let _ = (registry.list(), registry.info("k"));
    }
    end_of(&mut watch, "k").await;
    clock.assert_at(secs(10), "end");
}

/// Cleanup killed a running session: neither the cap nor the age may.
#[actix::test]
async fn openclaw_56034_a_running_session_is_not_evicted_nor_cut_by_its_age() {
    let clock = Stopwatch::start();
    let limits = limits().max_age(secs(60)).drain_timeout(None);
    let registry = registry_by(Policy::new(limits).max_sessions(1).on_full(OnFull::EvictIdle), &Log::default());
    let running = registry.send("running", Slow(secs(600)));
    clock.reach(secs(30)).await;
    assert!(matches!(registry.open("new"), Err(OpenError::AtCapacity { .. })));
    assert_eq!(running.await.unwrap(), "slow");
    clock.assert_at(secs(600), "ten times its age");
}

/// Zero meant "off" in the documents and "delete everything" in the code.
#[actix::test]
async fn openclaw_121106_zero_is_neither_off_nor_at_once() {
    let zero = Policy::new(limits().idle_timeout(secs(0)));
    let started = SessionRegistry::builder(|key| Probe::new(key, &Log::default())).policy(zero).start();
    let Err(StartError::Policy(error)) = started else { panic!("{started:?}") };
    assert_eq!(error.to_string(), r#"idle_timeout is zero; write "never" to switch it off"#);
}

/// Pruning by age ran only once the count was over its limit.
#[actix::test]
async fn openclaw_103956_age_holds_below_the_cap() {
    let clock = Stopwatch::start();
    let policy = Policy::new(limits().idle_timeout(None).max_age(secs(60))).max_sessions(500);
    let registry = registry_by(policy, &Log::default());
    let mut watch = registry.watch();
    for n in 0..3 {
        let _ = registry.open(n.to_string()).unwrap();
    }
    for _ in 0..3 {
        assert_eq!(next_end(&mut watch).await.1.reason, EndReason::MaxAge);
        clock.assert_at(secs(60), "end");
    }
}

/// A dry run that counted something else than what was then done.
#[actix::test]
async fn openclaw_83124_a_dry_run_counts_what_would_be_done() {
    let clock = Stopwatch::start();
    let policy = Policy::new(limits()).exclude("main").rule("hook:*", Limits::new().idle_timeout(secs(100)));
    let registry = registry_by(policy.clone().mode(Mode::Observe), &Log::default());
    for key in ["main", "hook:1", "user:1", "user:2", "user:3"] {
        let _ = registry.open(key).unwrap();
    }
    clock.reach(secs(50)).await;
    let dry = registry.stats().would_end;
    registry.set_policy(policy).unwrap();
    settle().await;
    assert_eq!((dry, registry.stats().ended.get(EndReason::IdleTimeout)), (3, 3));
    assert_eq!(keys(&registry), ["main", "hook:1"]);
}

/// Children outlived their session until there were no processes left. Here they are actors whose
/// address is in it; however it ends, they are let go.
#[actix::test]
async fn openclaw_68916_the_children_of_a_session_stop_with_it() {
    struct Child(Arc<AtomicUsize>);
    impl Actor for Child {
        type Context = Context<Self>;
        fn stopped(&mut self, _: &mut Self::Context) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }
    struct Parent {
        children: Vec<Addr<Child>>,
        alive: Arc<AtomicUsize>,
    }
    impl Actor for Parent {
        type Context = SessionContext<Self>;
        fn started(&mut self, _: &mut Self::Context) {
            for _ in 0..3 {
                self.alive.fetch_add(1, Ordering::SeqCst);
                self.children.push(Child(Arc::clone(&self.alive)).start());
            }
        }
    }
    impl Session for Parent {}
    impl Handler<Boom> for Parent {
        type Result = ();
        fn handle(&mut self, boom: Boom, _: &mut Self::Context) {
            panic!("{}", boom.0);
        }
    }
    impl Handler<Slow> for Parent {
        type Result = ResponseActFuture<Self, &'static str>;
        fn handle(&mut self, slow: Slow, _: &mut Self::Context) -> Self::Result {
            Box::pin(tokio::time::sleep(slow.0).into_actor(self).map(|(), _, _| "slow"))
        }
    }

    tokio::time::pause();
    quiet_panics();
    let alive = Arc::new(AtomicUsize::new(0));
    let registry = {
        let alive = Arc::clone(&alive);
        SessionRegistry::builder(move |_: &SessionKey| Parent { children: Vec::new(), alive: Arc::clone(&alive) })
            .policy(Policy::new(limits()))
            .start()
            .unwrap()
    };
    let mut watch = registry.watch();
    let _ = (registry.open("idle").unwrap(), registry.open("closed").unwrap());
    registry.do_send("cut", Slow(secs(600))).unwrap();
    settle().await;
    assert_eq!(alive.load(Ordering::SeqCst), 9);
    drop((registry.close("closed"), registry.close("cut")));
    registry.do_send("panicked", Boom("boom")).unwrap();
    for reason in [EndReason::Closed, EndReason::Panicked, EndReason::Closed, EndReason::IdleTimeout] {
        assert_eq!(next_end(&mut watch).await.1.reason, reason);
    }
    settle().await;
    assert_eq!(alive.load(Ordering::SeqCst), 0);
}

/// Sessions that nobody used any more took up the limit, and no new one could be begun.
#[actix::test]
async fn openclaw_67638_idle_sessions_do_not_eat_the_cap() {
    let clock = Stopwatch::start();
    let policy = Policy::new(limits().idle_timeout(hours(1))).max_sessions(5).on_full(OnFull::EvictIdle);
    let registry = registry_by(policy, &Log::default());
    for n in 0..100 {
        clock.reach(secs(n)).await;
        assert_eq!(registry.send(format!("k{n}"), Ping).await.unwrap(), 1);
    }
    let stats = registry.stats();
    assert_eq!((stats.refused, stats.keys, stats.ended.get(EndReason::Evicted)), (0, 5, 95));
}
