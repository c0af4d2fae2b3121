//! What the store cannot do: nobody waits without end, nothing that it has is lost, and all of it is told.

use std::time::Duration;

use session_actors::{
    Checkpoint, Limits, OnFull, Policy, SendError, SessionKey, Unserved,
    store::{MemoryStore, Store, StoreError},
};
use tokio::time::{pause, sleep, timeout};

use crate::actor::*;

fn down() -> Option<StoreError> {
    Some(StoreError::Unavailable("unplugged".into()))
}

fn words<M>(refused: SendError<M>) -> String {
    assert!(matches!(refused, SendError::Unserved { cause: Unserved::NotRestored { .. } }), "{refused:?}");
    refused.to_string()
}

#[actix::test]
async fn one_that_cannot_be_loaded_is_refused_and_kept() {
    let (store, registry, mut watch) = paused(limits());
    registry.send("k", Give(1)).await.unwrap();
    sleep(secs(11)).await;
    events(&mut watch).await;
    store.faults(|faults| faults.load = down());
    let refused = words(registry.send("k", Give(2)).await.unwrap_err());
    assert!(refused.contains("unplugged"), "{refused}");
    assert_eq!(events(&mut watch).await, ["store_failed load k#2", "start_failed k#2"]);
    assert_eq!(registry.stats().keys, 0);
    store.faults(|faults| faults.load = None);
    assert_eq!(registry.send("k", Give(3)).await.unwrap(), [1, 3]);
}

#[actix::test]
async fn one_that_cannot_be_saved_stays_and_is_tried_again_later_and_later() {
    pause();
    let (store, lives) = (MemoryStore::immediate(), Lives::default());
    let registry = registry_by(session_actors::Policy::new(limits()), store.clone(), &lives);
    let mut watch = registry.watch();
    registry.send("k", Give(1)).await.unwrap();
    store.faults(|faults| faults.commit = Some(StoreError::Full("no space left on device".into())));
    sleep(secs(20)).await;
    assert_eq!((registry.len(), lives.made()), (1, 1));
    let failures = events(&mut watch).await.iter().filter(|told| *told == "store_failed save k#1").count();
    // After 0, 0.1, 0.3, 0.7, 1.5, 3.1 and 6.3 s.
    assert_eq!(failures, 7);
    assert_eq!(registry.send("k", Give(2)).await.unwrap(), [1, 2], "it serves");
    store.faults(|faults| faults.commit = None);
    sleep(secs(30)).await;
    assert_eq!((registry.len(), store.count()), (0, Ok(1)));
    assert_eq!(registry.send("k", Look).await.unwrap(), [1, 2]);
}

#[actix::test]
async fn a_record_that_does_not_decode_is_set_aside_with_its_bytes() {
    let (store, registry, _) = paused(limits());
    for damage in ["no json", "{}", r#"{"given":"no list"}"#] {
        registry.send("k", Give(1)).await.unwrap();
        sleep(secs(11)).await;
        let key = SessionKey::new("k").unwrap();
        let bytes = if damage.contains("given") {
            let record = serde_json::to_string(&store.load(&key).unwrap().unwrap()).unwrap();
            record.replace(r#"{"given":[1]}"#, damage)
        } else {
            damage.to_owned()
        };
        store.damage(&key, bytes.clone());
        words(registry.send("k", Give(2)).await.unwrap_err());
        let aside = store.set_aside(10).unwrap();
        assert_eq!(aside.last().map(|aside| aside.bytes.clone()), Some(bytes.into_bytes()));
        assert_eq!(store.count(), Ok(0));
        assert_eq!(registry.send("k", Give(3)).await.unwrap(), [3], "the next begins anew");
        registry.close("k").await.unwrap();
    }
    assert_eq!(store.set_aside(10).unwrap().len(), 3);
}

#[actix::test]
async fn a_damaged_record_that_is_due_holds_up_nobody() {
    let (store, registry, _) = paused(limits());
    for key in ["a", "b", "c"] {
        registry.send(key, Give(1)).await.unwrap();
    }
    sleep(secs(11)).await;
    store.damage(&SessionKey::new("a").unwrap(), "no json");
    sleep(secs(50)).await;
    assert_eq!((registry.stats().ended_in_store, store.count(), store.set_aside(9).unwrap().len()), (2, Ok(0), 1));
}

#[actix::test]
async fn a_restore_that_panics_refuses_that_session_and_sets_its_record_aside() {
    let (store, registry, _) = paused(limits());
    registry.send("k", Give(PANICS_WHEN_RESTORED)).await.unwrap();
    sleep(secs(11)).await;
    let refused = words(registry.send("k", Give(2)).await.unwrap_err());
    assert!(refused.contains("cannot be restored"), "{refused}");
    assert_eq!((store.set_aside(10).unwrap().len(), registry.stats().keys), (1, 0));
    assert_eq!(registry.send("k", Give(3)).await.unwrap(), [3]);
}

#[actix::test]
async fn a_shutdown_reports_what_could_not_be_saved() {
    let (store, registry, mut watch) = paused(limits());
    registry.send("good", Give(1)).await.unwrap();
    registry.send("bad", Give(PANICS_WHEN_SAVED)).await.unwrap();
    let report = registry.shutdown(secs(5)).await.unwrap();
    assert_eq!((report.drained, report.unsaved, report.unresponsive), (2, 1, 0));
    let told = events(&mut watch).await;
    assert!(told.contains(&"store_failed save bad#2".to_owned()) && told.contains(&"ended shutdown bad#2".to_owned()));
    assert_eq!(store.count(), Ok(1));
}

#[actix::test]
async fn an_end_that_cannot_be_recorded_is_an_end_and_recorded_later() {
    let store = MemoryStore::new();
    let registry = registry(limits().checkpoint(session_actors::Checkpoint::Always), store.clone());
    registry.send("k", Give(1)).await.unwrap();
    store.faults(|faults| faults.commit = down());
    assert!(registry.close("k").await.is_ok());
    assert_eq!(store.count(), Ok(1));
    // It counts as gone, though its record is there. The new one's reply is held until it is saved.
    let fresh = actix::spawn(registry.send("k", Give(2)));
    sleep(std::time::Duration::from_millis(50)).await;
    store.faults(|faults| faults.commit = None);
    assert_eq!(fresh.await.unwrap().unwrap(), [2]);
}

/// On threads, as it is with a disk that hangs.
#[actix::test]
async fn a_store_that_never_answers_hangs_nobody() {
    let store = MemoryStore::new();
    let registry = registry(limits().checkpoint(session_actors::Checkpoint::Always), store.clone());
    registry.send("k", Give(1)).await.unwrap();
    registry.send("l", Give(1)).await.unwrap();
    store.faults(|faults| faults.stalled = true);
    let all = async {
        let (load, save, close) = (registry.send("new", Give(1)), registry.send("k", Give(2)), registry.close("l"));
        let (load, save, close) = tokio::join!(load, save, close);
        let refused = words(load.unwrap_err());
        assert!(refused.contains("has not answered for 2s"), "{refused}");
        assert!(save.unwrap_err().to_string().contains("could not be saved"));
        assert!(close.is_ok());
        registry.shutdown(secs(1)).await.unwrap()
    };
    let report = timeout(secs(20), all).await.expect("somebody hangs");
    assert_eq!((report.unsaved, report.unresponsive), (1, 0));
    store.faults(|faults| faults.stalled = false);
}

/// After a while of failures it was tried so seldom that whoever came after the store worked again was told that
/// nothing could be saved.
#[actix::test]
async fn who_comes_when_the_store_works_again_is_not_told_that_it_does_not() {
    let (store, registry, _) = paused(limits().checkpoint(Checkpoint::Always).passivate_after(None));
    registry.send("k", Give(1)).await.unwrap();
    store.faults(|faults| faults.commit = Some(StoreError::Full("no space left".into())));
    for n in 2..6 {
        let told = registry.send("k", Give(n)).await;
        assert!(matches!(told, Err(SendError::Unserved { cause: Unserved::NotSaved { .. } })), "{told:?}");
        sleep(secs(5)).await;
    }
    store.faults(|faults| faults.commit = None);
    assert_eq!(registry.send("k", Give(6)).await.unwrap(), [1, 2, 3, 4, 5, 6]);
}

/// Its record was due, and as good as gone: the rounds looked at it again and again, without end.
#[actix::test]
async fn a_removal_that_is_owed_is_made_when_it_can_be_and_keeps_nobody_busy_meanwhile() {
    let (store, registry, mut watch) = paused(limits());
    registry.send("k", GiveForKeeps(1)).await.unwrap().unwrap();
    store.faults(|faults| faults.commit = Some(StoreError::Full("no space left".into())));
    registry.close("k").await.unwrap();
    sleep(secs(70)).await;
    assert_eq!(store.count(), Ok(1));
    assert!(registry.send("k", Look).await.unwrap().is_empty(), "it is another one");
    store.faults(|faults| faults.commit = None);
    sleep(secs(2)).await;
    assert_eq!(store.count(), Ok(0));
    let told = events(&mut watch).await;
    assert_eq!(told.iter().filter(|told| told.starts_with("ended")).count(), 1, "{told:?}");
}

/// A reply that waits for the store counted as work that makes no progress: after `max_busy` the session was ended as
/// stuck, and its record removed.
#[actix::test]
async fn a_store_that_is_slow_makes_no_session_stuck() {
    let store = MemoryStore::new();
    let limits = limits().checkpoint(Checkpoint::Always).max_busy(Duration::from_millis(200));
    let registry = registry(limits, store.clone());
    registry.send("k", Give(1)).await.unwrap();
    store.faults(|faults| faults.stalled = true);
    let waits = registry.send("k", Give(2));
    sleep(Duration::from_millis(600)).await;
    store.faults(|faults| faults.stalled = false);
    assert_eq!(waits.await.unwrap(), [1, 2]);
    assert_eq!((registry.len(), registry.stats().ended.total()), (1, 0));
}

/// What was on its way to the store counted as what there is, though the session had set itself other limits meanwhile.
#[actix::test]
async fn limits_that_change_while_a_save_is_under_way_are_saved() {
    let store = MemoryStore::new();
    let registry = registry(limits().passivate_after(Duration::from_millis(300)), store.clone());
    // Without a message: nothing else tells this state from the one before.
    let later = |_: &mut Tally, ctx: &mut session_actors::SessionContext<Tally>| {
        actix::AsyncContext::run_later(ctx, Duration::from_millis(500), |_, ctx| {
            ctx.set_limits(Limits::new().max_age(None)).unwrap();
        });
    };
    registry.send("k", Do(later)).await.unwrap();
    sleep(Duration::from_millis(200)).await;
    store.faults(|faults| faults.stalled = true);
    sleep(Duration::from_millis(500)).await;
    store.faults(|faults| faults.stalled = false);
    timeout(secs(5), async {
        while !registry.is_empty() {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("it leaves");
    let record = store.load(&SessionKey::new("k").unwrap()).unwrap().unwrap();
    assert_eq!(record.limits, Some(Limits::new().max_age(None)));
}

/// The one session that could make room was asked again and again, and who waited for it never told.
#[actix::test]
async fn at_the_cap_a_store_that_fails_turns_the_newcomer_away() {
    pause();
    let store = MemoryStore::immediate();
    let policy = Policy::new(limits()).max_sessions(1).on_full(OnFull::EvictIdle);
    let registry = registry_by(policy, store.clone(), &Lives::default());
    registry.send("k", Give(1)).await.unwrap();
    store.faults(|faults| faults.commit = down());
    for _ in 0..3 {
        let told = timeout(secs(5), registry.send("l", Give(1))).await.expect("in time");
        assert!(matches!(told, Err(SendError::Unserved { cause: Unserved::NoRoom })), "{told:?}");
    }
    store.faults(|faults| faults.commit = None);
    sleep(secs(1)).await;
    assert_eq!(registry.send("l", Give(1)).await.unwrap(), [1]);
    assert_eq!(registry.send("k", Give(2)).await.unwrap(), [1, 2]);
}

#[actix::test]
async fn at_the_cap_a_store_that_does_not_answer_turns_the_newcomer_away() {
    let store = MemoryStore::new();
    let policy = Policy::new(limits()).max_sessions(1).on_full(OnFull::EvictIdle);
    let registry = registry_by(policy, store.clone(), &Lives::default());
    registry.send("k", Give(1)).await.unwrap();
    store.faults(|faults| faults.stalled = true);
    for _ in 0..2 {
        let told = timeout(secs(5), registry.send("l", Give(1))).await.expect("in time");
        assert!(matches!(told, Err(SendError::Unserved { cause: Unserved::NoRoom })), "{told:?}");
    }
    store.faults(|faults| faults.stalled = false);
}

/// What was told as not saved was saved all the same when the store went on, and came back after a restart.
#[actix::test]
async fn what_could_not_be_saved_in_time_is_not_saved_later() {
    let store = MemoryStore::new();
    let registry = registry(limits(), store.clone());
    for key in ["a", "b", "c"] {
        registry.send(key, Give(1)).await.unwrap();
    }
    registry.open("busy").unwrap();
    settle().await;
    store.faults(|faults| faults.commit_stalled = true);
    // What the store is at when it stops to answer.
    let busy = registry.send("busy", GiveForKeeps(1));
    while !store.is_committing() {
        sleep(Duration::from_millis(1)).await;
    }
    let mut watch = registry.watch();
    let shutdown = registry.shutdown(secs(30));
    let told = async {
        let mut ended = 0;
        while ended < 3 {
            ended += events(&mut watch).await.iter().filter(|told| told.starts_with("ended shutdown")).count();
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(secs(20), told).await.expect("they are told");
    store.faults(|faults| faults.commit_stalled = false);
    let unsaved = timeout(secs(20), shutdown).await.expect("an end").unwrap().unsaved;
    // The other one was, in the end, or not.
    assert!((3..=4).contains(&unsaved), "{unsaved}");
    drop(busy);
    let left: Vec<_> = store.page(None, 10).unwrap().into_iter().map(|entry| entry.key.to_string()).collect();
    assert!(left.iter().all(|key| key == "busy"), "{left:?}");
}

/// What had never been saved was told as passivated when the last attempt failed as well, and vanished without an end.
#[actix::test]
async fn what_the_store_never_had_ends_with_a_shutdown_that_cannot_save_it() {
    let (store, registry, mut watch) = paused(limits().checkpoint(Checkpoint::Every(secs(1))));
    store.faults(|faults| faults.commit = down());
    registry.send("k", Give(1)).await.unwrap();
    sleep(secs(3)).await;
    let report = registry.shutdown(secs(5)).await.unwrap();
    assert_eq!((report.drained, report.unsaved), (1, 1));
    let told = events(&mut watch).await;
    assert!(
        told.contains(&"ended shutdown k#1".to_owned()) && !told.contains(&"passivated k#1".to_owned()),
        "{told:?}"
    );
}

/// Its end was told as one that could not be recorded, and the removal owed.
#[actix::test]
async fn what_the_store_never_had_is_not_removed_from_it() {
    let (store, registry, mut watch) = paused(limits().checkpoint(Checkpoint::Every(secs(1))));
    store.faults(|faults| faults.commit = down());
    registry.send("k", Give(1)).await.unwrap();
    sleep(secs(3)).await;
    registry.close("k").await.unwrap();
    let told = events(&mut watch).await;
    assert!(!told.contains(&"store_failed remove k#1".to_owned()), "{told:?}");
    assert_eq!(told.last().map(String::as_str), Some("ended closed k#1"));
}

/// What came due next waited for the second after which the damaged one was looked at again.
#[actix::test]
async fn what_is_due_next_does_not_wait_for_a_damaged_record() {
    let (store, registry, mut watch) = paused(limits());
    registry.send("a", Give(1)).await.unwrap();
    sleep(Duration::from_millis(200)).await;
    registry.send("b", Give(1)).await.unwrap();
    sleep(secs(11)).await;
    store.damage(&SessionKey::new("a").unwrap(), "no json");
    events(&mut watch).await;
    // Both are due after 60 s.
    sleep(Duration::from_millis(49_010)).await;
    assert_eq!(events(&mut watch).await, ["store_failed load a#0", "ended idle_timeout b#2"]);
}
