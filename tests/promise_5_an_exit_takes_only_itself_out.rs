//! Promise 5, second part: an exit removes only its own incarnation, however late it comes.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

#[path = "support/guard.rs"]
mod guard;
mod support;

use actix::prelude::*;
use futures_util::future::join;
use session_actors::EndReason;
use tokio::time::{Instant, pause, sleep};

use crate::{
    guard::{assert_due_now, quiet_provoked_panics},
    support::{Boom, Log, Ping, Probe, Slow, Stop, TakeHold, limits, millis, next_end, registry, secs, settle},
};

#[actix::test]
async fn a_late_exit_does_not_take_out_its_successor() {
    pause();
    let log = Log::default();
    let registry = registry(limits(), &log);
    let mut watch = registry.watch();
    let began = Instant::now();
    // The first is held beyond its close, and meanwhile there is a second, which waits.
    let hold = registry.send("k", TakeHold).await.unwrap();
    let first = registry.info("k").unwrap().id;
    let closing = registry.close("k");
    settle().await;
    let second = registry.open("k").unwrap();
    let answer = second.send(Ping);
    settle().await;
    assert_eq!(registry.info("k").unwrap().id, first);

    drop(hold);
    assert_eq!(closing.await.unwrap().reason, EndReason::Closed);
    assert_eq!(answer.await.unwrap(), 1);
    assert_due_now(began, millis(0));
    // Everything leads to the second, and goes on doing so.
    sleep(secs(9)).await;
    assert_eq!(registry.get("k").unwrap(), second);
    assert!(registry.info("k").unwrap().id > first);
    assert_eq!(registry.send("k", Ping).await.unwrap(), 2);
    assert_eq!(next_end(&mut watch).await.1.reason, EndReason::Closed);
    assert_eq!(registry.len(), 1);
}

/// However the first of three ends while the second waits, and then the second while the third does.
#[actix::test]
async fn every_kind_of_exit_leaves_the_successor_alone() {
    pause();
    quiet_provoked_panics();
    type End = (EndReason, fn(&Addr<Probe>));
    let ends: [End; 4] = [
        // Cut, 5 s after its close.
        (EndReason::Closed, |_| {}),
        (EndReason::Closed, |addr| addr.do_send(Stop)),
        (EndReason::Panicked, |addr| addr.do_send(Boom("provoked"))),
        (EndReason::Closed, |addr| addr.do_send(Ping)),
    ];
    for (reason, end) in ends {
        let log = Log::default();
        let registry = registry(limits(), &log);
        let mut watch = registry.watch();
        let mut previous = registry.open("k").unwrap();
        for _ in 0..3 {
            previous.do_send(Slow(secs(60)));
            settle().await;
            drop(registry.close("k"));
            settle().await;
            let next = registry.open("k").unwrap();
            assert!(next != previous);
            end(&previous);
            assert_eq!(next_end(&mut watch).await.1.reason, reason);
            assert_eq!(next.send(Ping).await.unwrap(), 1);
            assert_eq!(registry.get("k").unwrap(), next);
            assert_eq!((registry.len(), registry.stats().waiting, registry.stats().keys), (1, 0, 1));
            previous = next;
        }
    }
}

#[actix::test]
async fn a_start_that_fails_takes_out_nothing_but_itself() {
    pause();
    quiet_provoked_panics();
    let log = Log::default();
    let registry = registry(limits(), &log);
    let neighbour = registry.open("neighbour").unwrap();
    let failing = registry.open_with("k", |_| panic!("provoked")).unwrap();
    settle().await;
    assert!(registry.get("k").is_none());
    assert!(!failing.connected());
    assert_eq!(registry.stats().keys, 1);

    assert_eq!(registry.send("k", Ping).await.unwrap(), 1);
    assert_eq!(neighbour.send(Ping).await.unwrap(), 1);
    // Nor one that fails while it waits behind another.
    let hold = registry.send("k", TakeHold).await.unwrap();
    let closing = registry.close("k");
    settle().await;
    drop(registry.open_with("k", |_| panic!("provoked")).unwrap());
    drop(hold);
    closing.await.unwrap();
    settle().await;
    assert!(registry.get("k").is_none());
    assert_eq!((registry.len(), registry.stats().waiting, registry.stats().keys), (1, 0, 1));
    assert_eq!(registry.send("k", Ping).await.unwrap(), 1);
}

#[actix::test]
async fn all_who_wait_for_one_end_are_told_the_same() {
    pause();
    let log = Log::default();
    let registry = registry(limits(), &log);
    let hold = registry.send("k", TakeHold).await.unwrap();
    let first = registry.close("k");
    settle().await;
    // It drains already: this waits for the same end, and changes nothing.
    let second = registry.close("k");
    drop(registry.close("k"));
    let (first, second) = join(first, second).await;
    let ended = first.unwrap();
    assert_eq!((ended.reason, ended.cut), (EndReason::Closed, 1));
    assert_eq!(second.unwrap(), ended);
    drop(hold);

    assert!(registry.close("k").await.is_none());
    assert!(registry.close("never opened").await.is_none());
    assert!(registry.is_empty());
}
