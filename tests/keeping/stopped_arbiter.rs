//! Sessions whose thread goes away while the store saves or removes them: what is told of them is what the store has. On
//! threads, in real time.

use std::{
    future::Future,
    time::{Duration, SystemTime},
};

use actix::{Arbiter, ArbiterHandle, Handler, Message, MessageResult};
use session_actors::{
    Policy, SessionId, SessionKey, SessionRegistry, Watch,
    store::{Change, MemoryStore, Record, State, Store},
};
use tokio::time::{sleep, timeout};

use crate::actor::*;

/// The registry gives up after 2 seconds.
async fn soon<T>(waiting: impl Future<Output = T>) -> T {
    timeout(secs(20), waiting).await.expect("it waits without end")
}

async fn settle() {
    sleep(Duration::from_millis(200)).await;
}

fn on_an_arbiter(store: &MemoryStore) -> SessionRegistry<Tally> {
    let lives = Lives::default();
    SessionRegistry::builder(move |_: &SessionKey| Tally::new(&lives))
        .policy(Policy::new(limits()))
        .store_timeout(secs(2))
        .event_history(20_000)
        .arbiters(1)
        .persist(store.clone())
        .start()
        .unwrap()
}

/// Where the session runs.
#[derive(Message)]
#[rtype(result = "ArbiterHandle")]
struct Where;

impl Handler<Where> for Tally {
    type Result = MessageResult<Where>;

    fn handle(&mut self, _: Where, _: &mut Self::Context) -> Self::Result {
        MessageResult(Arbiter::current())
    }
}

fn stall(store: &MemoryStore, stalled: bool) {
    store.faults(|faults| faults.commit_stalled = stalled);
}

/// A registry with a session that has been given 1, and whoever watches it.
async fn one(store: &MemoryStore) -> (SessionRegistry<Tally>, Watch, ArbiterHandle) {
    let registry = on_an_arbiter(store);
    registry.send("k", Give(1)).await.unwrap();
    let arbiter = registry.send("k", Where).await.unwrap();
    let mut watch = registry.watch();
    events(&mut watch).await;
    (registry, watch, arbiter)
}

async fn until_told(watch: &mut Watch, what: &str) -> Vec<String> {
    soon(async {
        let mut all = Vec::new();
        loop {
            all.extend(events(watch).await);
            if all.iter().any(|told| told.starts_with(what)) {
                return all;
            }
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await
}

/// Keeps the writer at something until it is no longer stalled.
async fn occupy(registry: &SessionRegistry<Tally>, store: &MemoryStore) {
    // Over, and to be removed before its key opens again.
    let long_ago = SystemTime::now() - secs(1000);
    let record = Record::new(SessionId::of_stored(1_000_000), long_ago, State::of(&Given { given: vec![] }).unwrap());
    store.commit(&[Change::Put { key: SessionKey::new("over").unwrap(), record }]).unwrap();
    stall(store, true);
    registry.open("over").unwrap();
    soon(async {
        while !store.is_committing() {
            sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

/// It had nobody to watch its time.
#[actix::test]
async fn an_end_that_is_not_answered_is_told_in_time() {
    let store = MemoryStore::new();
    let (_registry, mut watch, arbiter) = one(&store).await;
    stall(&store, true);
    arbiter.stop();
    assert_eq!(until_told(&mut watch, "ended aborted").await, ["store_failed save k#1", "ended aborted k#1"]);
    stall(&store, false);
}

/// It was saved all the same when the writer came to it, and came back though it had been told as lost.
#[actix::test]
async fn what_is_told_as_lost_is_not_saved_later() {
    let store = MemoryStore::new();
    let (registry, mut watch, arbiter) = one(&store).await;
    occupy(&registry, &store).await;
    arbiter.stop();
    let told = until_told(&mut watch, "ended aborted k#1").await;
    assert!(told.iter().any(|told| told == "store_failed save k#1"), "{told:?}");
    stall(&store, false);
    settle().await;
    assert_eq!(store.load(&SessionKey::new("k").unwrap()).unwrap(), None);
}

/// It was told as lost, and was saved.
#[actix::test]
async fn what_is_saved_after_its_thread_has_gone_is_told_as_saved() {
    let store = MemoryStore::new();
    let (registry, mut watch, arbiter) = one(&store).await;
    stall(&store, true);
    let shutdown = registry.shutdown(secs(1));
    settle().await;
    assert!(store.is_committing());
    arbiter.stop();
    settle().await;
    assert_eq!(events(&mut watch).await, [""; 0], "it is not known yet");
    stall(&store, false);
    assert_eq!(until_told(&mut watch, "passivated").await, ["passivated k#1"]);
    let report = soon(shutdown).await.unwrap();
    assert_eq!((report.unsaved, store.count()), (0, Ok(1)));
}

/// Those at the end of a queue that moved were given up on as if the store were silent.
#[actix::test]
async fn many_are_waited_for_while_the_store_works() {
    let store = MemoryStore::new();
    let registry = on_an_arbiter(&store);
    for n in 0..5_000 {
        registry.open(format!("k{n}")).unwrap();
    }
    registry.send("k4999", Give(1)).await.unwrap();
    let arbiter = registry.send("k0", Where).await.unwrap();
    // A thousand at a time: three seconds.
    store.faults(|faults| faults.commit_takes = Duration::from_millis(600));
    arbiter.stop();
    soon(async {
        while registry.stats().live > 0 || registry.stats().draining > 0 || registry.stats().keys > 0 {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let stats = registry.stats();
    assert_eq!((stats.store_failed.total(), stats.passivated, stats.ended.total()), (0, 5_000, 0));
    assert_eq!(store.count(), Ok(5_000));
}
