//! Promise 5, second part: an exit removes only its own incarnation, however late it comes.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

#[path = "support/guard.rs"]
mod guard;
mod support;

use std::{
    future::pending,
    sync::{Arc, Mutex},
};

use actix::prelude::*;
use futures_util::{FutureExt, future::join};
use session_actors::{CloseError, Closing, EndReason, Policy, SessionRegistry};
use tokio::time::{Instant, pause, sleep};

use crate::{
    guard::{assert_due_now, quiet_provoked_panics},
    support::{
        Boom, Log, Ping, Probe, Run, Slow, Stop, TakeHold, limits, millis, next_end, registry, registry_by, secs,
        settle,
    },
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

    assert_eq!(registry.close("k").await, Err(CloseError::NotFound));
    assert_eq!(registry.close("never opened").await, Err(CloseError::NotFound));
    assert!(registry.is_empty());
}

/// Notes, when it is dropped, whether who waits for the end has been told, and how many keys have a slot.
#[derive(Message)]
#[rtype(result = "()")]
struct Last {
    closing: Arc<Mutex<Option<Closing>>>,
    registry: SessionRegistry<Probe>,
    log: Log,
}

impl Handler<Last> for Probe {
    type Result = ();

    fn handle(&mut self, _: Last, _: &mut Self::Context) {}
}

impl Drop for Last {
    fn drop(&mut self) {
        let told = self.closing.lock().unwrap().take().map(|closing| closing.now_or_never().is_some());
        self.log.note(format!("told: {told:?}, keys: {}", self.registry.stats().keys));
        // Nor does the key wait for what this may still do.
        drop(self.registry.open("k").unwrap());
    }
}

/// It is the user's, and may take its time.
#[actix::test]
async fn what_nobody_will_handle_is_dropped_when_whoever_waits_has_been_told() {
    pause();
    let log = Log::default();
    let registry = registry_by(Policy::new(limits()).max_sessions(1), &Log::default());
    let mut watch = registry.watch();
    registry.send("k", Run::new(|act, ctx| ctx.wait(pending::<()>().into_actor(act)))).await.unwrap();
    let closing = Arc::new(Mutex::new(None));
    let last = Last { closing: Arc::clone(&closing), registry: registry.clone(), log: log.clone() };
    registry.do_send("k", last).unwrap();
    *closing.lock().unwrap() = Some(registry.close("k"));

    let (_, ended) = next_end(&mut watch).await;
    settle().await;

    assert_eq!((ended.reason, ended.dropped), (EndReason::Closed, 1));
    assert_eq!(log.lines(), ["told: Some(true), keys: 0"]);
    assert_eq!(registry.send("k", Ping).await.unwrap(), 1);
}
