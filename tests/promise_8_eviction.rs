//! Promise 8, `on_full = "evict_idle"`: at the cap the longest-idle session that is not busy makes
//! room, by draining, and the newcomer waits for its slot with its mail buffered.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

#[path = "support/exact.rs"]
mod exact;
mod support;

use actix::prelude::*;
use exact::{Stopwatch, end_of, inside};
use session_actors::{EndReason, OnFull, OpenError, Policy, SendError, SessionRegistry, Unserved};
use support::*;
use tokio::time::sleep;

fn policy(cap: usize) -> Policy {
    Policy::new(limits().idle_timeout(secs(1000))).max_sessions(cap).on_full(OnFull::EvictIdle)
}

fn evicting(cap: usize, log: &Log) -> SessionRegistry<Probe> {
    registry_by(policy(cap), log)
}

/// Opens `newcomer` and tells who went for it.
async fn evicted_for(registry: &SessionRegistry<Probe>, newcomer: &str) -> String {
    let mut watch = registry.watch();
    let _ = registry.open(newcomer).unwrap();
    let (key, ended) = next_end(&mut watch).await;
    assert_eq!(ended.reason, EndReason::Evicted);
    settle().await;
    assert!(registry.info(newcomer).is_some(), "{newcomer} has started");
    key.to_string()
}

#[track_caller]
fn assert_full(registry: &SessionRegistry<Probe>, key: &str) {
    let opened = registry.open(key);
    assert!(matches!(opened, Err(OpenError::AtCapacity { .. })), "{key} was not refused: {opened:?}");
}

// ---- who goes ----------------------------------------------------------------------------------

#[actix::test]
async fn the_longest_idle_goes_by_what_counts_as_activity() {
    let clock = Stopwatch::start();
    let registry = evicting(4, &Log::default());
    for (second, key) in ["a", "b", "c", "d"].into_iter().enumerate() {
        clock.reach(secs(second as u64)).await;
        let _ = registry.open(key).unwrap();
    }
    // a: a message at 4 s. b: work until 6 s. c: opened at 5 s. d: only looked at, idle since 3 s.
    clock.reach(secs(4)).await;
    registry.send("a", Ping).await.unwrap();
    registry.do_send("b", Slow(secs(2))).unwrap();
    clock.reach(secs(5)).await;
    let _ = registry.open("c").unwrap();
    clock.reach(secs(7)).await;
    let _ = (registry.get("d"), registry.info("d"), registry.list());
    registry.send("d", Run::new(|_, ctx| ctx.passive())).await.unwrap();

    clock.reach(secs(8)).await;
    assert_eq!(evicted_for(&registry, "e").await, "d");
    clock.reach(secs(9)).await;
    assert_eq!(evicted_for(&registry, "f").await, "a");
    // What happens after the first eviction counts as well.
    clock.reach(secs(10)).await;
    inside(&registry.get("c").unwrap(), |_, ctx| ctx.touch()).await;
    clock.reach(secs(11)).await;
    let _ = registry.open("b").unwrap();
    clock.reach(secs(12)).await;
    assert_eq!(evicted_for(&registry, "g").await, "e");
    assert_eq!(evicted_for(&registry, "h").await, "f");
    assert_eq!(evicted_for(&registry, "i").await, "c");
    assert_eq!(evicted_for(&registry, "j").await, "b");
    assert_eq!(registry.stats().keys, 4);
}

/// Idle for a long time but working: it is not idle at all.
#[actix::test]
async fn a_busy_session_is_never_chosen() {
    let clock = Stopwatch::start();
    let registry = evicting(4, &Log::default());
    let _reply = registry.send("reply", Slow(secs(50)));
    let hold = registry.send("hold", TakeHold).await.unwrap();
    registry.do_send("wait", Run::new(|act, ctx| ctx.wait(sleep(secs(50)).into_actor(act)))).unwrap();
    clock.reach(secs(10)).await;
    // The most recently active of all, and the only one that is idle.
    let _ = registry.open("idle").unwrap();
    clock.reach(secs(20)).await;
    assert_eq!(evicted_for(&registry, "idle too").await, "idle");
    // The end of work makes it idle from then on.
    clock.reach(secs(30)).await;
    drop(hold);
    clock.reach(secs(31)).await;
    assert_eq!(evicted_for(&registry, "next").await, "idle too");
    assert_eq!(evicted_for(&registry, "last").await, "hold");
}

#[actix::test]
async fn if_all_are_busy_an_open_is_refused() {
    let clock = Stopwatch::start();
    let registry = evicting(2, &Log::default());
    let mut watch = registry.watch();
    let _reply = registry.send("a", Slow(secs(50)));
    let hold = registry.send("b", TakeHold).await.unwrap();
    for second in 1..20 {
        clock.reach(secs(second)).await;
        assert_full(&registry, "c");
    }
    drop(hold);
    settle().await;
    let _ = registry.open("c").unwrap();
    assert_eq!(end_of(&mut watch, "b").await.reason, EndReason::Evicted);
    assert_eq!(registry.stats().refused, 19);
}

/// On a coarse clock, or a paused one, everything may happen at one instant.
#[actix::test]
async fn sessions_that_are_idle_and_busy_since_the_same_instant_are_told_apart() {
    tokio::time::pause();
    for busy in 0..3 {
        let registry = evicting(3, &Log::default());
        let mut holds = Vec::new();
        for n in 0..3 {
            let key = format!("k{n}");
            let _ = registry.open(&key).unwrap();
            if n != busy {
                holds.push(registry.send(&key, TakeHold).await.unwrap());
            }
        }
        settle().await;
        assert_eq!(evicted_for(&registry, "new").await, format!("k{busy}"));
    }
}

#[actix::test]
async fn a_newcomer_is_not_its_own_victim() {
    tokio::time::pause();
    let registry = evicting(1, &Log::default());
    let mut watch = registry.watch();
    let _ = registry.open("a").unwrap();
    settle().await;
    let _ = registry.open("b").unwrap();
    // a goes already, b has not even begun.
    assert_full(&registry, "c");
    end_of(&mut watch, "a").await;
    settle().await;
    assert_eq!(evicted_for(&registry, "c").await, "b");
}

// ---- how the newcomer comes in -----------------------------------------------------------------

#[actix::test]
async fn the_newcomer_waits_until_the_victims_hooks_have_run() {
    let clock = Stopwatch::start();
    let log = Log::default();
    let registry = evicting(1, &log);
    let addr = registry.open("a").unwrap();
    settle().await;
    let newcomer = registry.open("b").unwrap();
    // It comes to the victim before it has heard that it is to go, so it drains.
    addr.do_send(Slow(secs(3)));
    newcomer.do_send(Note("first"));
    registry.do_send("b", Note("second")).unwrap();
    let reply = registry.send("b", Ping);
    clock.reach(secs(2)).await;
    assert!(registry.info("b").is_none(), "not live yet");
    let stats = registry.stats();
    assert_eq!((stats.live, stats.draining), (1, 1));
    assert_eq!(stats.keys, 1, "it has no slot yet, so the cap holds in the figures as well");

    assert_eq!(reply.await.unwrap(), 3);
    clock.assert_at(secs(3), "the answer of the newcomer");
    assert_eq!(
        log.take(),
        [
            "a#1: started",
            "a#1: draining evicted",
            "a#1: stopping Some(Evicted)",
            "a#1: stopped Some(Evicted)",
            "b#2: started",
            "b#2: first",
            "b#2: second"
        ]
    );
}

#[actix::test]
async fn newcomers_come_in_in_their_order_and_each_for_another_victim() {
    let clock = Stopwatch::start();
    let log = Log::default();
    let registry = evicting(3, &log);
    let mut watch = registry.watch();
    for (second, key) in ["a", "b", "c"].into_iter().enumerate() {
        clock.reach(secs(second as u64)).await;
        let _ = registry.open(key).unwrap();
    }
    clock.reach(secs(5)).await;
    for key in ["d", "e", "f"] {
        registry.do_send(key, Note("here")).unwrap();
    }
    assert_full(&registry, "g");
    for key in ["a", "b", "c"] {
        assert_eq!(end_of(&mut watch, key).await.reason, EndReason::Evicted);
    }
    settle().await;
    let came: Vec<_> = log.take().into_iter().filter(|line| line.ends_with("here")).collect();
    assert_eq!(came.len(), 3);
    assert!(came[0].starts_with('d') && came[1].starts_with('e') && came[2].starts_with('f'), "{came:?}");
    assert_eq!(registry.stats().keys, 3);
}

/// Somebody else's end is as good as the victim's.
#[actix::test]
async fn the_first_slot_that_is_freed_is_the_newcomers() {
    let clock = Stopwatch::start();
    let registry = evicting(2, &Log::default());
    let victim = registry.open("a").unwrap();
    clock.reach(secs(1)).await;
    let _ = registry.open("b").unwrap();
    settle().await;
    let reply = registry.send("c", Ping);
    victim.do_send(Slow(secs(4)));
    clock.reach(secs(2)).await;
    registry.close("b").await.unwrap();
    assert_eq!(reply.await.unwrap(), 1);
    clock.assert_at(secs(2), "b ended before a did");
    // And the victim's slot is free for the next.
    clock.reach(secs(6)).await;
    assert_eq!((registry.len(), registry.stats().keys), (1, 1));
}

#[actix::test]
async fn a_newcomer_that_is_closed_while_it_waits_handles_its_mail_and_goes() {
    let clock = Stopwatch::start();
    let registry = evicting(1, &Log::default());
    let victim = registry.open("a").unwrap();
    settle().await;
    let reply = registry.send("b", Ping);
    victim.do_send(Slow(secs(3)));
    let ended = registry.close("b").await.unwrap();
    clock.assert_at(secs(3), "when it had its slot");
    assert_eq!((ended.reason, ended.handled), (EndReason::Closed, 1));
    assert_eq!(reply.await.unwrap(), 1);
    settle().await;
    assert_eq!(registry.stats().keys, 0);
}

/// Its caller is told, and nothing waits for ever.
#[actix::test]
async fn a_newcomer_whose_slot_goes_to_the_victims_successor_gets_another_or_is_turned_away() {
    let clock = Stopwatch::start();
    let log = Log::default();
    let registry = evicting(2, &log);
    let mut watch = registry.watch();
    let victim = registry.open("a").unwrap();
    settle().await;
    let hold = registry.send("busy", TakeHold).await.unwrap();

    let reply = registry.send("new", Ping);
    victim.do_send(Slow(secs(3)));
    settle().await;
    let successor = registry.send("a", Ping);
    assert_eq!(end_of(&mut watch, "a").await.reason, EndReason::Evicted);
    clock.assert_at(secs(3), "end of the victim");
    assert_eq!(successor.await.unwrap(), 1);
    // Its successor has become the one that is idle, or nobody has; either way there is an answer.
    match reply.await {
        Ok(1) => assert_eq!(end_of(&mut watch, "a").await.reason, EndReason::Evicted),
        Err(SendError::Unserved { cause: Unserved::NoRoom }) => assert!(registry.info("a").is_some()),
        other => panic!("{other:?}"),
    }
    settle().await;
    assert_eq!(registry.stats().keys, 2);
    drop(hold);
}

// ---- the cap is changed meanwhile --------------------------------------------------------------

#[actix::test]
async fn a_raised_cap_lets_waiting_newcomers_in() {
    let clock = Stopwatch::start();
    let registry = evicting(1, &Log::default());
    let victim = registry.open("a").unwrap();
    settle().await;
    let reply = registry.send("b", Ping);
    victim.do_send(Slow(secs(3)));
    clock.reach(secs(1)).await;
    registry.set_policy(policy(2)).unwrap();
    assert_eq!(reply.await.unwrap(), 1);
    clock.assert_at(secs(1), "at once");
}

#[actix::test]
async fn a_lowered_cap_turns_waiting_newcomers_away() {
    let clock = Stopwatch::start();
    let registry = evicting(2, &Log::default());
    let victim = registry.open("a").unwrap();
    clock.reach(secs(1)).await;
    let _ = registry.open("b").unwrap();
    settle().await;
    let reply = registry.send("c", Ping);
    victim.do_send(Slow(secs(3)));
    clock.reach(secs(2)).await;
    registry.set_policy(policy(1)).unwrap();
    let error = reply.await.unwrap_err();
    assert!(matches!(error, SendError::Unserved { cause: Unserved::NoRoom }), "{error:?}");
    clock.assert_at(secs(2), "told at once");
    assert!(registry.get("c").is_none());
    clock.reach(secs(5)).await;
    assert_eq!(registry.stats().keys, 1);
}

/// "A lowered cap refuses newcomers and ends nobody": one that goes would make no room.
#[actix::test]
async fn above_a_lowered_cap_newcomers_are_refused_and_nobody_is_evicted() {
    let clock = Stopwatch::start();
    let registry = evicting(4, &Log::default());
    for key in ["a", "b", "c", "d"] {
        let _ = registry.open(key).unwrap();
    }
    settle().await;
    registry.set_policy(policy(2)).unwrap();
    clock.reach(secs(1)).await;
    assert_full(&registry, "e");
    clock.reach(secs(2)).await;
    assert_eq!((registry.len(), registry.stats().keys), (4, 4));
    // At the new cap it is as ever.
    registry.close("a").await.unwrap();
    registry.close("b").await.unwrap();
    settle().await;
    assert!(["c", "d"].contains(&evicted_for(&registry, "e").await.as_str()));
}
