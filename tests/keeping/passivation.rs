//! A session that rests leaves memory, and its next message finds it as it was.

use session_actors::{
    Checkpoint, CloseError, EndReason, Limits, OnFull, OpenError, Policy, store::MemoryStore, store::Store,
};
use tokio::time::{advance, pause, sleep};

use crate::actor::*;

#[actix::test]
async fn a_session_at_rest_leaves_memory_and_comes_back_as_it_was() {
    pause();
    let (store, lives) = (MemoryStore::immediate(), Lives::default());
    let registry = registry_by(Policy::new(limits()), store.clone(), &lives);
    let mut watch = registry.watch();
    registry.send("k", Give(1)).await.unwrap();
    registry.send("k", Give(2)).await.unwrap();
    let opened = registry.info("k").unwrap();
    sleep(secs(9)).await;
    assert_eq!((registry.len(), store.count()), (1, Ok(0)));

    sleep(secs(2)).await;
    assert_eq!(events(&mut watch).await, ["opened k#1", "passivated k#1"]);
    assert_eq!((registry.len(), registry.stats().keys, lives.alive(), lives.stopped()), (0, 0, 0, 1));
    assert!(registry.get("k").is_none() && registry.info("k").is_none());

    sleep(secs(20)).await;
    assert_eq!(registry.send("k", Give(3)).await.unwrap(), [1, 2, 3]);
    assert_eq!(events(&mut watch).await, ["restored k#1"]);
    let info = registry.info("k").unwrap();
    assert_eq!((info.id, info.opened_at, info.handled), (opened.id, opened.opened_at, 3));
    assert_eq!((info.age.as_secs(), info.idle.as_secs()), (31, 0));
    let stats = registry.stats();
    assert_eq!((stats.opened, stats.passivated, stats.restored, stats.live), (1, 1, 1, 1));
}

#[actix::test]
async fn what_is_due_in_the_store_ends_when_it_is_due_and_once() {
    let (store, registry, mut watch) = paused(limits());
    for key in ["a", "b"] {
        registry.send(key, Give(1)).await.unwrap();
        sleep(secs(1)).await;
    }
    sleep(secs(57)).await;
    assert_eq!(events(&mut watch).await, ["opened a#1", "opened b#2", "passivated a#1", "passivated b#2"]);
    // At 60 s.
    sleep(secs(1)).await;
    assert_eq!(events(&mut watch).await, ["ended idle_timeout a#1"]);
    assert_eq!(store.count(), Ok(1));
    sleep(secs(1)).await;
    assert_eq!(events(&mut watch).await, ["ended idle_timeout b#2"]);
    sleep(secs(200)).await;
    assert!(events(&mut watch).await.is_empty());
    let stats = registry.stats();
    assert_eq!((stats.ended.get(EndReason::IdleTimeout), stats.ended_in_store, store.count()), (2, 2, Ok(0)));
    // And begins anew.
    assert_eq!(registry.send("a", Give(5)).await.unwrap(), [5]);
    assert_eq!(events(&mut watch).await, ["opened a#3"]);
}

#[actix::test]
async fn the_max_age_goes_on_in_the_store_and_after_it() {
    let (store, registry, mut watch) = paused(limits().idle_timeout(secs(300)).max_age(secs(100)));
    registry.send("rests", Give(1)).await.unwrap();
    registry.send("comes back", Give(1)).await.unwrap();
    sleep(secs(95)).await;
    registry.send("comes back", Give(2)).await.unwrap();
    events(&mut watch).await;
    sleep(secs(6)).await;
    let mut ended = events(&mut watch).await;
    ended.sort();
    assert_eq!(ended, ["ended max_age comes back#2", "ended max_age rests#1"]);
    assert_eq!(store.count(), Ok(0));
}

#[actix::test]
async fn a_session_that_is_busy_does_not_leave() {
    let (store, registry, mut watch) = paused(limits());
    let slow = registry.send("k", GiveSlowly(1, secs(30)));
    let outside = registry.send("l", GiveOutside(1, secs(30)));
    sleep(secs(29)).await;
    assert_eq!((registry.len(), store.count()), (2, Ok(0)));
    assert_eq!((slow.await.unwrap(), outside.await.unwrap()), (vec![1], vec![1]));
    // The end of work is activity.
    sleep(secs(9)).await;
    assert_eq!(registry.len(), 2);
    sleep(secs(2)).await;
    assert_eq!(registry.len(), 0);
    events(&mut watch).await;

    registry.send("k", Do(|_, ctx| std::mem::forget(ctx.hold()))).await.unwrap();
    sleep(secs(50)).await;
    assert_eq!(registry.len(), 1, "a hold");
}

#[actix::test]
async fn looking_brings_it_back_and_it_leaves_again_at_once() {
    let (_, registry, mut watch) = paused(limits());
    registry.send("k", Give(1)).await.unwrap();
    sleep(secs(11)).await;
    assert_eq!(registry.send("k", Look).await.unwrap(), [1]);
    settle().await;
    assert_eq!(events(&mut watch).await, ["opened k#1", "passivated k#1", "restored k#1", "passivated k#1"]);
    // It was no activity.
    sleep(secs(50)).await;
    assert_eq!(events(&mut watch).await, ["ended idle_timeout k#1"]);
}

#[actix::test]
async fn opening_is_activity_also_of_one_that_comes_back() {
    let (_, registry, _) = paused(limits());
    registry.send("k", Give(1)).await.unwrap();
    sleep(secs(50)).await;
    let address = registry.open("k").unwrap();
    sleep(secs(9)).await;
    assert_eq!(address.send(Look).await.unwrap(), [1], "good for as long as one that was never away");
    sleep(secs(2)).await;
    assert_eq!((registry.len(), address.connected()), (0, false));
}

#[actix::test]
async fn its_own_clockwork_is_saved_as_well_and_does_not_keep_it() {
    // Between two ticks.
    let (_, registry, _) = paused(limits().passivate_after(millis(9_500)));
    registry.send("k", Do(|_, ctx| Tally::tick(ctx))).await.unwrap();
    sleep(secs(10)).await;
    assert_eq!(registry.len(), 0);
    assert_eq!(registry.send("k", Look).await.unwrap(), [0; 9]);
}

fn millis(millis: u64) -> std::time::Duration {
    std::time::Duration::from_millis(millis)
}

#[actix::test]
async fn what_a_session_set_itself_goes_with_it() {
    let (_, registry, mut watch) = paused(limits());
    let set = |_: &mut Tally, ctx: &mut session_actors::SessionContext<Tally>| {
        ctx.set_limits(Limits::new().idle_timeout(secs(500)).passivate_after(secs(5))).unwrap();
    };
    registry.send("k", Do(set)).await.unwrap();
    sleep(secs(6)).await;
    assert_eq!(registry.len(), 0);
    sleep(secs(400)).await;
    registry.send("k", Give(1)).await.unwrap();
    assert_eq!(registry.info("k").unwrap().limits.idle_timeout, Some(secs(500)));
    events(&mut watch).await;
    sleep(secs(499)).await;
    assert_eq!(events(&mut watch).await, ["passivated k#1"]);
    sleep(secs(2)).await;
    assert_eq!(events(&mut watch).await, ["ended idle_timeout k#1"]);
}

/// That they came back with it counted as a change of them.
#[actix::test]
async fn what_a_session_set_itself_is_not_saved_again_for_nothing() {
    let set = |_: &mut Tally, ctx: &mut session_actors::SessionContext<Tally>| {
        ctx.set_limits(Limits::new().idle_timeout(secs(500))).unwrap();
    };
    pause();
    for checkpoint in [Checkpoint::Every(secs(1)), Checkpoint::Always] {
        let store = MemoryStore::immediate();
        let registry = registry(limits().checkpoint(checkpoint), store.clone());
        registry.send("with", Do(set)).await.unwrap();
        registry.send("without", Do(|_, _| ())).await.unwrap();
        sleep(secs(20)).await;
        let mut commits = Vec::new();
        for key in ["with", "without"] {
            let before = store.commits();
            registry.open(key).unwrap();
            // Until it has left again.
            sleep(secs(20)).await;
            commits.push(store.commits() - before);
        }
        assert_eq!(commits[0], commits[1], "{checkpoint:?}");
    }
}

#[actix::test]
async fn mail_that_meets_it_at_the_door_is_handled_in_order() {
    pause();
    let registry = registry(limits(), MemoryStore::immediate());
    let mut expected = Vec::new();
    for round in 0..50u64 {
        let address = registry.open("k").unwrap();
        // To the very moment at which it leaves.
        advance(secs(10)).await;
        let sent: Vec<_> = (0..3)
            .map(|n| {
                let number = round * 10 + n;
                expected.push(number);
                if n % 2 == round % 2 {
                    address.do_send(Give(number))
                } else {
                    registry.do_send("k", Give(number)).unwrap()
                }
            })
            .collect();
        drop(sent);
        for _ in 0..round % 7 {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(registry.send("k", Look).await.unwrap(), expected);
}

#[actix::test]
async fn closing_ends_it_wherever_it_is() {
    let (store, registry, mut watch) = paused(limits());
    registry.send("k", Give(1)).await.unwrap();
    sleep(secs(20)).await;
    events(&mut watch).await;
    let ended = registry.close("k").await.expect("there is one");
    assert_eq!(
        (ended.reason, ended.age.as_secs(), ended.idle.as_secs(), ended.handled),
        (EndReason::Closed, 20, 20, 1)
    );
    assert_eq!(events(&mut watch).await, ["ended closed k#1"]);
    assert_eq!(store.count(), Ok(0));
    assert_eq!(registry.close("k").await, Err(CloseError::NotFound));
    assert_eq!(registry.close("never").await, Err(CloseError::NotFound));

    // In memory, after it was in the store.
    registry.send("k", Give(1)).await.unwrap();
    sleep(secs(20)).await;
    registry.send("k", Give(2)).await.unwrap();
    assert_eq!(registry.close("k").await.expect("there is one").reason, EndReason::Closed);
    assert_eq!((store.count(), registry.stats().keys), (Ok(0), 0));
    assert_eq!(registry.send("k", Give(3)).await.unwrap(), [3]);
}

#[actix::test]
async fn a_close_is_not_lost_between_memory_and_store() {
    let (store, registry, _) = paused(limits());
    for round in 0..20 {
        registry.send("k", Give(1)).await.unwrap();
        advance(secs(10)).await;
        for _ in 0..round {
            tokio::task::yield_now().await;
        }
        assert_eq!(registry.close("k").await.expect("there is one").reason, EndReason::Closed, "{round}");
        assert_eq!((registry.len(), store.count()), (0, Ok(0)));
    }
}

#[actix::test]
async fn to_make_room_it_goes_to_the_store() {
    pause();
    let store = MemoryStore::immediate();
    let policy = Policy::new(limits()).max_sessions(2).on_full(OnFull::EvictIdle);
    let registry = registry_by(policy, store.clone(), &Lives::default());
    let mut watch = registry.watch();
    for (n, key) in ["a", "b", "c"].into_iter().enumerate() {
        registry.send(key, Give(n as u64)).await.unwrap();
        sleep(secs(1)).await;
    }
    assert_eq!(events(&mut watch).await, ["opened a#1", "opened b#2", "passivated a#1", "opened c#3"]);
    assert_eq!(registry.send("a", Give(7)).await.unwrap(), [0, 7]);
    assert_eq!(events(&mut watch).await, ["passivated b#2", "restored a#1"]);
}

#[actix::test]
async fn a_new_policy_holds_in_the_store_too() {
    let (store, registry, mut watch) = paused(limits().idle_timeout(secs(1000)));
    for n in 0..600u64 {
        registry.send(format!("k{n}"), Give(n)).await.unwrap();
    }
    sleep(secs(20)).await;
    events(&mut watch).await;
    registry.set_policy(Policy::new(limits().idle_timeout(secs(30)))).unwrap();
    sleep(secs(5)).await;
    assert_eq!(store.count(), Ok(600));
    sleep(secs(6)).await;
    assert_eq!(store.count(), Ok(0));
    assert_eq!(registry.stats().ended_in_store, 600);

    // Longer as well.
    registry.send("k", Give(1)).await.unwrap();
    sleep(secs(20)).await;
    registry.set_policy(Policy::new(limits().idle_timeout(secs(1000)))).unwrap();
    sleep(secs(900)).await;
    assert_eq!(store.count(), Ok(1));
}

/// Whoever was refused used to be told to come back when the first session is due to end, though one leaves memory
/// long before.
#[actix::test]
async fn who_is_refused_is_told_when_the_first_will_have_left() {
    pause();
    let policy = Policy::new(limits()).max_sessions(1);
    let registry = registry_by(policy, MemoryStore::immediate(), &Lives::default());
    registry.send("k", Give(1)).await.unwrap();
    sleep(secs(3)).await;
    match registry.open("l") {
        Err(OpenError::AtCapacity { retry_after: Some(after), .. }) => assert_eq!(after.as_secs_f64().ceil(), 7.0),
        other => panic!("{other:?}"),
    }
    sleep(secs(8)).await;
    registry.open("l").unwrap();
}
