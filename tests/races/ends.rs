//! Senders against whatever else ends sessions while they run: close, eviction, policies, panics.

use session_actors::{EndReason, Limits, Mode, OnFull, OpenError, Policy, SendError, Unserved};

use crate::{
    arena::{Arena, Tally, Thread, brief, millis, soon},
    racer::{Boom, By, Plain, key},
};

const KEYS: u64 = 32;

/// Keeps its sessions for as long as nobody does anything about them.
fn lasting() -> Policy {
    Policy::new(Limits::never())
}

fn any_key(thread: &mut Thread, keys: u64) -> String {
    key(thread.dice.roll(keys) as usize)
}

async fn sender(mut thread: Thread) -> Tally {
    let mut tally = Tally::default();
    while thread.goes_on() {
        thread.round(KEYS, &mut tally).await.unwrap();
    }
    tally
}

#[actix::test]
async fn senders_against_close() {
    let arena = Arena::new(lasting());
    let tallies = arena
        .threads(4, |mut thread| async move {
            if thread.number > 0 {
                return sender(thread).await;
            }
            while thread.goes_on() {
                // All at once, so that they end while messages come in.
                let closing: Vec<_> = (0..KEYS as usize).map(|number| thread.registry.close(key(number))).collect();
                for closing in closing {
                    let ended = soon("a close", closing).await;
                    assert!(ended.is_none_or(|ended| ended.reason == EndReason::Closed));
                }
                thread.rest(500);
            }
            Tally::default()
        })
        .await;
    let (book, audit) = arena.close().await;
    Tally::sum(&tallies).check(&book, &audit);
    assert!(audit.ended(EndReason::Closed) > 20, "no race: {audit:?}");
}

/// More keys than there is room for, from several threads: never more live than the cap, everybody who is let in is
/// served, everybody else is told.
#[actix::test]
async fn opens_against_eviction_at_a_small_cap() {
    const CAP: usize = 4;
    let arena = Arena::new(lasting().max_sessions(CAP).on_full(OnFull::EvictIdle));
    let tallies = arena
        .threads(4, |mut thread| async move {
            let mut tally = Tally::default();
            while thread.goes_on() {
                let key = any_key(&mut thread, 16);
                match soon("a reply", thread.registry.send(&key, Plain(thread.token(By::Send)))).await {
                    Ok(()) => tally.answered += 1,
                    Err(SendError::Refused { cause: OpenError::AtCapacity { limit: CAP, .. }, .. }) => {
                        tally.refused += 1
                    }
                    // The slot it was promised went to the successor of whoever was to go for it.
                    Err(SendError::Unserved { cause: Unserved::NoRoom }) => tally.unserved += 1,
                    Err(error) => panic!("{error:?}"),
                }
                thread.rest(100);
            }
            tally
        })
        .await;
    let tally = Tally::sum(&tallies);
    let stats = arena.registry.stats();
    assert!(stats.keys <= CAP && stats.waiting == 0, "{stats:?}");
    let (book, audit) = arena.close().await;
    tally.check(&book, &audit);
    assert!(audit.most <= CAP, "{} live at a cap of {CAP}", audit.most);
    assert_eq!(stats.refused, tally.refused);
    // Each newcomer that is turned away may have had several senders.
    assert!(audit.start_failed <= tally.unserved, "{audit:?}, {tally:?}");
    assert!(audit.ended(EndReason::Evicted) > 20, "no race: {audit:?}");
}

/// One caller, one slot, two keys in turn: there is always exactly one idle session, which has to make room.
#[actix::test]
async fn a_single_caller_at_the_cap_is_always_let_in() {
    let arena = Arena::new(lasting().max_sessions(1).on_full(OnFull::EvictIdle));
    let tallies = arena
        .threads(1, |mut thread| async move {
            let mut tally = Tally::default();
            let mut number = 0;
            while thread.goes_on() {
                let message = Plain(thread.token(By::Send));
                thread.send_by_registry(&key(number % 2), message, &mut tally).await.unwrap();
                number += 1;
                thread.rest(20);
            }
            tally
        })
        .await;
    let (book, audit) = arena.close().await;
    tallies[0].check(&book, &audit);
    assert_eq!(audit.opened, tallies[0].answered, "each evicts the other");
    assert_eq!(audit.most, 1);
}

/// The limits change under everybody, and the mode, and the cap, all the time.
#[actix::test]
async fn senders_against_policies() {
    let arena = Arena::new(brief());
    let tallies = arena
        .threads(4, |mut thread| async move {
            if thread.number == 0 {
                while thread.goes_on() {
                    let policy = match thread.dice.roll(4) {
                        0 => brief(),
                        1 => lasting(),
                        2 => brief().mode(Mode::Observe),
                        _ => Policy::new(Limits::new().idle_timeout(None).max_age(millis(1))),
                    };
                    thread.registry.set_policy(policy.max_sessions(64)).unwrap();
                    thread.rest(2_500);
                }
                return Tally::default();
            }
            sender(thread).await
        })
        .await;
    let (book, audit) = arena.close().await;
    Tally::sum(&tallies).check(&book, &audit);
    assert!(audit.ended.len() > 1 && audit.opened > 20, "no race: {audit:?}");
}

/// A message that panics its session is told so; every other is served.
#[actix::test]
async fn senders_against_panics() {
    let arena = Arena::new(brief());
    let tallies = arena
        .threads(4, |mut thread| async move {
            if thread.number > 0 {
                thread.cuts = Some(EndReason::Panicked);
                return sender(thread).await;
            }
            let mut tally = Tally::default();
            while thread.goes_on() {
                let key = any_key(&mut thread, KEYS);
                match soon("a reply", thread.registry.send(&key, Boom(thread.token(By::Send)))).await {
                    Err(SendError::Unserved { cause: Unserved::Ended { reason: EndReason::Panicked, panic } }) => {
                        assert_eq!(panic.as_deref(), Some("provoked"));
                        // It was handled, after all.
                        tally.answered += 1;
                    }
                    other => panic!("{other:?}"),
                }
                thread.rest(200);
            }
            tally
        })
        .await;
    let (book, audit) = arena.close().await;
    let panics = tallies[0].answered;
    Tally::sum(&tallies).check(&book, &audit);
    assert_eq!(audit.ended(EndReason::Panicked), panics);
    assert!(panics > 20, "no race: {audit:?}");
}
