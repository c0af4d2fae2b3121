//! A store whose writer hangs, or takes its time, while its readers answer: nobody waits without end, and nobody gives up
//! too early. On threads, in real time.

use std::{
    future::Future,
    time::{Duration, SystemTime},
};

use actix::{Arbiter, System};
use session_actors::{
    CloseError, Policy, SendError, SessionId, SessionKey, SessionRegistry, Unserved,
    store::{Change, MemoryStore, Record, State, Store, StoreError},
};
use tokio::time::{sleep, timeout};

use crate::actor::*;

/// The registry gives up after 2 seconds.
async fn soon<T>(waiting: impl Future<Output = T>) -> T {
    timeout(secs(10), waiting).await.expect("it waits without end")
}

/// A store that has a session.
fn with(key: &str, idle: Duration, ends_at: Option<SystemTime>) -> MemoryStore {
    let store = MemoryStore::new();
    put(&store, key, idle, ends_at);
    store
}

fn put(store: &MemoryStore, key: &str, idle: Duration, ends_at: Option<SystemTime>) {
    let active = SystemTime::now() - idle;
    let record = Record::new(SessionId::of_stored(7), active, State::of(&Given { given: vec![1] }).unwrap());
    let record = record.last_activity(active).ends_at(ends_at);
    store.commit(&[Change::Put { key: SessionKey::new(key).unwrap(), record }]).unwrap();
}

fn stall(store: &MemoryStore, stalled: bool) {
    store.faults(|faults| faults.commit_stalled = stalled);
}

fn unheard<T: std::fmt::Debug, M>(told: Result<T, SendError<M>>) {
    let told = told.unwrap_err();
    assert!(matches!(told, SendError::Unserved { cause: Unserved::NotRestored { .. } }), "{told:?}");
    assert!(told.to_string().contains("has not answered for 2s"), "{told}");
}

#[actix::test]
async fn a_start_whose_predecessor_is_over_gives_up() {
    let store = MemoryStore::new();
    let registry = registry(limits(), store.clone());
    sleep(Duration::from_millis(200)).await;
    // Nobody but the start finds out that it is over: the index does not have it.
    put(&store, "k", secs(100), None);
    stall(&store, true);
    unheard(soon(registry.send("k", Give(2))).await);
    assert_eq!(registry.stats().keys, 0);
    stall(&store, false);
    assert_eq!(soon(registry.send("k", Give(3))).await.unwrap(), [3]);
}

#[actix::test]
async fn who_waits_behind_a_session_that_is_being_ended_in_the_store_gives_up() {
    let deadline = SystemTime::now() + Duration::from_millis(300);
    let store = with("k", secs(60) - Duration::from_millis(300), Some(deadline));
    let registry = registry(limits(), store.clone());
    sleep(Duration::from_millis(100)).await;
    stall(&store, true);
    sleep(Duration::from_millis(400)).await;
    for _ in 0..2 {
        unheard(soon(registry.send("k", Give(2))).await);
    }
    stall(&store, false);
    assert_eq!(soon(registry.send("k", Give(3))).await.unwrap(), [3]);
}

#[actix::test]
async fn who_closes_is_told_that_it_could_not_be_done() {
    let store = with("k", secs(1), None);
    let registry = registry(limits(), store.clone());
    sleep(Duration::from_millis(100)).await;
    store.faults(|faults| faults.commit = Some(StoreError::Unavailable("unplugged".into())));
    let told = soon(registry.close("k")).await.unwrap_err();
    assert!(matches!(&told, CloseError::Store { error } if error.contains("unplugged")), "{told:?}");
    stall(&store, true);
    let told = soon(registry.close("k")).await.unwrap_err();
    assert!(matches!(&told, CloseError::Store { error } if error.contains("not answered")), "{told:?}");
    stall(&store, false);
    store.faults(|faults| faults.commit = None);
    // What hung is done first, and fails no more.
    sleep(Duration::from_millis(200)).await;
    let _ = soon(registry.close("k")).await;
    assert_eq!(soon(registry.close("k")).await, Err(CloseError::NotFound));
    assert_eq!(store.count(), Ok(0));
}

/// Whoever came last in a queue that moved was given up on as if the store were silent.
#[actix::test]
async fn a_shutdown_of_many_waits_while_the_store_works() {
    let store = MemoryStore::new();
    let registry = registry(limits(), store.clone());
    for n in 0..5_000 {
        registry.open(format!("k{n}")).unwrap();
    }
    registry.send("k4999", Give(1)).await.unwrap();
    // A thousand at a time: three seconds, where the registry waits for two.
    store.faults(|faults| faults.commit_takes = Duration::from_millis(600));
    let report = timeout(secs(30), registry.shutdown(secs(1))).await.unwrap().unwrap();
    assert_eq!((report.unsaved, report.unresponsive, report.drained), (0, 0, 5_000));
    assert_eq!(store.count(), Ok(5_000));
}

/// The rounds, and whoever closes, go on on another arbiter than the one on which the registry was started.
#[test]
fn the_arbiter_that_started_the_registry_may_go() {
    let system = System::new();
    system.block_on(async {
        let home = Arbiter::new();
        let (tell, told) = tokio::sync::oneshot::channel();
        let deadline = SystemTime::now() + Duration::from_millis(500);
        let store = with("due", secs(60) - Duration::from_millis(500), Some(deadline));
        let kept = store.clone();
        home.spawn_fn(move || {
            let lives = Lives::default();
            let registry = SessionRegistry::builder(move |_: &SessionKey| Tally::new(&lives))
                .policy(Policy::new(limits()))
                .arbiters(2)
                .persist(kept)
                .start()
                .unwrap();
            drop(tell.send(registry));
        });
        let registry = told.await.unwrap();
        registry.send("k", Give(1)).await.unwrap();
        sleep(Duration::from_millis(100)).await;
        home.stop();
        home.join().unwrap();
        soon(async {
            while store.count() != Ok(0) {
                sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
        assert_eq!(registry.stats().ended_in_store, 1);
        assert!(soon(registry.close("k")).await.is_ok());
        soon(registry.shutdown(secs(1))).await.unwrap();
    });
}

#[actix::test]
async fn a_timeout_without_end_is_one_of_a_day() {
    let lives = Lives::default();
    let registry = SessionRegistry::builder(move |_: &SessionKey| Tally::new(&lives))
        .store_timeout(Duration::MAX)
        .persist(MemoryStore::new())
        .start()
        .unwrap();
    assert_eq!(soon(registry.send("k", Give(1))).await.unwrap(), [1]);
    assert!(soon(registry.close("nobody")).await.is_err());
    assert_eq!(soon(registry.shutdown(secs(1))).await.unwrap().unsaved, 0);
}
