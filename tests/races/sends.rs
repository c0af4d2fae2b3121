//! Senders against sessions that end by their own limits.

use std::time::Duration;

use session_actors::{EndReason, Limits, Policy};

use crate::{
    arena::{Arena, brief, millis, soon},
    racer::{By, Plain, key},
    thread::{Tally, Thread},
};

/// Sends to a few keys until the race is over; nothing may be refused.
async fn sender(mut thread: Thread, keys: u64) -> Tally {
    let mut tally = Tally::default();
    while thread.goes_on() {
        thread.round(keys, &mut tally).await.unwrap();
    }
    tally
}

async fn race(policy: Policy, keys: u64, reason: EndReason) {
    let arena = Arena::new(policy);
    let tally = Tally::sum(&arena.threads(4, move |thread| sender(thread, keys)).await);
    let (book, audit) = arena.close().await;
    tally.check(&book, &audit);
    assert!(audit.ended(reason) > 10, "no race: {audit:?}");
}

#[actix::test]
async fn senders_against_sessions_that_go_idle_every_millisecond() {
    race(brief(), 32, EndReason::IdleTimeout).await;
}

#[actix::test]
async fn senders_against_sessions_that_are_old_after_a_millisecond() {
    let limits = Limits::new().idle_timeout(None).max_age(millis(1)).drain_timeout(Duration::from_secs(5));
    race(Policy::new(limits), 32, EndReason::MaxAge).await;
}

/// Dapr's reminders against a timeout of a nanosecond, on two hosts: all fire.
#[actix::test]
async fn a_timeout_of_a_nanosecond_loses_no_message() {
    let limits = Limits::new().idle_timeout(Duration::from_nanos(1)).max_age(None);
    race(Policy::new(limits), 32, EndReason::IdleTimeout).await;
}

/// Dapr's DeleteCacheRace: get-or-create against an idle timeout of ten milliseconds.
#[actix::test]
async fn ten_thousand_opens_against_ten_milliseconds() {
    const OPENS: usize = 10_000;
    const THREADS: usize = 4;
    let arena = Arena::new(Policy::new(Limits::new().idle_timeout(millis(10)).max_age(None)));
    let tallies = arena
        .threads(THREADS, |thread| async move {
            let mut tally = Tally::default();
            for n in 0..OPENS / THREADS {
                // Now one that may just be going, now one that has gone long ago.
                let key = key((n * 7 + thread.number) % 1_000);
                let addr = thread.registry.open(&key).unwrap();
                match soon("a request", addr.send(Plain(thread.token(By::Ask)))).await {
                    Ok(()) => tally.asked += 1,
                    Err(_) => tally.closed += 1,
                }
            }
            tally
        })
        .await;
    let tally = Tally::sum(&tallies);
    let (book, audit) = arena.close().await;
    tally.check(&book, &audit);
    // An address is good for the idle timeout: unless its thread was kept waiting that long, it leads to somebody.
    assert!(tally.closed * 4 < tally.asked, "{tally:?}");
    assert!(audit.ended(EndReason::IdleTimeout) > 0);
}

/// Orleans' collector: 500 that are called all the time and 500 that are not. After the timeout it is exactly the idle
/// ones that have gone.
#[actix::test]
async fn the_idle_half_goes_and_the_called_half_stays() {
    const HALF: usize = 500;
    let arena = Arena::new(Policy::new(Limits::new().idle_timeout(millis(1_500)).max_age(None)));
    for n in 0..2 * HALF {
        soon("a reply", arena.registry.send(key(n), Plain(arena.token(By::Send)))).await.unwrap();
    }
    let registry = arena.registry.clone();
    let tallies = arena
        .threads(3, move |thread| {
            let registry = registry.clone();
            async move {
                let mut tally = Tally::default();
                // One of the threads only looks, which keeps nobody.
                while registry.len() > HALF {
                    for n in 0..HALF {
                        if thread.number == 0 {
                            let _ = registry.info(key(HALF + n));
                        } else if n % 2 == thread.number - 1 {
                            thread.send_by_registry(&key(n), Plain(thread.token(By::Send)), &mut tally).await.unwrap();
                        }
                    }
                    tokio::time::sleep(millis(20)).await;
                }
                tally
            }
        })
        .await;
    let mut left: Vec<_> = arena.registry.list().iter().map(|info| (info.key.to_string(), info.id.get())).collect();
    left.sort_unstable();
    let mut called: Vec<_> = (0..HALF).map(|n| (key(n), n as u64 + 1)).collect();
    called.sort_unstable();
    assert_eq!(left, called, "the same sessions, never ended and opened again");
    let mut tally = Tally::sum(&tallies);
    tally.answered += 2 * HALF as u64;
    let (book, audit) = arena.close().await;
    tally.check(&book, &audit);
    assert_eq!(audit.ended(EndReason::IdleTimeout), HALF as u64);
}
