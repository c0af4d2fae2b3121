//! Senders against the end of their arbiter, and of the registry.

use session_actors::{EndReason, Limits, OpenError, Policy, SendError, Unserved};

use crate::{
    arena::{Arena, brief, millis, soon, until},
    racer::{By, Plain, StopArbiter, key},
    thread::{Tally, Thread},
};

const KEYS: u64 = 32;

/// Sends until it is refused; what was accepted before is served.
async fn until_refused(mut thread: Thread) -> Tally {
    let mut tally = Tally::default();
    loop {
        let key = key(thread.dice.roll(KEYS) as usize);
        // Mostly without waiting: the more there is on its way, the better.
        let sent = match thread.dice.roll(8) {
            0 => thread.send(&key, &mut tally).await,
            _ => thread.push(&key, &mut tally),
        };
        match sent {
            Ok(()) => thread.rest(20),
            Err(OpenError::ShuttingDown) => return tally,
            Err(error) => panic!("{error:?}"),
        }
    }
}

async fn shutdown(policy: Policy) {
    let arena = Arena::new(policy);
    let tallies = arena
        .threads(4, |thread| async move {
            if thread.number == 0 {
                tokio::time::sleep(millis(10)).await;
                let report = soon("the shutdown", thread.registry.shutdown(millis(5_000))).await.unwrap();
                assert_eq!((report.cut, report.unresponsive), (0, 0));
                return Tally::default();
            }
            until_refused(thread).await
        })
        .await;
    let (book, audit) = arena.close().await;
    Tally::sum(&tallies).check(&book, &audit);
}

#[actix::test]
async fn senders_against_shutdown() {
    for _ in 0..15 {
        shutdown(brief()).await;
        shutdown(Policy::new(Limits::never())).await;
    }
}

/// Each thread has a handle of its own, and lets it go when it has sent what it had to. The last one shuts down; what was
/// pushed before is handled.
#[actix::test]
async fn senders_against_the_drop_of_the_last_handle() {
    for round in 0..20 {
        let arena = Arena::new(Policy::new(Limits::never()));
        let tallies = arena.threads_with_the_last_handles(3, move |mut thread| async move {
            let mut tally = Tally::default();
            for n in 0..20 + 7 * thread.number {
                thread.push(&key((n + round) % KEYS as usize), &mut tally).unwrap();
            }
            thread.rest(200);
            tally
        });
        let (book, audit, tallies) = tallies.await;
        Tally::sum(&tallies).check(&book, &audit);
    }
}

/// One of the two arbiters stops under its sessions. They end as `Aborted`; what waited in their mailboxes goes to the
/// other arbiter, as the keys do.
#[actix::test]
async fn senders_against_the_stop_of_an_arbiter() {
    let arena = Arena::new(Policy::new(Limits::never()));
    let tallies = arena
        .threads(4, move |mut thread| {
            async move {
                let mut tally = Tally::default();
                if thread.number == 0 {
                    tokio::time::sleep(millis(200)).await;
                    soon("a reply", thread.registry.send(key(0), StopArbiter(thread.token(By::Send)))).await.unwrap();
                    tally.answered += 1;
                    return tally;
                }
                while thread.goes_on() {
                    let key = key(thread.dice.roll(KEYS) as usize);
                    match soon("a reply", thread.registry.send(&key, Plain(thread.token(By::Send)))).await {
                        Ok(()) => tally.answered += 1,
                        // Aborted before it had taken a single message: its mail opens nothing.
                        Err(SendError::Unserved { cause: Unserved::Ended { reason: EndReason::Aborted, .. } }) => {
                            tally.unserved += 1;
                        }
                        Err(error) => panic!("{error:?}"),
                    }
                    thread.rest(100);
                }
                tally
            }
        })
        .await;
    // All keys are elsewhere now.
    let mut tally = Tally::sum(&tallies);
    for n in 0..KEYS as usize {
        soon("a reply", arena.registry.send(key(n), Plain(arena.token(By::Send)))).await.unwrap();
        tally.answered += 1;
    }
    let hosts: Vec<_> = arena.registry.list().iter().map(|info| info.host).collect();
    assert!(hosts.len() == KEYS as usize && hosts.iter().all(|host| *host == hosts[0]), "{hosts:?}");
    let (book, audit) = arena.close().await;
    assert_eq!(book.handled(By::Send), tally.answered, "{tally:?}");
    assert_eq!(audit.dropped, tally.unserved, "{tally:?}");
    assert!(audit.ended(EndReason::Aborted) > 0, "{audit:?}");
}

/// Both stop. Whoever sends is told that there is nobody left; nothing stays behind in mailboxes that nobody reads.
#[actix::test]
async fn senders_against_the_stop_of_all_arbiters() {
    for _ in 0..5 {
        let arena = Arena::new(Policy::new(Limits::never()));
        let tallies = arena
            .threads(4, |mut thread| async move {
                if thread.number == 0 {
                    tokio::time::sleep(millis(10)).await;
                }
                let mut tally = Tally::default();
                loop {
                    let key = key(thread.dice.roll(KEYS) as usize);
                    let token = thread.token(By::Send);
                    // Wherever the keys lead to: first to both arbiters, then to the one that is left.
                    let sent = if thread.number == 0 {
                        soon("a reply", thread.registry.send(&key, StopArbiter(token))).await.map_err(whether_told)
                    } else {
                        soon("a reply", thread.registry.send(&key, Plain(token))).await.map_err(whether_told)
                    };
                    match sent {
                        Ok(()) => tally.answered += 1,
                        Err(Told::Refused) => return tally,
                        Err(Told::Unserved) => tally.unserved += 1,
                    }
                    thread.rest(100);
                }
            })
            .await;
        // A thread that stops drops its host first, and then its sessions.
        soon("the end of all", until(|| arena.registry.is_empty())).await;
        let (book, audit) = arena.close().await;
        assert_eq!(book.handled(By::Send), Tally::sum(&tallies).answered);
        assert_eq!(audit.ended(EndReason::Aborted), audit.opened);
    }
}

enum Told {
    Refused,
    Unserved,
}

fn whether_told<M>(error: SendError<M>) -> Told {
    match error {
        SendError::Refused { cause: OpenError::NoHost, .. } => Told::Refused,
        SendError::Unserved { cause: Unserved::HostGone | Unserved::Ended { reason: EndReason::Aborted, .. } } => {
            Told::Unserved
        }
        error => panic!("{error:?}"),
    }
}
