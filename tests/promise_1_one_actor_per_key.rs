//! Promise 1: concurrent `open`s of a key get the same incarnation; a successor starts only after
//! its predecessor's hooks have run.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

#[path = "support/exact.rs"]
mod exact;
#[path = "support/hooked.rs"]
mod hooked;
mod support;

use std::{
    collections::HashMap,
    sync::{
        Arc, Barrier, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use actix::prelude::*;
use exact::name_of;
use hooked::{Do, Hooked, Mark, Place, Script};
use session_actors::Policy;
use support::{Log, Slow, gate, limits, next_event, registry, secs, settle};

#[actix::test]
async fn all_who_send_to_a_key_meet_in_one_actor() {
    tokio::time::pause();
    let log = Log::default();
    let registry = registry(limits(), &log);
    let addr = registry.open("a").unwrap();
    let answers: Vec<_> = (0..50)
        .map(|n| {
            assert_eq!(registry.open("a").unwrap(), addr);
            assert_eq!(registry.get("a").unwrap(), addr);
            (n, registry.send("a", support::Ping))
        })
        .collect();
    for (n, answer) in answers {
        assert_eq!(answer.await.unwrap(), n + 1, "one counter, in the order of sending");
    }
    assert_eq!((registry.len(), registry.stats().opened, log.count("started")), (1, 1, 1));
}

/// Real time: the openers are threads, which meet at each key, as those behind are faster than the
/// one that is ahead and makes the sessions.
#[actix::test]
async fn threads_that_open_a_key_at_once_get_the_same_incarnation() {
    const THREADS: usize = 3;
    const KEYS: usize = 10_000;
    let script = Script::new(&Log::default());
    let registry = script.builder().arbiters(1).start().unwrap();
    let start = Arc::new(Barrier::new(THREADS));
    let openers: Vec<_> = (0..THREADS)
        .map(|_| {
            let (registry, start) = (registry.clone(), Arc::clone(&start));
            std::thread::spawn(move || {
                start.wait();
                (0..KEYS).map(|key| registry.open(format!("k{key}")).unwrap()).collect::<Vec<Addr<Hooked>>>()
            })
        })
        .collect();
    let addrs: Vec<_> = openers.into_iter().map(|opener| opener.join().unwrap()).collect();
    assert!(addrs.iter().all(|of_one| *of_one == addrs[0]));
    for addr in &addrs[0] {
        assert_eq!(addr.send(Mark("")).await.unwrap(), 1);
    }
    assert_eq!((registry.stats().opened, registry.len()), (KEYS as u64, KEYS));
}

#[actix::test]
async fn a_successor_starts_after_a_long_drain_and_the_hooks_at_its_end() {
    tokio::time::pause();
    let log = Log::default();
    let registry = registry(limits(), &log);
    let mut watch = registry.watch();
    let slow = registry.send("a", Slow(secs(4)));
    settle().await;
    let closing = registry.close("a");
    settle().await;

    // Mail of the whole drain waits, and no actor for it is made.
    let mut answers = Vec::new();
    for _ in 0..3 {
        answers.push(registry.send("a", support::Ping));
        tokio::time::sleep(secs(1)).await;
        assert_eq!((log.alive(), log.count("started"), registry.stats().waiting), (1, 1, 1));
    }
    let successor = registry.get("a").expect("the key leads to the one that waits");
    assert_eq!(registry.open("a").unwrap(), successor);

    assert_eq!(slow.await.unwrap(), "slow");
    closing.await.unwrap();
    for (n, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer.await.unwrap(), n as u64 + 1);
    }
    assert_eq!(successor.send(support::Ping).await.unwrap(), 4);

    let lines: Vec<_> = log.lines().iter().map(|line| line.split(' ').nth(1).unwrap().to_owned()).collect();
    assert_eq!(lines, ["started", "draining", "stopping", "stopped", "started"]);
    let mut events = Vec::new();
    while events.len() < 4 {
        let event = next_event(&mut watch).await;
        events.push((name_of(&event.kind), event.session));
    }
    let (first, second) = (events[0].1, events[3].1);
    assert_ne!(first, second);
    assert_eq!(events, [("opened", first), ("draining", first), ("ended", first), ("opened", second)]);
}

#[actix::test]
async fn the_successor_is_not_even_made_before_its_predecessor_is_dropped() {
    tokio::time::pause();
    let log = Log::default();
    let registry = Script::new(&log).registry(limits());
    for n in 1..=3 {
        let (open, gate) = gate();
        let job = Do::new(move |act, ctx| ctx.wait(async { drop(gate.await) }.into_actor(act)));
        assert_eq!(registry.send("a", job).await.unwrap(), n);
        drop(registry.close("a"));
        settle().await;
        let next = registry.send("a", Mark("next"));
        settle().await;
        assert_eq!(log.count("made"), n as usize);
        open.send(()).unwrap();
        assert_eq!(next.await.unwrap(), n + 1);
    }
    let lines = log.take();
    let of = |what: &str| lines.iter().position(|line| line == what).unwrap();
    for n in 1..=3 {
        assert!(of(&format!("a#{n} stopped")) < of(&format!("a#{n} dropped")));
        assert!(of(&format!("a#{n} dropped")) < of(&format!("a#{} made", n + 1)));
    }
}

#[actix::test]
async fn many_successors_wanted_are_one_successor() {
    tokio::time::pause();
    let log = Log::default();
    let registry = registry(limits(), &log);
    let slow = registry.send("a", Slow(secs(4)));
    settle().await;
    drop(registry.close("a"));
    settle().await;
    let addrs: Vec<_> = (0..20).map(|_| registry.open("a").unwrap()).collect();
    assert!(addrs.iter().all(|addr| *addr == addrs[0]));
    slow.await.unwrap();
    settle().await;
    assert_eq!((registry.stats().opened, log.count("started"), registry.stats().keys), (2, 2, 1));
}

#[actix::test]
async fn open_with_makes_the_session_that_it_opens_and_no_other() {
    tokio::time::pause();
    let log = Log::default();
    let script = Script::new(&log);
    let registry = script.registry(limits());
    let own = |name: &'static str| {
        let (script, log) = (script.clone(), log.clone());
        move |key: &session_actors::SessionKey| {
            log.note(format!("{name} for {key}"));
            script.make(key)
        }
    };
    let addr = registry.open_with("a", own("first")).unwrap();
    // Not started yet, and then live: neither is made twice.
    assert_eq!(registry.open_with("a", own("second")).unwrap(), addr);
    assert_eq!(addr.send(Mark("hi")).await.unwrap(), 1);
    assert_eq!(registry.open_with("a", own("third")).unwrap(), addr);
    settle().await;
    assert_eq!(log.count(" for a"), 1);
    assert_eq!(log.count("first for a"), 1);

    // As a successor it waits like any other; of two who want to make it the first does.
    let (open, gate) = gate();
    addr.do_send(Do::new(move |act, ctx| ctx.wait(async { drop(gate.await) }.into_actor(act))));
    settle().await;
    drop(registry.close("a"));
    settle().await;
    let successor = registry.open_with("a", own("fourth")).unwrap();
    assert_eq!(registry.open_with("a", own("fifth")).unwrap(), successor);
    assert_eq!(log.count(" for a"), 1);
    open.send(()).unwrap();
    assert_eq!(successor.send(Mark("hi")).await.unwrap(), 2);
    assert_eq!((log.count(" for a"), log.count("fourth for a")), (2, 1));

    // A successor for leftovers is the registry's.
    registry.do_send("a", Do::stop()).unwrap();
    assert_eq!(registry.send("a", Mark("left over")).await.unwrap(), 3);
    assert_eq!(log.count(" for a"), 2);
}

/// Real time: sessions of 1 ms, threads that open, send, close and keep old addresses. Two actors
/// of a key would meet in `in_use`.
#[actix::test]
async fn no_two_actors_of_a_key_ever_overlap() {
    const KEYS: usize = 8;
    let in_use: Arc<Mutex<HashMap<String, bool>>> = Arc::default();
    let overlaps = Arc::new(AtomicUsize::new(0));
    let (enter, leave) = (Arc::clone(&in_use), Arc::clone(&in_use));
    let (on_entry, on_leave) = (Arc::clone(&overlaps), Arc::clone(&overlaps));
    let script = Script::new(&Log::default())
        .on_bare(Place::Made, move |act| {
            if enter.lock().unwrap().insert(act.key().to_owned(), true) == Some(true) {
                on_entry.fetch_add(1, Ordering::SeqCst);
            }
        })
        .on_bare(Place::Dropped, move |act| {
            if leave.lock().unwrap().insert(act.key().to_owned(), false) != Some(true) {
                on_leave.fetch_add(1, Ordering::SeqCst);
            }
        });
    let policy = Policy::new(limits().idle_timeout(Duration::from_millis(1)));
    let registry = script.builder().policy(policy).arbiters(2).start().unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let threads: Vec<_> = (0..3usize)
        .map(|thread| {
            let (registry, done) = (registry.clone(), Arc::clone(&done));
            std::thread::spawn(move || {
                let mut old: Vec<Addr<Hooked>> = Vec::new();
                for round in thread.. {
                    if done.load(Ordering::Relaxed) {
                        return;
                    }
                    let key = format!("k{}", round % KEYS);
                    match round % 7 {
                        0 => drop(registry.close(&key)),
                        1 => old.push(registry.open(&key).unwrap()),
                        2 => registry.do_send(&key, Do::stop()).unwrap(),
                        _ => registry.do_send(&key, Mark("")).unwrap(),
                    }
                    if old.len() > 16 {
                        old.drain(..).for_each(|addr| addr.do_send(Mark("")));
                    }
                    if round % 64 < 3 {
                        // Time for some to become idle.
                        std::thread::park_timeout(Duration::from_millis(2));
                    }
                }
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(400)).await;
    done.store(true, Ordering::Relaxed);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let opened = registry.stats().opened;
    registry.shutdown(secs(30)).await.unwrap();

    assert_eq!(overlaps.load(Ordering::SeqCst), 0);
    assert!(opened > KEYS as u64, "only {opened} incarnations: this has shown nothing");
}
