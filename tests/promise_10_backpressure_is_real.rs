//! Promise 10: backpressure is real. `mailbox_capacity` bounds what waits for one session; beyond
//! it `send` and `try_send` give the message back as `Full`. `do_send` always queues.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

#[path = "support/exact.rs"]
mod exact;
mod support;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
    mpsc,
};

use actix::prelude::*;
use exact::{Stopwatch, inside, until};
use session_actors::{Limits, OnFull, Policy, SendError, SessionKey, SessionRegistry};
use support::*;
use tokio::time::{sleep, timeout};

/// Sessions for whom this many messages may wait.
fn bounded(capacity: usize, policy: Policy, log: &Log) -> SessionRegistry<Probe> {
    let log = log.clone();
    SessionRegistry::builder(move |key| Probe::new(key, &log))
        .policy(policy)
        .mailbox_capacity(capacity)
        .start()
        .unwrap()
}

fn roomy() -> Policy {
    Policy::new(limits().idle_timeout(None).max_age(None))
}

/// Keeps the session of this key from taking mail for so many seconds.
async fn block(registry: &SessionRegistry<Probe>, key: &str, seconds: u64) {
    let addr = registry.open(key).unwrap();
    inside(&addr, move |act, ctx| ctx.wait(sleep(secs(seconds)).into_actor(act))).await;
}

/// Sends by `try_send` until it is refused; how many were accepted.
fn fill(registry: &SessionRegistry<Probe>, key: &str) -> usize {
    for accepted in 0..100_000 {
        match registry.try_send(key, Note("filled")) {
            Ok(()) => {}
            Err(SendError::Full { message: Note("filled") }) => return accepted,
            Err(other) => panic!("{other:?}"),
        }
    }
    panic!("it is never full");
}

#[actix::test]
async fn by_default_1024_messages_may_wait() {
    tokio::time::pause();
    let registry = registry_by(roomy(), &Log::default());
    block(&registry, "k", 10).await;
    assert_eq!(fill(&registry, "k"), 1024);
}

#[actix::test]
async fn beyond_its_capacity_messages_are_given_back() {
    tokio::time::pause();
    for capacity in [1, 2, 7] {
        let log = Log::default();
        let registry = bounded(capacity, roomy(), &log);
        block(&registry, "k", 10).await;
        let replies: Vec<_> = (0..capacity).map(|_| registry.send("k", Note("accepted"))).collect();

        let sent = registry.send("k", Note("sent")).await.unwrap_err();
        assert!(matches!(sent, SendError::Full { message: Note("sent") }), "{sent:?}");
        let tried = registry.try_send("k", Note("tried")).unwrap_err();
        assert_eq!(tried.into_message().unwrap().0, "tried");

        for reply in replies {
            reply.await.unwrap();
        }
        assert_eq!(log.count("accepted"), capacity);
        assert_eq!((log.count("sent"), log.count("tried")), (0, 0), "what was given back is not handled");
    }
}

#[actix::test]
async fn as_mail_is_taken_there_is_room_again() {
    let clock = Stopwatch::start();
    let log = Log::default();
    let registry = bounded(3, roomy(), &log);
    for round in 0..50 {
        clock.reach(secs(round * 10)).await;
        block(&registry, "k", 1).await;
        assert_eq!(fill(&registry, "k"), 3, "round {round}");
        clock.reach(secs(round * 10 + 5)).await;
        assert_eq!(registry.send("k", Ping).await.unwrap(), (round + 1) * 5);
    }
    assert_eq!(log.count("filled"), 150);
}

#[actix::test]
async fn each_session_has_a_bound_of_its_own() {
    tokio::time::pause();
    let registry = bounded(2, roomy(), &Log::default());
    block(&registry, "full", 10).await;
    fill(&registry, "full");
    for _ in 0..100 {
        registry.send("other", Ping).await.unwrap();
    }
    assert!(matches!(registry.try_send("full", Ping), Err(SendError::Full { .. })));
}

// ---- do_send -----------------------------------------------------------------------------------

#[actix::test]
async fn do_send_always_queues() {
    tokio::time::pause();
    let log = Log::default();
    let registry = bounded(2, roomy(), &log);
    block(&registry, "k", 10).await;
    fill(&registry, "k");
    let addr = registry.get("k").unwrap();
    for _ in 0..500 {
        registry.do_send("k", Note("queued")).unwrap();
        addr.do_send(Note("queued"));
    }
    assert!(matches!(registry.try_send("k", Note("refused")), Err(SendError::Full { .. })));
    until(|| log.count("queued") == 1000).await;
    assert_eq!((log.count("filled"), log.count("refused")), (2, 0));
}

/// What `do_send` has queued waits like anything else.
#[actix::test]
async fn what_do_send_has_queued_fills_the_mailbox() {
    tokio::time::pause();
    let registry = bounded(4, roomy(), &Log::default());
    block(&registry, "k", 10).await;
    for _ in 0..4 {
        registry.do_send("k", Note("queued")).unwrap();
    }
    let error = registry.try_send("k", Note("one too many"));
    assert!(matches!(error, Err(SendError::Full { .. })), "{error:?}");
}

/// What comes past the registry it cannot count. It sees that the mailbox is full by what it puts
/// there itself: one message, as in actix, where each sender has a slot.
#[actix::test]
async fn a_flood_by_address_is_seen_after_one_message() {
    tokio::time::pause();
    let registry = bounded(4, roomy(), &Log::default());
    block(&registry, "k", 10).await;
    let addr = registry.get("k").unwrap();
    for _ in 0..100 {
        addr.do_send(Note("queued"));
    }
    assert!(fill(&registry, "k") <= 1);
}

#[actix::test]
async fn a_capacity_of_zero_is_no_bound() {
    tokio::time::pause();
    let log = Log::default();
    let registry = bounded(0, roomy(), &log);
    block(&registry, "k", 10).await;
    for _ in 0..5000 {
        registry.try_send("k", Note("queued")).unwrap();
    }
    registry.send("k", Ping).await.unwrap();
    assert_eq!(log.count("queued"), 5000);
}

#[actix::test]
async fn a_session_may_change_its_own_bound() {
    let clock = Stopwatch::start();
    let registry = bounded(2, roomy(), &Log::default());
    let addr = registry.open("k").unwrap();
    inside(&addr, |_, ctx| ctx.set_mailbox_capacity(5)).await;
    block(&registry, "k", 1).await;
    assert_eq!(fill(&registry, "k"), 5);
    clock.reach(secs(5)).await;
    inside(&addr, |_, ctx| ctx.set_mailbox_capacity(1)).await;
    block(&registry, "k", 1).await;
    assert_eq!(fill(&registry, "k"), 1);
    // It is the incarnation's; the next begins with the builder's.
    registry.close("k").await.unwrap();
    block(&registry, "k", 1).await;
    assert_eq!(fill(&registry, "k"), 2);
}

/// However large: the counts of the mailbox do not run over.
#[actix::test]
async fn a_bound_may_be_as_large_as_can_be_said() {
    tokio::time::pause();
    let registry = bounded((usize::MAX >> 2) - 1, roomy(), &Log::default());
    assert_eq!(registry.send("k", Ping).await.unwrap(), 1);
    let addr = registry.open("k").unwrap();
    inside(&addr, |_, ctx| ctx.set_mailbox_capacity(usize::MAX)).await;
    let again = registry.open("k").unwrap();
    assert_eq!(again.clone().send(Ping).await.unwrap(), 3);
}

// ---- mail that waits for a session to begin ----------------------------------------------------

#[actix::test]
async fn the_mail_of_a_session_that_has_not_begun_is_bounded() {
    tokio::time::pause();
    let log = Log::default();
    let registry = bounded(3, roomy(), &log);
    // Nothing has run yet.
    assert_eq!(fill(&registry, "k"), 3);
    settle().await;
    assert_eq!(log.count("filled"), 3);
}

#[actix::test]
async fn the_mail_of_a_waiting_successor_is_bounded() {
    tokio::time::pause();
    let log = Log::default();
    let registry = bounded(3, roomy(), &log);
    let hold = registry.send("k", TakeHold).await.unwrap();
    let closing = registry.close("k");
    settle().await;
    assert_eq!(fill(&registry, "k"), 3);
    assert_eq!(registry.stats().waiting, 1);
    drop(hold);
    closing.await.unwrap();
    settle().await;
    assert_eq!(log.count("filled"), 3);
}

#[actix::test]
async fn the_mail_of_a_newcomer_is_bounded() {
    tokio::time::pause();
    let log = Log::default();
    let registry = bounded(3, roomy().max_sessions(1).on_full(OnFull::EvictIdle), &log);
    let _ = registry.open("victim").unwrap();
    settle().await;
    assert_eq!(fill(&registry, "newcomer"), 3);
    settle().await;
    assert_eq!(log.count("filled"), 3);
}

/// A bound refuses at the door; what is inside goes on to the successors.
#[actix::test]
async fn leftovers_beyond_the_bound_are_not_lost() {
    tokio::time::pause();
    let log = Log::default();
    let registry = bounded(2, roomy(), &log);
    registry.do_send("k", Stop).unwrap();
    for _ in 0..100 {
        registry.do_send("k", Note("left")).unwrap();
    }
    until(|| log.count("left") == 100).await;
    assert_eq!(log.count("started"), 2);
}

/// A message whose caller has gone takes up room until the session sees it.
#[actix::test]
async fn a_cancelled_message_gives_its_room_back_when_its_turn_comes() {
    let clock = Stopwatch::start();
    let registry = bounded(2, roomy(), &Log::default());
    block(&registry, "k", 1).await;
    drop((registry.send("k", Ping), registry.send("k", Ping)));
    assert!(matches!(registry.try_send("k", Ping), Err(SendError::Full { .. })));
    clock.reach(secs(2)).await;
    assert_eq!(registry.send("k", Ping).await.unwrap(), 2, "the two were not handled");
}

// ---- on several threads ------------------------------------------------------------------------

/// For each of many keys two threads race for the one place that there is. Nothing is taken
/// meanwhile: the thread of the sessions is blocked.
#[actix::test]
async fn senders_on_several_threads_share_one_bound() {
    const KEYS: usize = 3_000;
    let log = Log::default();
    let registry = {
        let log = log.clone();
        SessionRegistry::builder(move |key| Probe::new(key, &log))
            .policy(Policy::new(Limits::never()))
            .mailbox_capacity(1)
            .arbiters(1)
            .start()
            .unwrap()
    };
    let (unblock, blocked) = mpsc::channel::<()>();
    let (entered, is_blocked) = gate();
    let blocking = registry.send(
        "blocking",
        Run::new(move |_, _| {
            entered.send(()).unwrap();
            let _ = blocked.recv();
        }),
    );
    timeout(secs(30), is_blocked).await.unwrap().unwrap();
    let keys: Arc<Vec<SessionKey>> = Arc::new((0..KEYS).map(|n| SessionKey::new(format!("k{n}")).unwrap()).collect());
    for key in keys.iter() {
        let _ = registry.open(key).unwrap();
    }
    let arrived = Arc::new(AtomicUsize::new(0));
    let racers: Vec<_> = (0..2)
        .map(|_| {
            let (registry, keys, arrived) = (registry.clone(), Arc::clone(&keys), Arc::clone(&arrived));
            std::thread::spawn(move || {
                let race = |(n, key)| {
                    arrived.fetch_add(1, Ordering::SeqCst);
                    // Spins, to be there at the same moment; but not if the other one has no processor.
                    let mut spins = 0;
                    while arrived.load(Ordering::SeqCst) < 2 * (n + 1) {
                        spins += 1;
                        if spins > 2_000 {
                            std::thread::yield_now();
                        }
                    }
                    registry.try_send(key, Note("accepted")).is_ok()
                };
                keys.iter().enumerate().map(race).collect::<Vec<bool>>()
            })
        })
        .collect();
    let accepted: Vec<Vec<bool>> = racers.into_iter().map(|racer| racer.join().unwrap()).collect();
    let twice = (0..KEYS).filter(|&n| accepted[0][n] && accepted[1][n]).count();
    let never = (0..KEYS).filter(|&n| !accepted[0][n] && !accepted[1][n]).count();
    assert_eq!((twice, never), (0, 0), "one of the two, for each key");
    unblock.send(()).unwrap();
    timeout(secs(30), blocking).await.unwrap().unwrap();
    until(|| log.count("accepted") == KEYS).await;
}
