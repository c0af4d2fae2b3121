//! Senders against whatever else ends sessions while they run: close, eviction, policies, panics.

use std::time::Duration;

use session_actors::{EndReason, Limits, Mode, OnFull, OpenError, Policy, SendError, Unserved};

use crate::{
    arena::{Arena, brief, millis, soon},
    racer::{Boom, By, Plain, Slow, key},
    thread::{Tally, Thread},
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
                    assert!(ended.ok().is_none_or(|ended| ended.reason == EndReason::Closed));
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

/// Sends to more keys than there is room for, some with work that takes a while.
async fn crowd(mut thread: Thread) -> Tally {
    let mut tally = Tally::default();
    while thread.goes_on() {
        let key = any_key(&mut thread, 16);
        let sent = match thread.dice.roll(4) {
            0 => {
                let time = Duration::from_micros(thread.dice.roll(1_000));
                soon("a reply", thread.registry.send(&key, Slow(thread.token(By::Send), time))).await.map_err(why)
            }
            _ => soon("a reply", thread.registry.send(&key, Plain(thread.token(By::Send)))).await.map_err(why),
        };
        match sent {
            Ok(()) => tally.answered += 1,
            Err(Why::Refused) => tally.refused += 1,
            Err(Why::NoRoom) => tally.unserved += 1,
        }
        thread.rest(100);
    }
    tally
}

enum Why {
    Refused,
    /// The slot it was promised went to the successor of whoever was to go for it, or the cap was lowered.
    NoRoom,
}

fn why<M>(error: SendError<M>) -> Why {
    match error {
        SendError::Refused { cause: OpenError::AtCapacity { .. }, .. } => Why::Refused,
        SendError::Unserved { cause: Unserved::NoRoom } => Why::NoRoom,
        error => panic!("{error:?}"),
    }
}

/// Never more live than the cap, everybody who is let in is served, everybody else is told.
#[actix::test]
async fn opens_against_eviction_at_a_small_cap() {
    const CAP: usize = 4;
    let arena = Arena::new(lasting().max_sessions(CAP).on_full(OnFull::EvictIdle));
    let tally = Tally::sum(&arena.threads(4, crowd).await);
    let stats = arena.registry.stats();
    assert!(stats.keys <= CAP && stats.waiting == 0, "{stats:?}");
    assert_eq!(stats.refused, tally.refused);
    let (book, audit) = arena.close().await;
    tally.check(&book, &audit);
    assert!(audit.most <= CAP, "{} live at a cap of {CAP}", audit.most);
    // Each newcomer that is turned away may have had several senders.
    assert!(audit.start_failed <= tally.unserved, "{audit:?}, {tally:?}");
    assert!(audit.ended(EndReason::Evicted) > 10, "no race: {audit:?}");
}

/// The cap goes up and down under newcomers that wait for their slots; none of them is forgotten.
#[actix::test]
async fn opens_against_caps_that_change() {
    let arena = Arena::new(brief());
    let tallies = arena
        .threads(4, |mut thread| async move {
            if thread.number > 0 {
                return crowd(thread).await;
            }
            while thread.goes_on() {
                let cap = [None, Some(1), Some(2), Some(8)][thread.dice.roll(4) as usize];
                let on_full = if thread.dice.roll(4) == 0 { OnFull::Reject } else { OnFull::EvictIdle };
                thread.registry.set_policy(brief().max_sessions(cap).on_full(on_full)).unwrap();
                thread.rest(1_000);
            }
            Tally::default()
        })
        .await;
    let tally = Tally::sum(&tallies);
    assert_eq!(arena.registry.stats().refused, tally.refused);
    let (book, audit) = arena.close().await;
    tally.check(&book, &audit);
    assert!(audit.start_failed <= tally.unserved, "{audit:?}, {tally:?}");
    assert!(audit.ended(EndReason::Evicted) > 10, "no race: {audit:?}");
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
