//! Promise 8 on several threads, in real time: whatever they do, there are never more sessions than
//! `max_sessions`, and no slot is lost.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

#[path = "support/exact.rs"]
mod exact;
#[path = "support/gauge.rs"]
mod gauge;
mod support;

use std::sync::{Arc, Barrier};

use exact::until;
use gauge::{Counted, Gauge};
use session_actors::{EndReason, Limits, OnFull, OpenError, Policy, SendError, SessionRegistry, Unserved};
use support::*;
use tokio::time::timeout;

/// What mcp-session gets wrong: 64 concurrent creates at a cap of 4 left up to 61 sessions.
#[actix::test]
async fn sixty_four_concurrent_opens_never_exceed_a_cap_of_four() {
    let gauge = Gauge::default();
    let registry = SessionRegistry::builder(Counted::factory(&gauge))
        .policy(Policy::new(limits()).max_sessions(4))
        .arbiters(2)
        .start()
        .unwrap();
    for round in 0..10 {
        let start = Arc::new(Barrier::new(64));
        let threads: Vec<_> = (0..64)
            .map(|n| {
                let (registry, start) = (registry.clone(), Arc::clone(&start));
                std::thread::spawn(move || {
                    start.wait();
                    registry.open(format!("r{round}k{n}")).is_ok()
                })
            })
            .collect();
        let mut admitted = Vec::new();
        for (n, thread) in threads.into_iter().enumerate() {
            if thread.join().unwrap() {
                admitted.push(format!("r{round}k{n}"));
            }
        }
        assert_eq!(admitted.len(), 4, "as many as the cap, no more and no fewer");
        assert_eq!(registry.stats().keys, 4);
        for key in admitted {
            assert_eq!(timeout(secs(30), registry.send(&key, Ping)).await.unwrap().unwrap(), 1);
            timeout(secs(30), registry.close(&key)).await.unwrap().unwrap();
        }
        // Told of the end before the slot is free; the next round needs all four.
        until(|| registry.stats().keys == 0).await;
    }
    assert_eq!((gauge.now(), gauge.peak()), (0, 4));
    assert_eq!(registry.stats().refused, 600);
}

/// Newcomers come in only as victims are gone, whatever the threads do; and everybody is told.
#[actix::test]
async fn newcomers_and_victims_on_several_threads_never_exceed_the_cap() {
    let gauge = Gauge::default();
    let policy = Policy::new(limits()).max_sessions(4).on_full(OnFull::EvictIdle);
    let registry = SessionRegistry::builder(Counted::factory(&gauge)).policy(policy).arbiters(2).start().unwrap();
    let threads: Vec<_> = (0..8)
        .map(|thread| {
            let registry = registry.clone();
            std::thread::spawn(move || {
                (0..50).map(|n| registry.send(format!("t{thread}k{}", n % 20), Ping)).collect::<Vec<_>>()
            })
        })
        .collect();
    let (mut served, mut refused) = (0, 0);
    for thread in threads {
        for reply in thread.join().unwrap() {
            match timeout(secs(30), reply).await.expect("everybody is told") {
                Ok(_) => served += 1,
                Err(
                    SendError::Refused { cause: OpenError::AtCapacity { limit: 4, .. }, .. }
                    | SendError::Unserved { cause: Unserved::NoRoom },
                ) => refused += 1,
                Err(other) => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(served + refused, 400);
    assert!(served >= 4, "{served} served");
    assert!(gauge.peak() <= 4, "{} at once", gauge.peak());

    let report = timeout(secs(30), registry.shutdown(secs(10))).await.unwrap().unwrap();
    assert_eq!((report.cut, report.unresponsive), (0, 0));
    let stats = registry.stats();
    assert_eq!((gauge.now(), stats.keys, stats.live, stats.waiting), (0, 0, 0, 0));
    assert_eq!(stats.opened, stats.ended.total());
}

/// The sessions of an arbiter that stops are aborted, and their slots serve those that remain.
#[actix::test]
async fn an_arbiter_that_stops_gives_the_slots_of_its_sessions_back() {
    let log = Log::default();
    let registry = {
        let log = log.clone();
        SessionRegistry::builder(move |key| Probe::new(key, &log))
            .policy(Policy::new(Limits::never()).max_sessions(16))
            .arbiters(2)
            .start()
            .unwrap()
    };
    for n in 0..16 {
        registry.send(format!("old{n}"), Ping).await.unwrap();
    }
    assert!(registry.open("one too many").is_err());
    let aborted = registry.list().iter().filter(|info| info.host == 0).count();
    let one = registry.list().iter().find(|info| info.host == 0).unwrap().key.clone();
    registry
        .do_send(
            &one,
            Run::new(|_, _| {
                actix::Arbiter::current().stop();
            }),
        )
        .unwrap();
    until(|| registry.stats().keys == 16 - aborted).await;
    assert_eq!(registry.stats().ended.get(EndReason::Aborted), aborted as u64);
    for n in 0..aborted {
        let reply = registry.send(format!("new{n}"), Ping);
        assert_eq!(timeout(secs(30), reply).await.unwrap().unwrap(), 1);
    }
    assert!(matches!(registry.open("one too many"), Err(OpenError::AtCapacity { limit: 16, retry_after: None })));
}

/// A client that goes away while its session is being made: at every point of the way.
#[actix::test]
async fn cancelled_creates_leak_nothing() {
    let gauge = Gauge::default();
    let policy = Policy::new(Limits::new().idle_timeout(millis(50))).max_sessions(2);
    let registry = SessionRegistry::builder(Counted::factory(&gauge)).policy(policy).arbiters(1).start().unwrap();
    for n in 0..200_u32 {
        let sending = actix::spawn({
            let registry = registry.clone();
            async move { drop(registry.send(format!("k{n}"), Ping).await) }
        });
        for _ in 0..n % 7 {
            tokio::task::yield_now().await;
        }
        sending.abort();
    }
    until(|| registry.stats().keys == 0 && gauge.now() == 0).await;
    let stats = registry.stats();
    assert_eq!((stats.live, stats.waiting, stats.opened), (0, 0, stats.ended.total()));
    assert!(gauge.peak() <= 2, "{}", gauge.peak());
}
