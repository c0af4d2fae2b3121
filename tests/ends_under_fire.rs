//! Promises 1 to 3 with threads that race the ends of sessions that live for a millisecond. Real
//! time; every wait is bounded.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

#[path = "support/exact.rs"]
mod exact;
#[path = "support/hooked.rs"]
mod hooked;
mod support;

use std::{collections::HashMap, future::Future, thread, time::Duration};

use actix::prelude::*;
use exact::name_of;
use hooked::{Do, Hooked, Mark, Script, expect_booms};
use session_actors::{
    EndReason, EventKind, Policy, Reply, SendError, SessionId, SessionRegistry, Unserved, Watch, Watched,
};
use support::{Log, limits, millis, secs};
use tokio::time::Instant;

const THREADS: usize = 3;
const KEYS: usize = 4;
/// Messages of a thread between two pauses.
const ROUND: usize = 8;

/// Sessions of a millisecond on two arbiters.
fn start() -> (SessionRegistry<Hooked>, Watch) {
    let policy = Policy::new(limits().idle_timeout(millis(1)));
    let script = Script::new(&Log::default());
    // Room for every event, so that the record is whole.
    let registry = script.builder().policy(policy).arbiters(2).event_history(1 << 20).start().unwrap();
    let watch = registry.watch();
    (registry, watch)
}

async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    tokio::time::timeout(secs(30), future).await.unwrap_or_else(|_| panic!("{what}: nothing happens"))
}

/// Runs `body` on threads and returns what each made; it gets the number of the thread and when
/// all began.
async fn on_threads<T, F>(registry: &SessionRegistry<Hooked>, body: F) -> Vec<T>
where
    T: Send + 'static,
    F: Fn(usize, Instant, &SessionRegistry<Hooked>) -> T + Copy + Send + 'static,
{
    let began = Instant::now();
    let threads: Vec<_> = (0..THREADS)
        .map(|n| {
            let registry = registry.clone();
            thread::spawn(move || body(n, began, &registry))
        })
        .collect();
    // Joined outside of the test's own thread, which the sessions do not need, but the timeouts do.
    let joined = tokio::task::spawn_blocking(move || {
        threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<T>>()
    });
    soon("the threads", joined).await.unwrap()
}

/// All threads pause before each round until the same instant, so that sessions come to their idle
/// deadline just when the next messages do.
fn breathe(began: Instant, n: usize) {
    if n.is_multiple_of(ROUND) {
        let at = began + Duration::from_micros((n / ROUND) as u64 * 1_700);
        thread::park_timeout(at.saturating_duration_since(Instant::now()));
    }
}

/// Shuts down and checks the whole record: per key one session at a time, each with one end.
/// Returns what was handled and what was dropped.
async fn settle_accounts(registry: SessionRegistry<Hooked>, mut watch: Watch) -> (u64, u64) {
    soon("the shutdown", registry.shutdown(secs(10))).await.unwrap();
    let mut open: HashMap<String, SessionId> = HashMap::new();
    let (mut opened, mut handled, mut dropped, mut handed_over) = (0, 0, 0, 0);
    while let Some(watched) = soon("an event", watch.next()).await {
        let event = match watched {
            Watched::Event(event) => event,
            Watched::Snapshot(_) => continue,
            other => panic!("unexpected {other:?}"),
        };
        let key = event.key.to_string();
        match &event.kind {
            EventKind::Opened { .. } => {
                opened += 1;
                assert_eq!(open.insert(key, event.session), None, "two sessions of a key at once");
            }
            EventKind::Ended(ended) => {
                assert_eq!(open.remove(&key), Some(event.session));
                handled += ended.handled;
                dropped += ended.dropped;
                handed_over += ended.handed_over;
            }
            other => assert_eq!(open.get(&key), Some(&event.session), "{}", name_of(other)),
        }
    }
    assert!(open.is_empty());
    let stats = registry.stats();
    assert_eq!((stats.opened, stats.ended.total(), stats.live), (opened, opened, 0));
    assert_eq!((stats.keys, stats.waiting, stats.start_failed), (0, 0, 0));
    assert_eq!((stats.messages_dropped, stats.messages_handed_over), (dropped, handed_over));
    assert!(opened > 2 * KEYS as u64, "only {opened} sessions: this has shown nothing");
    (handled, dropped)
}

#[actix::test]
async fn sends_that_race_idle_ends_are_all_answered() {
    const EACH: usize = 2000;
    let (registry, watch) = start();
    let replies = on_threads(&registry, |thread, began, registry| {
        let send = |n: usize| {
            breathe(began, n);
            registry.send(format!("k{}", (n + thread) % KEYS), Mark(""))
        };
        (0..EACH).map(send).collect::<Vec<Reply<Mark>>>()
    })
    .await;
    for reply in replies.into_iter().flatten() {
        soon("an answer", reply).await.unwrap();
    }
    let (handled, dropped) = settle_accounts(registry, watch).await;
    assert_eq!((handled, dropped), ((THREADS * EACH) as u64, 0));
}

/// The Pekko race (SupervisionSpec:136): sessions that stop or panic by themselves while they are
/// sent to.
#[actix::test]
async fn sends_that_race_stops_and_panics_are_all_answered() {
    const EACH: usize = 600;
    expect_booms();
    let (registry, watch) = start();
    let replies = on_threads(&registry, |thread, began, registry| {
        let mut replies = Vec::new();
        for n in 0..EACH {
            breathe(began, n);
            let key = format!("k{}", (n + thread) % KEYS);
            match n % 6 {
                0 => registry.do_send(&key, Do::stop()).unwrap(),
                3 => registry.do_send(&key, Do::panic("boom")).unwrap(),
                _ => replies.push(registry.send(&key, Mark(""))),
            }
        }
        replies
    })
    .await;
    for reply in replies.into_iter().flatten() {
        soon("an answer", reply).await.unwrap();
    }
    let (handled, dropped) = settle_accounts(registry, watch).await;
    assert_eq!((handled, dropped), ((THREADS * EACH) as u64, 0));
}

/// Through an old address a message is handled, by whomever, or its sender is told.
#[actix::test]
async fn messages_by_old_addresses_are_handled_or_refused_and_never_lost() {
    const EACH: usize = 1500;
    let (registry, watch) = start();
    let requests = on_threads(&registry, |thread, began, registry| {
        let mut addrs: Vec<Addr<Hooked>> = (0..KEYS).map(|n| registry.open(format!("k{n}")).unwrap()).collect();
        let mut requests = Vec::new();
        for n in 0..EACH {
            breathe(began, n);
            let key = (n + thread) % KEYS;
            if n % 8 == 0 {
                addrs[key] = registry.open(format!("k{key}")).unwrap();
                // Who has taken one message has a successor for the rest.
                registry.do_send(format!("k{key}"), Mark("")).unwrap();
            }
            requests.push(addrs[key].send(Mark("")));
        }
        requests
    })
    .await;
    let by_key = (THREADS * EACH.div_ceil(8)) as u64;
    let (mut answered, mut closed) = (0, 0);
    for request in requests.into_iter().flatten() {
        match soon("an answer", request).await {
            Ok(_) => answered += 1,
            Err(MailboxError::Closed) => closed += 1,
            Err(other) => panic!("{other}"),
        }
    }
    let (handled, dropped) = settle_accounts(registry, watch).await;
    assert_eq!(handled, by_key + answered);
    assert!(dropped <= closed, "{dropped} dropped and {closed} told");
    assert!(answered > 0 && closed > 0, "{answered} answered, {closed} closed: this has shown nothing");
}

/// A `close` races the sends: each is answered, or told that its session was closed.
#[actix::test]
async fn sends_that_race_closes_are_answered_or_told() {
    const EACH: usize = 2000;
    let (registry, watch) = start();
    let replies = on_threads(&registry, |thread, began, registry| {
        let mut replies = Vec::new();
        for n in 0..EACH {
            breathe(began, n);
            let key = format!("k{}", (n + thread) % KEYS);
            if n % 5 == thread {
                drop(registry.close(&key));
            } else {
                replies.push(registry.send(&key, Mark("")));
            }
        }
        replies
    })
    .await;
    let (mut answered, mut told) = (0, 0);
    for reply in replies.into_iter().flatten() {
        match soon("an answer", reply).await {
            Ok(_) => answered += 1,
            Err(SendError::Unserved { cause: Unserved::Ended { reason: EndReason::Closed, .. } }) => told += 1,
            Err(other) => panic!("{other:?}"),
        }
    }
    let (handled, dropped) = settle_accounts(registry, watch).await;
    assert_eq!((handled, dropped), (answered, told));
}

/// Who has been told of an end finds the next session of the key, never the one that has ended.
#[actix::test]
async fn after_an_end_was_told_the_key_leads_to_another_session() {
    let (registry, watch) = start();
    for round in 0..300 {
        let answered = soon("an answer", registry.send("k0", Mark(""))).await.unwrap();
        if soon("the end", registry.close("k0")).await.is_ok() {
            let next = soon("an answer", registry.send("k0", Mark(""))).await.unwrap();
            assert!(next > answered, "round {round}: {next} after {answered}");
        }
    }
    settle_accounts(registry, watch).await;
}
