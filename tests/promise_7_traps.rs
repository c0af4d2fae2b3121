//! Promise 7, third part: what is known to stop the timers of plain actix actors, and of tokio's
//! tasks, does not stop those of sessions.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

#[path = "support/guard.rs"]
mod guard;
mod support;

use std::time::Duration;

use actix::prelude::*;
use session_actors::{EndReason, Limits};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, advance, pause, sleep, timeout},
};

use crate::{
    guard::{assert_due_now, assert_on_time},
    support::{Log, Ping, Probe, Run, millis, next_end, registry, secs},
};

/// actix, trap A1: behind a `ctx.wait` no timer of the actor fires, so a hung wait makes it immortal.
#[actix::test]
async fn an_idle_timer_is_neither_lost_nor_late_behind_a_wait() {
    pause();
    let log = Log::default();
    let registry = registry(Limits::never().idle_timeout(millis(100)), &log);
    let mut watch = registry.watch();
    let began = Instant::now();
    registry.do_send("k", Run::new(|probe, ctx| ctx.wait(sleep(millis(700)).into_actor(probe)))).unwrap();

    // The wait is work in flight: idle time begins when it ends, and is not a moment longer.
    let (_, ended) = next_end(&mut watch).await;
    assert_eq!(ended.reason, EndReason::IdleTimeout);
    assert_due_now(began, millis(800));
    assert_on_time(ended.idle, millis(100));
}

/// A plain actix actor that ends by a timer of its own, to show that the traps are there.
struct ByHand;

impl Actor for ByHand {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_later(millis(100), |_, ctx| ctx.stop());
        ctx.wait(sleep(millis(700)).into_actor(self));
    }
}

#[actix::test]
async fn the_trap_is_there_in_a_plain_actor() {
    pause();
    let began = Instant::now();
    let addr = ByHand.start();
    while addr.connected() {
        sleep(millis(1)).await;
    }
    assert_due_now(began, millis(700));
}

/// The same actor, blocked by a reply that blocks the mailbox, and flooded with its own `notify` until a time has come.
struct Trapped {
    began: Instant,
    fired: Option<oneshot::Sender<Duration>>,
}

impl Trapped {
    /// Its timer is due after 5 ms; what it is blocked with takes 50.
    fn start_now() -> (Addr<Self>, oneshot::Receiver<Duration>) {
        let (fired, fires) = oneshot::channel();
        (Self { began: Instant::now(), fired: Some(fired) }.start(), fires)
    }
}

impl Actor for Trapped {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_later(millis(5), |act, _| act.fired.take().unwrap().send(act.began.elapsed()).unwrap());
    }
}

#[derive(Message)]
#[rtype(result = "()")]
struct Block;

impl Handler<Block> for Trapped {
    type Result = AtomicResponse<Self, ()>;

    fn handle(&mut self, _: Block, _: &mut Self::Context) -> Self::Result {
        AtomicResponse::new(Box::pin(sleep(millis(50)).into_actor(self)))
    }
}

impl Handler<Again> for Trapped {
    type Result = ();

    fn handle(&mut self, _: Again, ctx: &mut Self::Context) {
        if self.began.elapsed() < millis(50) {
            ctx.notify(Again);
        }
    }
}

/// The other traps that sessions do not have; in real time, because a flood lets no paused clock go on.
#[actix::test]
async fn the_other_traps_are_there_in_a_plain_actor_too() {
    let (addr, fires) = Trapped::start_now();
    addr.do_send(Block);
    assert!(fires.await.unwrap() >= millis(50), "an `AtomicResponse` does not stop its timers");
    let (addr, fires) = Trapped::start_now();
    addr.do_send(Again);
    assert!(fires.await.unwrap() >= millis(50), "a flood of `notify` does not stop its timers");
}

/// Sent by itself as soon as it was handled, so that the mailbox is never empty.
#[derive(Message)]
#[rtype(result = "()")]
struct Again;

impl Handler<Again> for Probe {
    type Result = ();

    fn handle(&mut self, _: Again, ctx: &mut Self::Context) {
        ctx.address().do_send(Again);
    }
}

/// actix, trap A2: while the mailbox is never empty no timer of the actor fires. A clock that is
/// paused stands still in a flood, and is moved by hand.
#[actix::test]
async fn an_age_timer_fires_at_its_instant_in_the_middle_of_a_flood() {
    pause();
    let log = Log::default();
    let registry = registry(Limits::never().max_age(millis(30)).drain_timeout(millis(5)), &log);
    let mut watch = registry.watch();
    let began = Instant::now();
    registry.open("flooded").unwrap().do_send(Again);
    let ticking = actix::spawn(async move {
        loop {
            advance(millis(1)).await;
        }
    });

    let (_, ended) = next_end(&mut watch).await;
    assert_due_now(began, millis(35));
    assert_eq!(ended.reason, EndReason::MaxAge);
    assert_eq!(ended.handed_over, 1);
    assert!(ended.handled > 10_000, "that was no flood: {ended:?}");
    ticking.abort();
}

/// tokio gives each poll of a task a budget for its own channels and timers. A timer that is first
/// polled when that is used up is not armed at all.
#[actix::test]
async fn a_timer_that_is_set_when_the_runtimes_budget_is_used_up_fires_all_the_same() {
    pause();
    let log = Log::default();
    let registry = registry(Limits::never().idle_timeout(secs(10)), &log);
    let mut watch = registry.watch();
    let began = Instant::now();
    registry
        .do_send(
            "k",
            Run::new(|probe, ctx| {
                let (tx, mut rx) = mpsc::unbounded_channel();
                for n in 0..10_000 {
                    tx.send(n).unwrap();
                }
                drop(tx);
                // Reads until tokio says that it is enough for this poll.
                ctx.spawn(async move { while rx.recv().await.is_some() {} }.into_actor(probe));
            }),
        )
        .unwrap();

    let (_, ended) = timeout(secs(1_000), next_end(&mut watch)).await.expect("the timer is lost");
    assert_eq!(ended.reason, EndReason::IdleTimeout);
    assert_due_now(began, secs(10));
}

#[actix::test]
async fn a_timer_that_is_moved_when_the_runtimes_budget_is_used_up_fires_all_the_same() {
    pause();
    let log = Log::default();
    let registry = registry(Limits::never().idle_timeout(secs(1_000)), &log);
    let mut watch = registry.watch();
    assert_eq!(registry.send("k", Ping).await.unwrap(), 1);
    let began = Instant::now();
    registry
        .do_send(
            "k",
            Run::new(|probe, ctx| {
                ctx.set_limits(Limits::new().max_age(secs(10))).unwrap();
                let (tx, mut rx) = mpsc::unbounded_channel();
                for n in 0..10_000 {
                    tx.send(n).unwrap();
                }
                drop(tx);
                ctx.spawn(async move { while rx.recv().await.is_some() {} }.into_actor(probe));
            }),
        )
        .unwrap();

    let (_, ended) = next_end(&mut watch).await;
    assert_eq!(ended.reason, EndReason::MaxAge);
    assert_due_now(began, secs(10));
}
