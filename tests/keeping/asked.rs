//! What a session asks for itself: a checkpoint now, or to stay in memory.

use session_actors::{
    NotSaved, OnFull, Policy, SessionKey, SessionRegistry,
    store::{MemoryStore, Store, StoreError},
};
use tokio::time::{pause, sleep};

use crate::actor::*;

#[actix::test]
async fn a_checkpoint_is_on_disk_when_it_is_told_whatever_the_checkpoints_are() {
    let (store, registry, _) = paused(limits());
    registry.send("k", Give(1)).await.unwrap();
    assert_eq!(found(&store, "k"), None);
    assert_eq!(registry.send("k", GiveForKeeps(2)).await.unwrap(), Ok(vec![1, 2]));
    assert_eq!(found(&store, "k"), Some(vec![1, 2]));
    registry.send("k", Give(3)).await.unwrap();
    assert_eq!(found(&store, "k"), Some(vec![1, 2]), "only when it is asked for");
}

#[actix::test]
async fn those_who_ask_together_share_one_write() {
    let (store, registry, _) = paused(limits());
    registry.open("k").unwrap();
    settle().await;
    let before = store.commits();
    let asked: Vec<_> = (0..10).map(|n| registry.send("k", GiveForKeeps(n))).collect();
    for reply in asked {
        reply.await.unwrap().unwrap();
    }
    assert_eq!((found(&store, "k").unwrap().len(), store.commits() - before), (10, 1));
}

#[actix::test]
async fn a_checkpoint_that_cannot_be_made_is_told_in_time_and_the_session_goes_on() {
    let (store, registry, mut watch) = paused(limits());
    store.faults(|faults| faults.commit = Some(StoreError::Unavailable("unplugged".into())));
    let told = registry.send("k", GiveForKeeps(1)).await.unwrap();
    let error = "the store could not save it in time: the session store cannot be reached: unplugged".into();
    assert_eq!(told, Err(NotSaved::Store { error }));
    assert!(events(&mut watch).await.contains(&"store_failed save k#1".to_owned()));
    store.faults(|faults| faults.commit = None);
    assert_eq!(registry.send("k", GiveForKeeps(2)).await.unwrap(), Ok(vec![1, 2]));
    assert_eq!(found(&store, "k"), Some(vec![1, 2]));
}

#[actix::test]
async fn a_session_does_not_leave_while_a_checkpoint_is_asked_for() {
    tokio::time::pause();
    let store = MemoryStore::immediate();
    let registry = registry(limits().passivate_after(secs(1)), store.clone());
    store.faults(|faults| faults.commit = Some(StoreError::Full("no space left".into())));
    let mut reply = Box::pin(registry.send("k", GiveForKeeps(1)));
    assert!(tokio::time::timeout(secs(1), &mut reply).await.is_err());
    store.faults(|faults| faults.commit = None);
    assert_eq!(reply.await.unwrap(), Ok(vec![1]));
    sleep(secs(2)).await;
    assert_eq!((registry.len(), found(&store, "k")), (0, Some(vec![1])));
}

#[actix::test]
async fn without_a_store_a_checkpoint_is_no_wait() {
    let lives = Lives::default();
    let registry = SessionRegistry::builder(move |_: &SessionKey| Tally::new(&lives)).start().unwrap();
    assert_eq!(registry.send("k", GiveForKeeps(1)).await.unwrap(), Ok(vec![1]));
}

#[actix::test]
async fn a_resident_session_stays_until_it_is_idle_or_lets_go() {
    let (store, registry, mut watch) = paused(limits());
    for key in ["stays", "lets go"] {
        registry.send(key, Do(|_, ctx| ctx.set_resident(true))).await.unwrap();
    }
    sleep(secs(30)).await;
    assert_eq!((registry.len(), store.count()), (2, Ok(0)));
    // No activity: ten seconds after its last it would have left.
    registry.send("lets go", DoPassively(|_, ctx| ctx.set_resident(false))).await.unwrap();
    assert_eq!(events(&mut watch).await, ["opened stays#1", "opened lets go#2", "passivated lets go#2"]);
    sleep(secs(31)).await;
    let mut ended = events(&mut watch).await;
    ended.sort();
    assert_eq!(ended, ["ended idle_timeout lets go#2", "ended idle_timeout stays#1"]);
}

#[actix::test]
async fn at_the_cap_a_resident_session_leaves_and_is_not_resident_when_it_comes_back() {
    pause();
    let (store, lives) = (MemoryStore::immediate(), Lives::default());
    let policy = Policy::new(limits()).max_sessions(1).on_full(OnFull::EvictIdle);
    let registry = registry_by(policy, store.clone(), &lives);
    let mut watch = registry.watch();
    registry.send("k", Do(|_, ctx| ctx.set_resident(true))).await.unwrap();
    registry.send("l", Give(1)).await.unwrap();
    assert_eq!(events(&mut watch).await, ["opened k#1", "passivated k#1", "opened l#2"]);
    registry.send("k", Give(1)).await.unwrap();
    assert_eq!(events(&mut watch).await, ["passivated l#2", "restored k#1"]);
    sleep(secs(11)).await;
    assert_eq!(events(&mut watch).await, ["passivated k#1"]);
}
