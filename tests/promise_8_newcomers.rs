//! Promise 8: what becomes of a newcomer when the slot it waits for goes to somebody else, and whom `exclude` does not
//! protect. Who is chosen, and how a newcomer comes in: `promise_8_eviction.rs`.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

#[path = "support/exact.rs"]
mod exact;
mod support;

use actix::prelude::*;
use exact::{Stopwatch, end_of, next_of};
use session_actors::{EndReason, Limits, OnFull, Policy, SendError, SessionRegistry, Unserved};
use support::*;

fn evicting(cap: usize) -> SessionRegistry<Probe> {
    let limits = Limits::never().drain_timeout(secs(60));
    registry_by(Policy::new(limits).max_sessions(cap).on_full(OnFull::EvictIdle), &Log::default())
}

/// Opens these, one a second, so that the first has been idle for the longest.
async fn open_in_turn(registry: &SessionRegistry<Probe>, clock: Stopwatch, keys: &[&str]) -> Vec<Addr<Probe>> {
    let mut addrs = Vec::new();
    for (second, key) in (1..).zip(keys) {
        addrs.push(registry.open(*key).unwrap());
        clock.reach(secs(second)).await;
    }
    addrs
}

#[actix::test]
async fn if_the_victims_slot_goes_to_its_successor_somebody_else_is_asked() {
    let clock = Stopwatch::start();
    let registry = evicting(3);
    let mut watch = registry.watch();
    let addrs = open_in_turn(&registry, clock, &["a", "b", "c"]).await;

    let newcomer = registry.send("new", Ping);
    // Before it has heard that it is to go: it drains for ten seconds, and its key is wanted again meanwhile.
    addrs[0].do_send(Slow(secs(10)));
    settle().await;
    let successor = registry.send("a", Ping);
    clock.reach(secs(12)).await;
    assert_eq!((registry.len(), registry.stats().ended.total()), (3, 0), "nobody else has to go as long as a does");

    assert_eq!(end_of(&mut watch, "a").await.reason, EndReason::Evicted);
    assert_eq!(end_of(&mut watch, "b").await.reason, EndReason::Evicted);
    assert_eq!((successor.await.unwrap(), newcomer.await.unwrap()), (1, 1));
    clock.assert_at(secs(13), "both");
    let keys: Vec<_> = registry.list().iter().map(|info| info.key.to_string()).collect();
    assert_eq!(keys, ["c", "new", "a"], "the newcomer was there before the successor");
    assert_eq!((registry.stats().keys, registry.stats().start_failed), (3, 0));
}

#[actix::test]
async fn if_there_is_nobody_else_the_last_newcomer_is_turned_away() {
    let clock = Stopwatch::start();
    let registry = evicting(2);
    let mut watch = registry.watch();
    let addrs = open_in_turn(&registry, clock, &["a", "b"]).await;

    let (first, last) = (registry.send("first", Ping), registry.send("last", Ping));
    addrs[0].do_send(Slow(secs(10)));
    addrs[1].do_send(Slow(secs(20)));
    settle().await;
    let successor = registry.send("a", Ping);

    let error = last.await.unwrap_err();
    clock.assert_at(secs(12), "when the slot of a went to its successor");
    assert!(matches!(error, SendError::Unserved { cause: Unserved::NoRoom }), "{error:?}");
    assert_eq!(next_of(&mut watch, "start_failed").await.key.as_str(), "last");
    assert!(registry.get("last").is_none());
    assert_eq!(successor.await.unwrap(), 1);
    clock.assert_at(secs(12), "the successor");
    // The other one has not waited in vain.
    assert_eq!(first.await.unwrap(), 1);
    clock.assert_at(secs(22), "when b had gone");
    settle().await;
    let stats = registry.stats();
    assert_eq!((stats.keys, stats.live, stats.waiting, stats.start_failed), (2, 2, 0, 1));
}

/// It is about time, not about room.
#[actix::test]
async fn exclude_keeps_a_session_from_expiring_and_not_from_being_evicted() {
    let clock = Stopwatch::start();
    let policy = Policy::new(limits()).exclude("main").max_sessions(1).on_full(OnFull::EvictIdle);
    let registry = registry_by(policy, &Log::default());
    let mut watch = registry.watch();
    let _ = registry.open("main").unwrap();
    clock.reach(secs(100_000)).await;
    assert_eq!(registry.len(), 1);
    assert_eq!(registry.send("other", Ping).await.unwrap(), 1);
    assert_eq!(end_of(&mut watch, "main").await.reason, EndReason::Evicted);
    clock.assert_at(secs(100_000), "end");
}
