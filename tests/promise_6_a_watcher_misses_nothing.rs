//! Promise 6, first part: a snapshot and every event after it, in order, without gap or repetition;
//! a watcher that is too slow is told; one that comes back goes on where it was.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

#[path = "support/belief.rs"]
mod belief;
#[path = "support/guard.rs"]
mod guard;
mod support;

use std::collections::BTreeMap;

use actix::prelude::*;
use proptest::prelude::*;
use session_actors::{EventId, EventKind, Limits, Policy, SessionRegistry, Watch, Watched};
use tokio::time::{pause, sleep};

use crate::{
    belief::{Belief, live, read},
    guard::{or_give_up, quiet_provoked_panics},
    support::{Boom, Log, Ping, Probe, Slow, Stop, limits, millis, next_event, registry, secs, settle},
};

/// A registry that remembers only so many events.
fn forgetful(limits: Limits, history: usize, arbiters: usize, log: &Log) -> SessionRegistry<Probe> {
    let log = log.clone();
    SessionRegistry::builder(move |key| Probe::new(key, &log))
        .policy(Policy::new(limits))
        .event_history(history)
        .arbiters(arbiters)
        .start()
        .unwrap()
}

/// What may happen between two looks.
#[derive(Clone, Copy, Debug)]
enum Step {
    Open(u8),
    Send(u8),
    SlowSend(u8),
    Close(u8),
    Stop(u8),
    Panic(u8),
    /// The factory does.
    FailToOpen(u8),
    Pass {
        millis: u16,
    },
    /// One more watcher.
    Watch,
    /// One that goes, and comes back later from where it was.
    Leave(u8),
    Return,
    /// All who watch read what there is, and compare.
    Look,
    /// One of them does.
    OneLooks(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0..6_u8;
    prop_oneof![
        4 => key.clone().prop_map(Step::Open),
        4 => key.clone().prop_map(Step::Send),
        2 => key.clone().prop_map(Step::SlowSend),
        2 => key.clone().prop_map(Step::Close),
        2 => key.clone().prop_map(Step::Stop),
        1 => key.clone().prop_map(Step::Panic),
        1 => key.prop_map(Step::FailToOpen),
        3 => (1..4_000_u16).prop_map(|millis| Step::Pass { millis }),
        1 => Just(Step::Watch),
        1 => any::<u8>().prop_map(Step::Leave),
        1 => Just(Step::Return),
        3 => Just(Step::Look),
        2 => any::<u8>().prop_map(Step::OneLooks),
    ]
}

async fn follow(history: usize, steps: Vec<Step>) {
    pause();
    let log = Log::default();
    let limits = Limits::new().idle_timeout(secs(3)).max_age(secs(20)).warn_before(secs(1)).drain_timeout(secs(2));
    let registry = forgetful(limits, history, 0, &log);
    let mut watchers: Vec<(Watch, Belief)> = vec![(registry.watch(), Belief::default())];
    let mut away: Vec<Belief> = Vec::new();
    for step in steps {
        let key = |n: u8| format!("key:{n}");
        match step {
            Step::Open(n) => drop(registry.open(key(n)).unwrap()),
            Step::Send(n) => registry.do_send(key(n), Ping).unwrap(),
            Step::SlowSend(n) => registry.do_send(key(n), Slow(secs(4))).unwrap(),
            Step::Close(n) => drop(registry.close(key(n))),
            Step::Stop(n) => registry.do_send(key(n), Stop).unwrap(),
            Step::Panic(n) => registry.do_send(key(n), Boom("provoked")).unwrap(),
            Step::FailToOpen(n) => drop(registry.open_with(key(n), |_| panic!("provoked")).unwrap()),
            Step::Pass { millis: time } => sleep(millis(time.into())).await,
            Step::Watch => watchers.push((registry.watch(), Belief::default())),
            Step::Leave(n) => {
                let n = usize::from(n) % watchers.len();
                if watchers.len() > 1 && watchers[n].1.at.is_some() {
                    away.push(watchers.swap_remove(n).1);
                }
            }
            Step::Return => {
                if let Some(belief) = away.pop() {
                    watchers.push(come_back(&registry, belief, history));
                }
            }
            Step::Look => {
                for (watch, belief) in &mut watchers {
                    belief.catch_up(watch);
                    assert_eq!(belief.known, live(&registry));
                }
            }
            Step::OneLooks(n) => {
                let n = usize::from(n) % watchers.len();
                let (watch, belief) = &mut watchers[n];
                belief.catch_up(watch);
                assert_eq!(belief.known, live(&registry));
            }
        }
        if step_lets_others_run(step) {
            settle().await;
        }
        assert_eq!(registry.len(), log.alive(), "what is live is what has an actor");
    }
    watchers.extend(away.into_iter().map(|belief| come_back(&registry, belief, history)));
    drop(registry.shutdown(secs(1)));
    for (mut watch, mut belief) in watchers {
        while let Some(item) = watch.next().await {
            belief.take(&item);
        }
        assert_eq!(belief.known, BTreeMap::new());
    }
}

/// Some steps come one upon the other without anything between them.
fn step_lets_others_run(step: Step) -> bool {
    !matches!(step, Step::Open(n) | Step::Send(n) | Step::Close(n) if n % 2 == 0)
}

/// Resumes a watch. If what was missed is forgotten, and only then, it begins with a snapshot.
fn come_back(registry: &SessionRegistry<Probe>, mut belief: Belief, history: usize) -> (Watch, Belief) {
    let here = read(&mut registry.watch()).unwrap().id();
    let last = belief.at.unwrap();
    let mut watch = registry.watch_from(last);
    let first = read(&mut watch);
    let missed = here.sequence() - last.sequence();
    match &first {
        None => assert_eq!(missed, 0),
        Some(Watched::Snapshot(_)) => {
            assert!(missed > history as u64, "{missed} of {history} missed, and a snapshot");
            belief = Belief::default();
        }
        Some(_) => assert!((1..=history as u64).contains(&missed), "{missed} of {history} missed, and no snapshot"),
    }
    if let Some(item) = first {
        belief.take(&item);
    }
    (watch, belief)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn snapshot_and_events_are_the_live_set_at_every_moment(
        history in prop_oneof![Just(1_usize), Just(7), Just(1_000)],
        steps in prop::collection::vec(step(), 1..120),
    ) {
        quiet_provoked_panics();
        System::new().block_on(follow(history, steps));
    }
}

#[actix::test]
async fn the_first_item_is_what_is_live_and_the_rest_is_what_happens() {
    pause();
    let registry = registry(limits(), &Log::default());
    let empty = registry.watch().next().await.unwrap();
    assert!(matches!(&empty, Watched::Snapshot(s) if s.sessions.is_empty() && s.at.sequence() == 0), "{empty:?}");

    registry.send("a", Ping).await.unwrap();
    registry.send("b", Ping).await.unwrap();
    let mut watch = registry.watch();
    // After the watch was made, before it is read: an event, not part of the snapshot.
    registry.send("c", Ping).await.unwrap();
    registry.close("a").await.unwrap();
    let Some(Watched::Snapshot(snapshot)) = watch.next().await else { panic!("no snapshot") };
    let keys: Vec<_> = snapshot.sessions.iter().map(|info| info.key.as_str()).collect();
    assert_eq!((keys, snapshot.at.sequence()), (vec!["a", "b"], 2));
    let (opened, ended) = (next_event(&mut watch).await, next_event(&mut watch).await);
    assert!(matches!(opened.kind, EventKind::Opened { .. }) && opened.key == "c");
    assert!(matches!(ended.kind, EventKind::Ended(_)) && ended.key == "a");
    assert_eq!((opened.id.sequence(), ended.id.sequence()), (3, 4));
    assert!(read(&mut watch).is_none(), "nothing more has happened");
}

#[actix::test]
async fn who_is_too_slow_is_told_how_much_is_missing_and_goes_on_from_a_snapshot() {
    pause();
    let registry = forgetful(limits(), 3, 0, &Log::default());
    let mut watch = registry.watch();
    let mut belief = Belief::default();
    belief.catch_up(&mut watch);
    // As many as are remembered: no lag.
    for key in ["a", "b", "c"] {
        registry.send(key, Ping).await.unwrap();
    }
    belief.catch_up(&mut watch);
    assert_eq!((belief.events, belief.lags), (3, 0));

    // One more than that.
    for key in ["d", "e", "f"] {
        registry.send(key, Ping).await.unwrap();
    }
    registry.close("a").await.unwrap();
    let Some(lagged) = watch.next().await else { panic!("ended") };
    let Watched::Lagged { missed: 4, snapshot } = &lagged else { panic!("{lagged:?}") };
    let keys: Vec<_> = snapshot.sessions.iter().map(|info| info.key.as_str()).collect();
    assert_eq!((keys, snapshot.at.sequence()), (vec!["b", "c", "d", "e", "f"], 7));
    belief.take(&lagged);
    // And then again every event.
    registry.close("b").await.unwrap();
    belief.catch_up(&mut watch);
    assert_eq!((belief.events, belief.lags), (4, 1));
    assert_eq!(belief.known, live(&registry));
    assert_eq!(registry.stats().lagged, 1);
}

#[actix::test]
async fn who_comes_back_in_time_is_told_what_happened_meanwhile_and_nothing_twice() {
    pause();
    let registry = forgetful(limits(), 3, 0, &Log::default());
    registry.send("a", Ping).await.unwrap();
    let mut watch = registry.watch();
    let Some(item) = watch.next().await else { panic!("ended") };
    drop(watch);
    for key in ["b", "c", "d"] {
        registry.send(key, Ping).await.unwrap();
    }

    // All three are remembered still.
    let mut watch = registry.watch_from(item.id());
    for key in ["b", "c", "d"] {
        assert_eq!(next_event(&mut watch).await.key, key);
    }
    assert!(read(&mut watch).is_none());
    // Nothing was missed at all, and then something is.
    let Some(here) = registry.watch().next().await.map(|item| item.id()) else { panic!("ended") };
    let mut watch = registry.watch_from(here);
    assert!(read(&mut watch).is_none());
    registry.close("a").await.unwrap();
    assert!(matches!(next_event(&mut watch).await.kind, EventKind::Ended(_)));
}

#[actix::test]
async fn who_comes_back_too_late_or_from_elsewhere_begins_with_a_snapshot() {
    pause();
    let registry = forgetful(limits(), 3, 0, &Log::default());
    for key in ["a", "b", "c", "d"] {
        registry.send(key, Ping).await.unwrap();
    }
    let here = registry.watch().next().await.unwrap().id();
    let elsewhere = |epoch, sequence| format!("{epoch}-{sequence}").parse::<EventId>().unwrap();
    for last in [
        // Its next event is forgotten.
        elsewhere(here.epoch(), 0),
        // Of an earlier and of a later run.
        elsewhere(here.epoch() - 1, 4),
        elsewhere(here.epoch() + 1, 4),
        // A place that does not exist yet, so it cannot be this registry's.
        elsewhere(here.epoch(), 5),
        elsewhere(here.epoch(), u64::MAX),
    ] {
        let mut watch = registry.watch_from(last);
        let first = watch.next().await.unwrap();
        assert!(matches!(&first, Watched::Snapshot(s) if s.sessions.len() == 4 && s.at == here), "{last}: {first:?}");
    }
    // One that came back in time and is then too slow is told so as well.
    let mut watch = registry.watch_from(here);
    for key in ["e", "f", "g", "h"] {
        registry.send(key, Ping).await.unwrap();
    }
    let first = watch.next().await.unwrap();
    assert!(matches!(first, Watched::Lagged { missed: 4, .. }), "{first:?}");
}

#[actix::test]
async fn an_event_id_survives_the_way_through_a_client() {
    pause();
    let registry = registry(limits(), &Log::default());
    let mut watch = registry.watch();
    registry.send("a", Ping).await.unwrap();
    let event = next_event(&mut watch).await;
    let written = event.id.to_string();
    assert_eq!(written, format!("{}-{}", event.id.epoch(), event.id.sequence()));
    assert_eq!(written.parse::<EventId>().unwrap(), event.id);
    let json = serde_json::to_value(Watched::Event(event.clone())).unwrap();
    assert_eq!(json["id"], written);
    let back: EventId = serde_json::from_value(json["id"].clone()).unwrap();

    registry.send("b", Ping).await.unwrap();
    assert_eq!(next_event(&mut registry.watch_from(back)).await.key, "b");
}

#[actix::test]
async fn who_comes_after_the_end_is_told_what_is_known_and_that_it_is_over() {
    pause();
    let registry = forgetful(limits(), 3, 0, &Log::default());
    registry.send("a", Ping).await.unwrap();
    let Some(item) = registry.watch().next().await else { panic!("ended") };
    registry.shutdown(secs(1)).await.unwrap();

    let mut watch = registry.watch();
    assert!(matches!(watch.next().await, Some(Watched::Snapshot(snapshot)) if snapshot.sessions.is_empty()));
    assert!(watch.next().await.is_none());
    let mut watch = registry.watch_from(item.id());
    assert!(matches!(next_event(&mut watch).await.kind, EventKind::Ended(_)));
    assert!(watch.next().await.is_none());
}

/// The twin in real time: sessions on two threads, watchers that are slow, quick or come and go.
#[test]
fn watchers_of_other_threads_miss_nothing_either() {
    or_give_up("watchers", || async {
        let limits = Limits::never().idle_timeout(millis(2)).drain_timeout(millis(5));
        let registry = forgetful(limits, 16, 2, &Log::default());
        let quick = actix::spawn(read_to_the_end(registry.watch(), 0));
        let slow = actix::spawn(read_to_the_end(registry.watch(), 5));
        for round in 0..4_000_u32 {
            let key = format!("key:{}", round % 37);
            match round % 5 {
                0 => drop(registry.close(&key)),
                1 => registry.do_send(&key, Stop).unwrap(),
                _ => registry.do_send(&key, Ping).unwrap(),
            }
            if round % 20 == 0 {
                sleep(millis(1)).await;
            }
        }
        registry.shutdown(secs(5)).await.unwrap();
        let (quick, slow) = (quick.await.unwrap(), slow.await.unwrap());
        let stats = registry.stats();
        for belief in [&quick, &slow] {
            assert!(belief.known.is_empty());
            assert_eq!(belief.at, quick.at);
        }
        assert!(slow.lags > 0, "it was not slow: {slow:?}");
        assert_eq!(stats.lagged, quick.lags + slow.lags);
        assert_eq!(stats.opened, stats.ended.total());
    });
}

async fn read_to_the_end(mut watch: Watch, pause_after_each: u64) -> Belief {
    let mut belief = Belief::default();
    while let Some(item) = watch.next().await {
        belief.take(&item);
        if pause_after_each > 0 {
            sleep(millis(pause_after_each)).await;
        }
    }
    belief
}
