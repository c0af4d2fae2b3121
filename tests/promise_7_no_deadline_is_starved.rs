//! Promise 7, second part: deadlines are kept to the instant while the actor is blocked.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

#[path = "support/guard.rs"]
mod guard;
mod support;

use std::{future::pending, time::Duration};

use actix::prelude::*;
use session_actors::{
    EndReason, Ended, Expiry, Limits, Policy, SendError, Session, SessionContext, SessionRegistry, Unserved,
};
use tokio::time::{Instant, pause, sleep, timeout};

use crate::{
    guard::{assert_due_now, assert_on_time},
    support::{Atomic, Log, Ping, Probe, Run, Slow, SlowInContext, TakeHold, millis, next_end, registry, secs, settle},
};

/// Longer than any limit here.
const EVER: Duration = Duration::from_secs(1_000_000);

/// What keeps the actor busy for ever.
#[derive(Clone, Copy, Debug)]
enum Block {
    /// `ctx.wait` on what never comes.
    Wait,
    /// A reply that blocks the mailbox.
    Atomic,
    /// A reply made in the context, by a future that never returns.
    InContext,
    /// A reply made outside of it.
    Outside,
}

const BLOCKS: [Block; 4] = [Block::Wait, Block::Atomic, Block::InContext, Block::Outside];

fn block(registry: &SessionRegistry<Probe>, key: &'static str, by: Block) {
    match by {
        Block::Wait => {
            registry.do_send(key, Run::new(|probe, ctx| ctx.wait(pending::<()>().into_actor(probe)))).unwrap();
        }
        Block::Atomic => registry.do_send(key, Atomic(EVER)).unwrap(),
        Block::InContext => registry.do_send(key, SlowInContext(EVER)).unwrap(),
        Block::Outside => registry.do_send(key, Slow(EVER)).unwrap(),
    }
}

/// How a session that is blocked for ever ends, and when, after `then` was done to it.
async fn end_of(by: Block, limits: Limits, then: impl AsyncFnOnce(&SessionRegistry<Probe>)) -> (Ended, Duration) {
    let log = Log::default();
    let registry = registry(limits, &log);
    let mut watch = registry.watch();
    let began = Instant::now();
    block(&registry, "blocked", by);
    settle().await;
    then(&registry).await;
    let (_, ended) = next_end(&mut watch).await;
    let took = began.elapsed();
    assert_eq!(ended.age, took, "{by:?}");
    assert_eq!(ended.cut, 1, "{by:?}");
    assert_eq!(log.count("stopped"), 1, "{by:?}");
    assert_eq!(log.alive(), 0, "{by:?}");
    (ended, took)
}

#[actix::test]
async fn max_age_and_then_its_drain_are_kept_while_the_actor_is_blocked() {
    pause();
    for by in BLOCKS {
        let limits = Limits::never().max_age(secs(100)).drain_timeout(secs(20));
        let (ended, took) = end_of(by, limits, async |_| {}).await;
        assert_eq!(ended.reason, EndReason::MaxAge, "{by:?}");
        assert_on_time(took, secs(120));
    }
}

#[actix::test]
async fn max_busy_is_kept_while_the_actor_is_blocked() {
    pause();
    for by in BLOCKS {
        let (ended, took) = end_of(by, Limits::never().max_busy(secs(100)), async |_| {}).await;
        assert_eq!(ended.reason, EndReason::Stuck, "{by:?}");
        assert_on_time(took, secs(100));
    }
}

#[actix::test]
async fn a_close_is_kept_while_the_actor_is_blocked() {
    pause();
    for by in BLOCKS {
        let (ended, took) = end_of(by, Limits::never().drain_timeout(secs(20)), async |registry| {
            sleep(secs(50)).await;
            let closing = registry.close("blocked");
            // It is on its way out from the call on, blocked or not.
            settle().await;
            assert!(registry.get("blocked").is_none());
            drop(closing);
        })
        .await;
        assert_eq!(ended.reason, EndReason::Closed, "{by:?}");
        assert_on_time(took, secs(70));
    }
}

#[actix::test]
async fn a_shutdown_is_kept_while_the_actor_is_blocked() {
    pause();
    for by in BLOCKS {
        // The timeout of the shutdown stands in for that of the policy.
        let (ended, took) = end_of(by, Limits::never().drain_timeout(secs(500)), async |registry| {
            sleep(secs(50)).await;
            drop(registry.shutdown(secs(7)));
        })
        .await;
        assert_eq!(ended.reason, EndReason::Shutdown, "{by:?}");
        assert_on_time(took, secs(57));
    }
}

#[actix::test]
async fn the_hooks_are_called_while_the_actor_is_blocked() {
    pause();
    for by in BLOCKS {
        let log = Log::default();
        let registry = registry(Limits::never().max_age(secs(100)).warn_before(secs(40)).drain_timeout(secs(20)), &log);
        let mut watch = registry.watch();
        let began = Instant::now();
        block(&registry, "blocked", by);

        sleep(secs(61)).await;
        assert_eq!(log.count("warned max_age"), 1, "{by:?}: {:?}", log.lines());
        sleep(secs(40)).await;
        assert_eq!(log.count("draining max_age"), 1, "{by:?}: {:?}", log.lines());
        next_end(&mut watch).await;
        assert_due_now(began, secs(120));
    }
}

#[actix::test]
async fn whoever_waits_for_a_blocked_session_is_told_when_it_is_cut() {
    pause();
    let log = Log::default();
    let registry = registry(Limits::never().max_age(secs(10)).drain_timeout(secs(5)), &log);
    let began = Instant::now();
    let atomic = registry.send("blocked", Atomic(EVER));
    let behind = registry.send("blocked", Ping);

    let because = Unserved::Ended { reason: EndReason::MaxAge, panic: None };
    let refused = atomic.await.unwrap_err();
    assert!(matches!(&refused, SendError::Unserved { cause } if *cause == because), "{refused:?}");
    assert_due_now(began, secs(15));
    // What was stuck behind it is served after all, by the successor.
    assert_eq!(behind.await.unwrap(), 1);
    assert_due_now(began, secs(15));
}

#[actix::test]
async fn a_limit_that_a_blocked_session_set_before_is_kept_too() {
    pause();
    let log = Log::default();
    let registry = registry(Limits::never(), &log);
    let mut watch = registry.watch();
    let began = Instant::now();
    registry
        .do_send(
            "blocked",
            Run::new(|probe, ctx| {
                ctx.set_limits(Limits::new().max_age(secs(30)).drain_timeout(secs(3))).unwrap();
                ctx.wait(pending::<()>().into_actor(probe));
            }),
        )
        .unwrap();

    let (_, ended) = next_end(&mut watch).await;
    assert_eq!(ended.reason, EndReason::MaxAge);
    assert_due_now(began, secs(33));
}

#[actix::test]
async fn a_hold_that_is_never_given_back_starves_no_deadline() {
    pause();
    let log = Log::default();
    let registry = registry(Limits::never().idle_timeout(secs(5)).max_age(secs(100)).drain_timeout(secs(20)), &log);
    let mut watch = registry.watch();
    let began = Instant::now();
    let hold = registry.send("k", TakeHold).await.unwrap();

    let (_, ended) = next_end(&mut watch).await;
    assert_eq!((ended.reason, ended.cut), (EndReason::MaxAge, 1));
    assert_due_now(began, secs(120));
    drop(hold);
}

/// The twin in real time: milliseconds instead of minutes, and a generous bound.
#[actix::test]
async fn deadlines_are_kept_by_a_real_clock_too() {
    for by in BLOCKS {
        let limits = Limits::never().max_age(millis(40)).drain_timeout(millis(40));
        let (ended, took) = end_of_in_real_time(by, limits).await;
        assert_eq!(ended.reason, EndReason::MaxAge, "{by:?}");
        assert!(took >= millis(80) && took < secs(2), "{by:?}: due after 80 ms, took {took:?}");
    }
}

async fn end_of_in_real_time(by: Block, limits: Limits) -> (Ended, Duration) {
    let registry = registry(limits, &Log::default());
    let mut watch = registry.watch();
    let began = Instant::now();
    block(&registry, "blocked", by);
    let (_, ended) = timeout(secs(10), next_end(&mut watch)).await.expect("never cut");
    (ended, began.elapsed())
}

/// Not promised: nobody can cut that. But what has passed meanwhile is due when it returns.
#[actix::test]
async fn a_handler_that_blocks_its_thread_is_not_cut_and_limits_hold_again_when_it_returns() {
    let registry = registry(Limits::never().max_age(millis(300)).drain_timeout(millis(20)), &Log::default());
    let mut watch = registry.watch();
    let blocks = Run::new(|_, _| {
        let (_kept, never) = std::sync::mpsc::channel::<()>();
        let _ = never.recv_timeout(millis(500));
    });
    // At rest before it, with its alarm set.
    registry.send("k", Ping).await.unwrap();
    let blocking = registry.send("k", blocks);
    // It is in its mailbox when the time is over: the drain handles it.
    let behind = registry.send("k", Ping);

    let (_, ended) = timeout(secs(10), next_end(&mut watch)).await.expect("forgotten");

    assert!(blocking.await.is_ok(), "it was let finish");
    assert_eq!(behind.await.unwrap(), 3);
    assert_eq!((ended.reason, ended.handled, ended.cut), (EndReason::MaxAge, 3, 0));
    assert!(ended.age >= millis(500) && ended.age < secs(5), "{:?}", ended.age);
}

/// Says goodbye at its idle deadline, every time it is asked, and then lets itself be ended.
struct Polite {
    log: Log,
    takes: Duration,
}

impl Actor for Polite {
    type Context = SessionContext<Self>;
}

impl Session for Polite {
    fn expiring(&mut self, ctx: &mut Self::Context) -> Expiry {
        self.log.note("expiring");
        ctx.wait(sleep(self.takes).into_actor(self).map(|(), polite, _| polite.log.note("said goodbye")));
        Expiry::End
    }
}

async fn end_of_polite(takes: Duration) -> (Ended, Vec<String>) {
    let log = Log::default();
    let noted = log.clone();
    let registry = SessionRegistry::builder(move |_| Polite { log: noted.clone(), takes })
        .policy(Policy::new(Limits::never().idle_timeout(secs(10)).drain_timeout(secs(5))))
        .start()
        .unwrap();
    let mut watch = registry.watch();
    registry.open("k").unwrap();
    let (_, ended) = timeout(secs(1_000), next_end(&mut watch)).await.expect("it never ends");
    assert_eq!(ended.reason, EndReason::IdleTimeout);
    (ended, log.lines())
}

#[actix::test]
async fn a_session_that_says_goodbye_at_its_idle_deadline_does_so_once() {
    pause();
    for takes in [secs(0), secs(2)] {
        let (ended, noted) = end_of_polite(takes).await;
        assert_on_time(ended.age, secs(10) + takes);
        assert_eq!(noted, ["expiring", "said goodbye"]);
        assert_eq!(ended.cut, 0);
    }
}

#[actix::test]
async fn a_goodbye_that_takes_too_long_is_cut_as_any_other_work() {
    pause();
    let (ended, noted) = end_of_polite(EVER).await;
    assert_on_time(ended.age, secs(15));
    assert_eq!(noted, ["expiring"]);
    assert_eq!(ended.cut, 1);
}
