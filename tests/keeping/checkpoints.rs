//! What a crash loses. A crash is what the store has at that moment: nothing of the registry's is asked any more.

use std::time::Duration;

use session_actors::{
    Checkpoint, Limits, Unserved,
    store::{MemoryStore, StoreError},
};
use tokio::time::sleep;

use crate::actor::*;

fn always() -> Limits {
    limits().checkpoint(Checkpoint::Always)
}

#[actix::test]
async fn at_the_end_means_when_it_leaves() {
    let (store, registry, _) = paused(limits());
    registry.send("k", Give(1)).await.unwrap();
    sleep(secs(9)).await;
    assert_eq!(found(&store, "k"), None);
    sleep(secs(2)).await;
    registry.send("k", Give(2)).await.unwrap();
    assert_eq!(found(&store, "k"), Some(vec![1]), "as it was when it left");
    let report = registry.shutdown(secs(5)).await.unwrap();
    assert_eq!((report.drained, report.unsaved), (1, 0));
    assert_eq!(found(&store, "k"), Some(vec![1, 2]));
}

#[actix::test]
async fn an_interval_bounds_what_is_lost() {
    let (store, registry, _) = paused(limits().checkpoint(Checkpoint::Every(secs(3))));
    registry.send("k", Give(1)).await.unwrap();
    for second in 1..=2 {
        sleep(secs(1)).await;
        registry.send("k", Give(second)).await.unwrap();
        assert_eq!(found(&store, "k"), None);
    }
    sleep(secs(1)).await;
    settle().await;
    assert_eq!(found(&store, "k"), Some(vec![1, 1, 2]));
    let commits = store.commits();
    sleep(secs(6)).await;
    assert_eq!(store.commits(), commits, "nothing has changed");
    registry.send("k", Give(5)).await.unwrap();
    sleep(secs(3)).await;
    settle().await;
    assert_eq!(found(&store, "k"), Some(vec![1, 1, 2, 5]));
}

/// A save that failed began the interval anew, so that up to twice as much could be lost.
#[actix::test]
async fn a_checkpoint_that_failed_is_made_as_soon_as_it_can_be() {
    let (store, registry, _) = paused(limits().checkpoint(Checkpoint::Every(secs(3))).passivate_after(None));
    store.faults(|faults| faults.commit = Some(StoreError::Full("no space left".into())));
    registry.send("k", Give(1)).await.unwrap();
    sleep(Duration::from_millis(3_050)).await;
    store.faults(|faults| faults.commit = None);
    // After the first failure it is tried again in 100 ms.
    sleep(Duration::from_millis(100)).await;
    assert_eq!(found(&store, "k"), Some(vec![1]));
}

#[actix::test]
async fn an_interval_sees_what_the_sessions_own_clockwork_does() {
    let (store, registry, _) = paused(limits().checkpoint(Checkpoint::Every(secs(3))).passivate_after(None));
    registry.send("k", Do(|_, ctx| Tally::tick(ctx))).await.unwrap();
    for _ in 0..4 {
        sleep(secs(5)).await;
        let ticks = registry.send("k", Look).await.unwrap().len();
        let saved = found(&store, "k").map_or(0, |given| given.len());
        assert!(saved + 4 >= ticks, "{saved} of {ticks}");
    }
}

#[actix::test]
async fn always_means_that_no_reply_is_ahead_of_the_disk() {
    let (store, registry, _) = paused(always());
    for n in 0..20 {
        let given = match n % 3 {
            0 => registry.send("k", Give(n)).await.unwrap(),
            1 => registry.send("k", GiveSlowly(n, secs(1))).await.unwrap(),
            _ => registry.send("k", GiveOutside(n, secs(1))).await.unwrap(),
        };
        assert_eq!(found(&store, "k"), Some(given));
        let address = registry.open("k").unwrap();
        let given = address.send(Give(100 + n)).await.unwrap();
        assert_eq!(found(&store, "k"), Some(given));
    }
    let commits = store.commits();
    sleep(secs(5)).await;
    assert_eq!(store.commits(), commits, "at rest nothing is saved");
}

/// With a store that fails, what was answered is on disk all the same.
#[actix::test]
async fn always_holds_its_replies_until_the_store_works_again() {
    let (store, registry, mut watch) = paused(always());
    registry.send("k", Give(1)).await.unwrap();
    let down = session_actors::store::StoreError::Unavailable("unplugged".into());
    store.faults(|faults| faults.commit = Some(down));
    let held = actix::spawn(registry.send("k", Give(2)));
    sleep(secs(1)).await;
    assert!(!held.is_finished());
    store.faults(|faults| faults.commit = None);
    sleep(secs(1)).await;
    assert!(held.is_finished());
    assert_eq!(held.await.unwrap().unwrap(), [1, 2]);
    assert_eq!(found(&store, "k"), Some(vec![1, 2]));
    let told = events(&mut watch).await;
    // After 0.1, 0.3 and 0.7 s.
    assert_eq!(
        told,
        [
            "opened k#1",
            "store_failed save k#1",
            "store_failed save k#1",
            "store_failed save k#1",
            "store_failed save k#1"
        ]
    );
}

#[actix::test]
async fn always_tells_who_waits_that_it_could_not_be_saved_in_time() {
    let (store, registry, _) = paused(always());
    let down = session_actors::store::StoreError::Full("no space left on device".into());
    store.faults(|faults| faults.commit = Some(down));
    let refused = registry.send("k", Give(1)).await.unwrap_err();
    let words = refused.to_string();
    assert!(words.contains("handled") && words.contains("could not be saved"), "{words}");
    assert!(matches!(refused, session_actors::SendError::Unserved { cause: Unserved::NotSaved { .. } }));
    // It is there, and saved as soon as that can be.
    assert_eq!(registry.len(), 1);
    store.faults(|faults| faults.commit = None);
    sleep(secs(30)).await;
    assert_eq!(found(&store, "k"), Some(vec![1]));
}

/// Many sessions at work are one batch; on threads, as it is with a disk.
#[actix::test]
async fn sessions_that_are_saved_together_are_one_batch() {
    let store = MemoryStore::new();
    let registry = registry(always(), store.clone());
    let replies: Vec<_> = (0..2_000).map(|n| registry.send(format!("k{}", n % 64), Give(n))).collect();
    for reply in replies {
        reply.await.unwrap();
    }
    let given: usize = (0..64).map(|n| found(&store, &format!("k{n}")).unwrap().len()).sum();
    assert_eq!(given, 2_000);
    assert!(store.commits() < 500, "{} batches", store.commits());
}

/// What was held back counted as work until something else woke the session: it was shown as busy, was no candidate for
/// eviction, and a shutdown waited for it to the end of its time.
#[actix::test]
async fn when_a_reply_has_left_nothing_is_in_flight() {
    // Its answers come from other threads, and wake the session once.
    let registry = registry(always(), MemoryStore::new());
    registry.send("k", Give(1)).await.unwrap();
    settle().await;
    let info = registry.info("k").unwrap();
    assert_eq!(info.in_flight, 0);
    assert!(info.expires_in.is_some_and(|left| left <= secs(60)), "{info:?}");

    let slow = registry.send("k", GiveSlowly(2, Duration::from_millis(50)));
    settle().await;
    // Longer than anybody waits for a test.
    let report = tokio::time::timeout(secs(20), registry.shutdown(secs(3600))).await.expect("in time").unwrap();
    assert_eq!((report.drained, report.unsaved), (1, 0));
    assert_eq!(slow.await.unwrap(), [1, 2]);
}
