//! What a new process finds: a registry that was shut down, or was not, and one that begins with its store.

use std::time::{Duration, SystemTime};

use session_actors::{
    Checkpoint, Limits, Policy, SessionId, SessionKey,
    store::{Change, MemoryStore, Record, RedbStore, State, Store, StoreError},
};
use tokio::time::{pause, sleep};

use crate::actor::*;

fn record(session: u64, opened: SystemTime, active: SystemTime, limits: &Limits) -> Record {
    let state = State::of(&Given { given: vec![session] }).unwrap();
    Record::new(SessionId::of_stored(session), opened, state).last_activity(active).limits(limits.clone())
}

fn put(store: &impl Store, key: &str, record: Record) {
    store.commit(&[Change::Put { key: SessionKey::new(key).unwrap(), record }]).unwrap();
}

#[actix::test]
async fn a_shutdown_saves_everybody_and_the_next_start_goes_on() {
    pause();
    let store = MemoryStore::immediate();
    let first = registry(limits(), store.clone());
    let mut watch = first.watch();
    for n in 0..3 {
        first.send(format!("k{n}"), Give(n)).await.unwrap();
    }
    let late = first.send("k0", GiveSlowly(9, secs(3)));
    let report = first.shutdown(secs(5)).await.unwrap();
    assert_eq!((report.drained, report.cut, report.unsaved), (3, 0, 0));
    assert_eq!(late.await.unwrap(), [0, 9]);
    let told = events(&mut watch).await;
    assert_eq!(told.iter().filter(|told| told.starts_with("passivated")).count(), 3, "{told:?}");
    assert!(!told.iter().any(|told| told.starts_with("ended")), "{told:?}");

    let second = registry(limits(), store.clone());
    let mut watch = second.watch();
    assert_eq!(second.send("k0", Give(10)).await.unwrap(), [0, 9, 10]);
    assert_eq!(second.send("new", Give(1)).await.unwrap(), [1]);
    let told = events(&mut watch).await;
    assert_eq!(told[0], "restored k0#1");
    let new = second.info("new").unwrap().id.get();
    assert!(new > 3, "{new} was given before the restart");
}

#[actix::test]
async fn what_was_cut_at_a_shutdown_is_saved_all_the_same() {
    pause();
    let store = MemoryStore::immediate();
    let first = registry(limits(), store.clone());
    first.send("k", Give(1)).await.unwrap();
    let cut = first.send("k", GiveSlowly(9, secs(30)));
    let report = first.shutdown(secs(5)).await.unwrap();
    assert_eq!((report.cut, report.unsaved), (1, 0));
    assert!(cut.await.is_err());
    assert_eq!(registry(limits(), store).send("k", Look).await.unwrap(), [1]);
}

#[actix::test]
async fn what_fell_due_while_nobody_was_there_ends_once() {
    pause();
    let store = MemoryStore::immediate();
    let (hour, now) = (Duration::from_secs(3_600), SystemTime::now());
    store.reserve_ids(10_000).unwrap();
    for n in 0..1_000u64 {
        put(
            &store,
            &format!("due{n}"),
            record(n + 1, now - 2 * hour, now - hour, &Limits::new()).ends_at(now - hour / 2),
        );
        put(&store, &format!("not{n}"), record(n + 5_000, now, now, &Limits::new()).ends_at(now + hour / 2));
    }
    // Somebody comes for one that is due before the registry has looked.
    let registry = registry(limits().idle_timeout(hour / 2).max_age(hour), store.clone());
    let mut watch = registry.watch();
    let given = registry.send("due7", Give(1)).await.unwrap();
    assert_eq!(given, [1], "the old one was over");
    sleep(secs(1)).await;
    assert_eq!((store.count(), registry.stats().ended_in_store), (Ok(1_000), 1_000));
    let told = events(&mut watch).await;
    let ended = told.iter().filter(|told| told.starts_with("ended")).count();
    assert!(ended <= 1_000 && registry.stats().ended.total() == 1_000, "{ended}");
    sleep(hour / 2).await;
    assert_eq!((registry.stats().ended.total(), store.count()), (2_001, Ok(0)));
}

#[actix::test]
async fn a_clock_that_was_set_back_makes_nobody_older_or_younger() {
    pause();
    let store = MemoryStore::immediate();
    let future = SystemTime::now() + Duration::from_secs(86_400);
    put(&store, "k", record(1, future, future, &Limits::new()).ends_at(future + secs(60)));
    let registry = registry(limits().passivate_after(None), store.clone());
    let mut watch = registry.watch();
    assert_eq!(registry.send("k", Give(2)).await.unwrap(), [1, 2]);
    let info = registry.info("k").unwrap();
    assert_eq!((info.age, info.idle), (Duration::ZERO, Duration::ZERO));
    sleep(secs(61)).await;
    assert_eq!(events(&mut watch).await, ["restored k#1", "ended idle_timeout k#1"]);
    assert_eq!(store.count(), Ok(0));
}

#[actix::test]
async fn a_clock_that_was_set_forward_ends_what_is_over_by_it() {
    pause();
    let store = MemoryStore::immediate();
    let past = SystemTime::now() - Duration::from_secs(86_400);
    assert_eq!(store.reserve_ids(1), Ok(1));
    put(&store, "k", record(1, past, past, &Limits::new()).ends_at(past + secs(60)));
    let registry = registry(limits(), store.clone());
    let mut watch = registry.watch();
    assert_eq!(registry.send("k", Give(2)).await.unwrap(), [2]);
    assert_eq!(events(&mut watch).await, ["ended idle_timeout k#1", "opened k#2"]);
}

#[actix::test]
async fn its_own_limits_hold_in_the_store_and_after_a_restart() {
    pause();
    let store = MemoryStore::immediate();
    let now = SystemTime::now();
    let own = Limits::new().idle_timeout(secs(500));
    put(&store, "own", record(1, now, now - secs(100), &own).ends_at(now + secs(400)));
    let registry = registry(limits(), store.clone());
    sleep(secs(300)).await;
    assert_eq!(registry.send("own", Give(2)).await.unwrap(), [1, 2]);
    assert_eq!(registry.info("own").unwrap().limits.idle_timeout, Some(secs(500)));
}

/// The thread of a session goes away: what it has is saved, as far as anything can be.
#[test]
fn an_arbiter_that_stops_is_no_end() {
    let store = MemoryStore::new();
    let kept = store.clone();
    actix::System::new().block_on(async move {
        let registry = registry(limits(), kept);
        registry.send("k", Give(1)).await.unwrap();
        // The system, and with it this arbiter, stops without a shutdown.
    });
    // The writer is on a thread of its own.
    actix::System::new().block_on(async move {
        let saved = async {
            while store.count() != Ok(1) {
                sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(secs(10), saved).await.expect("saved");
    });
}

/// On disk: two registries, one after the other, on one file; and not both at once.
#[test]
fn a_file_goes_from_one_process_to_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sessions.redb");
    for round in 0..3u64 {
        let file = file.clone();
        actix::System::new().block_on(async move {
            let policy = limits().checkpoint(Checkpoint::Always);
            let registry = registry(policy, RedbStore::open(&file).unwrap());
            let taken = RedbStore::open(&file).unwrap_err().to_string();
            assert!(taken.contains("in use"), "{taken}");
            let given = registry.send("k", Give(round)).await.unwrap();
            assert_eq!(given, (0..=round).collect::<Vec<_>>());
            let report = registry.shutdown(secs(5)).await.unwrap();
            assert_eq!((report.drained, report.unsaved), (1, 0));
            // The file is free when the shutdown is over, not some time later.
            drop(registry);
            drop(RedbStore::open(&file).unwrap());
        });
    }
}

/// What a process leaves that was shut down: a session under each of these keys.
async fn left(limits: Limits, keys: &[&str]) -> MemoryStore {
    let store = MemoryStore::immediate();
    let first = registry(limits, store.clone());
    for key in keys {
        first.send(*key, Give(1)).await.unwrap();
    }
    first.shutdown(secs(5)).await.unwrap();
    store
}

/// Everything in the store used to keep the deadline of the policy it was saved under, until somebody came for it.
#[actix::test]
async fn a_start_with_another_policy_holds_for_what_is_in_the_store() {
    pause();
    let store = left(limits().idle_timeout(secs(1_000)), &["a", "b"]).await;
    let second = registry(limits().idle_timeout(secs(30)), store.clone());
    sleep(secs(29)).await;
    assert_eq!(store.count(), Ok(2));
    sleep(secs(2)).await;
    assert_eq!((store.count(), second.stats().ended_in_store), (Ok(0), 2));

    let store = left(limits().idle_timeout(secs(30)), &["a", "b"]).await;
    let _longer = registry(limits().idle_timeout(secs(1_000)), store.clone());
    sleep(secs(900)).await;
    assert_eq!(store.count(), Ok(2));
}

#[actix::test]
async fn a_start_with_the_same_policy_does_not_go_through_the_store() {
    pause();
    let policy = || Policy::new(limits()).rule("hook:*", Limits::new().idle_timeout(secs(40)));
    let store = MemoryStore::immediate();
    let first = registry_by(policy(), store.clone(), &Lives::default());
    first.send("k", Give(1)).await.unwrap();
    settle().await;
    let known = store.policy().unwrap().expect("it is known");
    assert!(known.contains("hook:*"), "{known}");
    first.shutdown(secs(5)).await.unwrap();
    // Were it looked at, this would be found.
    store.damage(&SessionKey::new("k").unwrap(), "no record");
    let _second = registry_by(policy().max_sessions(7), store.clone(), &Lives::default());
    sleep(secs(1)).await;
    assert_eq!((store.count(), store.set_aside(1)), (Ok(1), Ok(Vec::new())));
    // Its index is.
    let _third = registry_by(policy().exclude("main"), store.clone(), &Lives::default());
    sleep(secs(1)).await;
    assert_eq!((store.count(), store.set_aside(1).unwrap().len()), (Ok(0), 1));
}

/// A policy that was set at run time, then a crash before its deadlines were all computed: the store must not say that
/// they are those of the policy before.
#[actix::test]
async fn a_change_of_policy_that_was_not_finished_is_finished_by_the_next_start() {
    pause();
    let store = left(limits().idle_timeout(secs(1_000)), &["a"]).await;
    let second = registry(limits().idle_timeout(secs(1_000)), store.clone());
    settle().await;
    assert!(store.policy().unwrap().is_some());
    // It cannot be finished now.
    store.faults(|faults| faults.load = Some(StoreError::Unavailable("unplugged".into())));
    second.set_policy(Policy::new(limits().idle_timeout(secs(30)))).unwrap();
    second.send("b", GiveForKeeps(1)).await.unwrap_err();
    settle().await;
    store.faults(|faults| faults.load = None);
    assert_eq!(second.send("b", GiveForKeeps(1)).await.unwrap(), Ok(vec![1]));
    assert_eq!(store.policy(), Ok(None), "with the first record by the new one");
    sleep(secs(2)).await;
    let known = store.policy().unwrap().expect("when it is done");
    assert!(known.contains("30s"), "{known}");
}

/// It ended at its ordinary idle deadline, though it had been told that it need not.
#[actix::test]
async fn more_time_that_was_granted_is_granted_after_a_restart_too() {
    pause();
    let store = MemoryStore::immediate();
    let first = registry(limits().passivate_after(None), store.clone());
    let mut watch = first.watch();
    first.send("k", Do(|tally, _| tally.extends = Some(secs(100)))).await.unwrap();
    sleep(secs(61)).await;
    assert_eq!(events(&mut watch).await, ["opened k#1", "extended k#1"]);
    first.shutdown(secs(5)).await.unwrap();

    // Its clock begins anew with the system's, which the paused one does not move: it has until 161 s.
    let second = registry(limits().passivate_after(None), store.clone());
    sleep(secs(59)).await;
    assert_eq!(store.count(), Ok(1));
    second.send("k", Look).await.unwrap();
    sleep(secs(100)).await;
    assert_eq!(second.len(), 1);
    sleep(secs(3)).await;
    assert_eq!((second.len(), store.count(), second.stats().ended.total()), (0, Ok(0), 1));
}
