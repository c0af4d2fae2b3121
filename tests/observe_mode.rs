//! Observe mode (design, section 4): what would have ended is told, and nothing is ended, refused
//! or evicted, nor a hook called; the counts equal those of an enforcing run for the same traffic.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

#[path = "support/exact.rs"]
mod exact;
mod support;

use std::time::Duration;

use actix::prelude::*;
use exact::{Stopwatch, assert_about, end_of, inside, next_of};
use session_actors::{EndReason, EventKind, Limits, Mode, OnFull, Policy, SessionRegistry, Watch, Watched};
use support::*;

fn observing(limits: Limits) -> Policy {
    Policy::new(limits).mode(Mode::Observe)
}

/// The next event is a `WouldEnd`, at this time.
async fn would_end_at(watch: &mut Watch, clock: Stopwatch, at: Duration, reason: EndReason, busy: bool) {
    let event = next_event(watch).await;
    clock.assert_at(at, "event");
    let EventKind::WouldEnd { reason: why, busy: was_busy } = event.kind else { panic!("{event:?}") };
    assert_eq!((why, was_busy), (reason, busy));
}

/// No event comes until then.
async fn nothing_until(watch: &mut Watch, clock: Stopwatch, at: Duration) {
    tokio::select! {
        biased;
        item = watch.next() => panic!("{item:?} at {:?}", clock.elapsed()),
        () = clock.reach(at) => {}
    }
}

#[actix::test]
async fn a_deadline_is_told_once_and_the_session_goes_on() {
    let clock = Stopwatch::start();
    let log = Log::default();
    let registry = registry_by(observing(limits().warn_before(secs(3))), &log);
    let mut watch = registry.watch();
    let addr = registry.open("k").unwrap();
    next_of(&mut watch, "opened").await;
    // It is looked at when a warning would be due, and not warned.
    clock.reach(secs(8)).await;
    inside(&addr, |_, ctx| {
        ctx.passive();
        drop(ctx.hold());
    })
    .await;
    would_end_at(&mut watch, clock, secs(10), EndReason::IdleTimeout, false).await;
    // Not again, neither at 20 s nor at its max age: in an enforcing run there would be nothing.
    nothing_until(&mut watch, clock, secs(10_000)).await;
    assert_eq!(addr.send(Ping).await.unwrap(), 2);
    assert_eq!(log.take(), ["k#1: started"], "no hook is called, not even for a warning");
    let stats = registry.stats();
    assert_eq!((stats.would_end, stats.warned, stats.ended.total(), stats.live), (1, 0, 0, 1));
}

#[actix::test]
async fn the_next_message_begins_a_new_virtual_life() {
    let clock = Stopwatch::start();
    let registry = registry_by(observing(limits()), &Log::default());
    let mut watch = registry.watch();
    let addr = registry.open("k").unwrap();
    next_of(&mut watch, "opened").await;
    would_end_at(&mut watch, clock, secs(10), EndReason::IdleTimeout, false).await;
    clock.reach(secs(100)).await;
    addr.send(Ping).await.unwrap();
    clock.reach(secs(105)).await;
    registry.send("k", Ping).await.unwrap();
    would_end_at(&mut watch, clock, secs(115), EndReason::IdleTimeout, false).await;
    // Opening the key is what would have opened the next session.
    clock.reach(secs(200)).await;
    let _ = registry.open("k").unwrap();
    would_end_at(&mut watch, clock, secs(210), EndReason::IdleTimeout, false).await;
    // Even a passive message would have: somebody has to handle it.
    clock.reach(secs(300)).await;
    inside(&addr, |_, ctx| ctx.passive()).await;
    assert!(registry.info("k").unwrap().idle < secs(1));
    would_end_at(&mut watch, clock, secs(310), EndReason::IdleTimeout, false).await;
    // But not what an ended session could not have done.
    inside(&addr, |_, ctx| {
        ctx.run_later(secs(20), |_, ctx| ctx.touch());
    })
    .await;
    would_end_at(&mut watch, clock, secs(320), EndReason::IdleTimeout, false).await;
    let _ = (registry.get("k"), registry.info("k"), registry.list());
    nothing_until(&mut watch, clock, secs(1000)).await;
}

#[actix::test]
async fn max_age_counts_from_the_virtual_life() {
    let clock = Stopwatch::start();
    let registry = registry_by(observing(limits().max_age(secs(60))), &Log::default());
    let mut watch = registry.watch();
    let addr = registry.open("k").unwrap();
    actix::spawn(async move {
        // Each seven seconds.
        for n in 1..30 {
            clock.reach(secs(7 * n)).await;
            addr.send(Ping).await.unwrap();
        }
    });
    next_of(&mut watch, "opened").await;
    would_end_at(&mut watch, clock, secs(60), EndReason::MaxAge, false).await;
    // The next life begins at 63 s, the one after it at 126 s.
    would_end_at(&mut watch, clock, secs(123), EndReason::MaxAge, false).await;
    would_end_at(&mut watch, clock, secs(186), EndReason::MaxAge, false).await;
    would_end_at(&mut watch, clock, secs(7 * 29 + 10), EndReason::IdleTimeout, false).await;
}

/// Where work is in flight it is an estimate, and says so. The work itself is left alone.
#[actix::test]
async fn work_in_flight_makes_it_an_estimate() {
    let clock = Stopwatch::start();
    let registry = registry_by(observing(limits().max_age(secs(60)).max_busy(secs(20))), &Log::default());
    let mut watch = registry.watch();
    let stuck = registry.send("stuck", Slow(secs(600)));
    next_of(&mut watch, "opened").await;
    would_end_at(&mut watch, clock, secs(20), EndReason::Stuck, true).await;
    let mut hold = Some(registry.send("old", TakeHold).await.unwrap());
    next_of(&mut watch, "opened").await;
    for second in (20..80).step_by(5) {
        clock.reach(secs(second)).await;
        // Progress, so that it is not stuck.
        hold = hold.clone();
        settle().await;
    }
    would_end_at(&mut watch, clock, secs(80), EndReason::MaxAge, true).await;
    assert_eq!(stuck.await.unwrap(), "slow");
    clock.assert_at(secs(600), "the reply");
}

#[actix::test]
async fn nobody_is_refused_or_evicted() {
    tokio::time::pause();
    for on_full in [OnFull::Reject, OnFull::EvictIdle] {
        let registry = registry_by(observing(limits()).max_sessions(2).on_full(on_full), &Log::default());
        for n in 0..10 {
            assert_eq!(registry.send(format!("k{n}"), Ping).await.unwrap(), 1);
        }
        settle().await;
        let stats = registry.stats();
        assert_eq!((stats.live, stats.keys, stats.refused, stats.ended.total()), (10, 10, 0, 0));
        assert_eq!(stats.max_sessions, Some(2));
    }
}

#[actix::test]
async fn what_somebody_asks_for_is_done() {
    let clock = Stopwatch::start();
    let log = Log::default();
    let registry = registry_by(observing(limits()), &log);
    let mut watch = registry.watch();
    let _reply = registry.send("closed", Slow(secs(600)));
    let _ = registry.open("closed at rest").unwrap();
    registry.do_send("stopped", Stop).unwrap();
    clock.reach(secs(20)).await;
    assert_eq!(registry.close("closed at rest").await.unwrap().reason, EndReason::Closed);
    let ended = registry.close("closed").await.unwrap();
    assert_eq!((ended.reason, ended.cut), (EndReason::Closed, 1));
    clock.assert_at(secs(25), "drain_timeout holds");
    assert_eq!(end_of(&mut watch, "stopped").await.reason, EndReason::Stopped);
    assert_eq!((log.count("draining closed"), log.count("stopping"), log.count("stopped Some")), (1, 3, 3));
    let _ = registry.open("last").unwrap();
    assert_eq!(registry.shutdown(secs(5)).await.unwrap().drained, 1);
}

// ---- the counts --------------------------------------------------------------------------------

/// What one run of the traffic came to: ends, or would-be ends, by reason.
#[derive(Debug, Default, PartialEq)]
struct Counts {
    opened: u64,
    idle: u64,
    old: u64,
}

/// Messages and opens at whole seconds, over an hour. The limits end in fractions of a second, so
/// that no deadline falls on a message, nor into the 300 ms that some of them take.
async fn run(mode: Mode, seed: u64) -> Counts {
    let limits = Limits::new().idle_timeout(millis(10_450)).max_age(millis(37_750)).max_busy(secs(5));
    let rule = Limits::new().idle_timeout(millis(25_450)).max_age(None);
    let policy = Policy::new(limits).rule("long:*", rule).exclude("kept").mode(mode);
    let registry = SessionRegistry::builder(|key| Probe::new(key, &Log::default()))
        .policy(policy)
        .event_history(100_000)
        .start()
        .unwrap();
    let mut watch = registry.watch();
    let clock = Stopwatch::running();
    let mut random = seed;
    for second in 1..3600 {
        clock.reach(secs(second)).await;
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let key = match (random >> 33) % 12 {
            0 => "kept".to_owned(),
            n @ 1..4 => format!("long:{n}"),
            n => format!("user:{n}"),
        };
        // Some keys are chatty for minutes, so that max age has its turn.
        let key = if second % 600 < 150 && !second.is_multiple_of(3) { "user:chatty".to_owned() } else { key };
        match (random >> 48) % 4 {
            0 => drop(registry.open(key).unwrap()),
            1 => assert_eq!(registry.send(key, Slow(millis(300))).await.unwrap(), "slow"),
            2 => registry.do_send(key, Slow(millis(300))).unwrap(),
            _ => drop(registry.send(key, Ping).await.unwrap()),
        }
    }
    clock.reach(secs(4000)).await;
    let mut counts = Counts { opened: registry.stats().opened, ..Counts::default() };
    drop(registry);
    loop {
        let Some(watched) = watch.next().await else { return counts };
        let event = match watched {
            Watched::Event(event) => event,
            Watched::Snapshot(_) => continue,
            lagged => panic!("{lagged:?}"),
        };
        let reason = match &event.kind {
            EventKind::WouldEnd { reason, busy: false } if mode == Mode::Observe => *reason,
            EventKind::Ended(ended) if mode == Mode::Enforce || ended.reason != EndReason::Shutdown => ended.reason,
            EventKind::Warned { .. } | EventKind::Draining { .. } | EventKind::WouldEnd { .. } => panic!("{event:?}"),
            _ => continue,
        };
        match reason {
            EndReason::IdleTimeout => counts.idle += 1,
            EndReason::MaxAge => counts.old += 1,
            EndReason::Shutdown => {}
            other => panic!("{other}"),
        }
    }
}

/// Operators decide by it, so it has to be the truth (OpenClaw #83124: a dry run that counted
/// something else than what was then done).
#[actix::test]
async fn the_counts_equal_those_of_an_enforcing_run() {
    tokio::time::pause();
    for seed in 1..=5 {
        let enforced = run(Mode::Enforce, seed).await;
        let observed = run(Mode::Observe, seed).await;
        assert_eq!((observed.idle, observed.old), (enforced.idle, enforced.old), "seed {seed}");
        assert!(enforced.idle > 50 && enforced.old > 10, "a test of something: {enforced:?}");
        assert!(observed.opened < enforced.opened);
    }
}

// ---- switching ---------------------------------------------------------------------------------

#[actix::test]
async fn switched_to_enforce_deadlines_run_from_the_virtual_life() {
    let clock = Stopwatch::start();
    let log = Log::default();
    let limits = limits().max_age(secs(60));
    let registry = registry_by(observing(limits.clone()), &log);
    let mut watch = registry.watch();
    // One that is in its second life, begun at 100 s; one whose life was over at 10 s; one in its first.
    let second = registry.open("second").unwrap();
    let _ = registry.open("over").unwrap();
    clock.reach(secs(100)).await;
    second.send(Ping).await.unwrap();
    clock.reach(secs(108)).await;
    second.send(Ping).await.unwrap();
    clock.reach(secs(110)).await;
    let _ = registry.open("first").unwrap();
    clock.reach(secs(112)).await;
    registry.set_policy(Policy::new(limits)).unwrap();

    let ended = end_of(&mut watch, "over").await;
    clock.assert_at(secs(112), "no earlier than the switch");
    assert_eq!(ended.reason, EndReason::IdleTimeout);
    let ended = end_of(&mut watch, "second").await;
    clock.assert_at(secs(118), "ten seconds after its last message");
    assert_eq!((ended.reason, ended.handled), (EndReason::IdleTimeout, 2));
    assert_about(ended.age, secs(118), "the session itself is as old as it is");
    end_of(&mut watch, "first").await;
    clock.assert_at(secs(120), "the first");
    assert_eq!(log.count("expiring"), 3, "hooks are called again");
}

/// A life that was over by the old limits and is not by those it is switched to.
#[actix::test]
async fn switched_to_enforce_the_limits_in_force_decide() {
    let clock = Stopwatch::start();
    let registry = registry_by(observing(limits()), &Log::default());
    let mut watch = registry.watch();
    let _ = registry.open("k").unwrap();
    clock.reach(secs(50)).await;
    assert_eq!(registry.stats().would_end, 1);
    registry.set_policy(Policy::new(limits().idle_timeout(secs(60)))).unwrap();
    end_of(&mut watch, "k").await;
    clock.assert_at(secs(60), "end");
}

#[actix::test]
async fn switched_to_enforce_max_age_runs_from_the_virtual_life() {
    let clock = Stopwatch::start();
    let limits = limits().idle_timeout(secs(30)).max_age(secs(60));
    let registry = registry_by(observing(limits.clone()), &Log::default());
    let mut watch = registry.watch();
    let addr = registry.open("k").unwrap();
    // Idle at 30 s, and a new life from 40 s on.
    for second in (40..100).step_by(10) {
        clock.reach(secs(second)).await;
        addr.send(Ping).await.unwrap();
        if second == 80 {
            registry.set_policy(Policy::new(limits.clone())).unwrap();
        }
    }
    let ended = end_of(&mut watch, "k").await;
    clock.assert_at(secs(100), "sixty seconds after 40 s");
    assert_eq!(ended.reason, EndReason::MaxAge);
}

#[actix::test]
async fn switched_back_to_observe_nothing_ends() {
    let clock = Stopwatch::start();
    let log = Log::default();
    let registry = registry_by(Policy::new(limits().warn_before(secs(3))), &log);
    let mut watch = registry.watch();
    let addr = registry.open("k").unwrap();
    next_of(&mut watch, "warned").await;
    clock.reach(secs(8)).await;
    registry.set_policy(observing(limits().warn_before(secs(3)))).unwrap();
    would_end_at(&mut watch, clock, secs(10), EndReason::IdleTimeout, false).await;
    clock.reach(secs(50)).await;
    addr.send(Ping).await.unwrap();
    would_end_at(&mut watch, clock, secs(60), EndReason::IdleTimeout, false).await;
    assert_eq!((log.count("warned"), log.count("expiring"), registry.len()), (1, 0, 1));
}

#[actix::test]
async fn switched_to_enforce_above_the_cap_newcomers_are_refused_and_nobody_ends() {
    tokio::time::pause();
    let registry: SessionRegistry<Probe> = registry_by(observing(limits()).max_sessions(2), &Log::default());
    for n in 0..5 {
        let _ = registry.open(format!("k{n}")).unwrap();
    }
    settle().await;
    registry.set_policy(Policy::new(limits()).max_sessions(2)).unwrap();
    settle().await;
    assert_eq!(registry.len(), 5);
    assert!(registry.open("new").is_err());
    registry.set_policy(observing(limits()).max_sessions(2)).unwrap();
    let _ = registry.open("new").unwrap();
}
