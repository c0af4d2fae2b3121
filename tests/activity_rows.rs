//! What counts as activity (design, section 4): the rows of the table that are not about replies.
//! As in `activity.rs`: opened at 0 s, idle after 10 s; the second in which it ends tells what counted.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

#[path = "support/exact.rs"]
mod exact;
mod support;

use std::time::Duration;

use actix::prelude::*;
use exact::{Stopwatch, end_of};
use session_actors::{EndReason, SessionContext, SessionRegistry, Watch};
use support::*;
use tokio::time::sleep;

struct Scene {
    clock: Stopwatch,
    registry: SessionRegistry<Probe>,
    watch: Watch,
    addr: Addr<Probe>,
    log: Log,
}

/// A session that was opened just now.
fn opened() -> Scene {
    let clock = Stopwatch::start();
    let log = Log::default();
    let registry = registry(limits(), &log);
    let watch = registry.watch();
    let addr = registry.open("k").unwrap();
    Scene { clock, registry, watch, addr, log }
}

impl Scene {
    /// Runs this in the session, as its first message, at 0 s.
    async fn inside(&self, job: impl FnOnce(&mut Probe, &mut SessionContext<Probe>) + Send + 'static) {
        self.addr.send(Run::new(job)).await.unwrap();
    }

    async fn ends_at(&mut self, expected: Duration) -> u64 {
        let ended = end_of(&mut self.watch, "k").await;
        self.clock.assert_at(expected, "end");
        assert_eq!(ended.reason, EndReason::IdleTimeout);
        ended.handled
    }
}

/// Ticks of a stream, once a second; `true` touches, thirty times.
struct Tick(bool);

impl StreamHandler<Tick> for Probe {
    fn handle(&mut self, tick: Tick, ctx: &mut Self::Context) {
        if tick.0 && self.handled <= 30 {
            ctx.touch();
        }
        self.handled += 1;
    }
}

fn ticks(touch: bool) -> impl Stream<Item = Tick> {
    let clock = tokio::time::interval_at(tokio::time::Instant::now() + secs(1), secs(1));
    futures_util::stream::unfold(clock, move |mut clock| async move {
        clock.tick().await;
        Some((Tick(touch), clock))
    })
}

// ---- that count --------------------------------------------------------------------------------

#[actix::test]
async fn touch_counts_wherever_it_is_called() {
    let mut scene = opened();
    scene
        .inside(|_, ctx| {
            ctx.run_later(secs(4), |_, ctx| ctx.touch());
            ctx.run_later(secs(9), |_, ctx| ctx.touch());
        })
        .await;
    scene.ends_at(secs(19)).await;
}

#[actix::test]
async fn opening_a_live_key_counts() {
    let mut scene = opened();
    scene.clock.reach(secs(4)).await;
    let _ = scene.registry.open("k").unwrap();
    scene.clock.reach(secs(9)).await;
    let addr = scene.registry.open_with("k", |_| unreachable!("it is live")).unwrap();
    // What is promised: this address is good for `idle_timeout`.
    scene.clock.reach(secs(19) - millis(10)).await;
    assert!(addr.connected());
    scene.ends_at(secs(19)).await;
}

/// A hold is work that only the session knows of, for as long as any guard of it lives.
#[actix::test]
async fn a_hold_protects_and_its_end_counts() {
    let mut scene = opened();
    let hold = scene.addr.send(TakeHold).await.unwrap();
    scene.clock.reach(secs(15)).await;
    let second = hold.clone();
    drop(hold);
    scene.clock.reach(secs(25)).await;
    drop(second);
    scene.ends_at(secs(35)).await;
}

/// Moved into a future outside of the actor, which is what it is for.
#[actix::test]
async fn a_hold_in_another_task_protects() {
    let mut scene = opened();
    let hold = scene.addr.send(TakeHold).await.unwrap();
    actix::spawn(async move {
        sleep(secs(30)).await;
        drop(hold);
    });
    scene.ends_at(secs(40)).await;
}

#[actix::test]
async fn a_wait_in_a_handler_protects_and_its_end_counts() {
    let mut scene = opened();
    scene.inside(|act, ctx| ctx.wait(sleep(secs(20)).into_actor(act))).await;
    scene.ends_at(secs(30)).await;
}

/// A socket that is fed by a stream says itself what is activity.
#[actix::test]
async fn a_stream_that_touches_keeps_its_session() {
    let mut scene = opened();
    scene
        .inside(|_, ctx| {
            ctx.add_stream(ticks(true));
        })
        .await;
    // The last tick that touches is the thirtieth.
    scene.ends_at(secs(40)).await;
}

// ---- that do not count -------------------------------------------------------------------------

#[actix::test]
async fn a_request_whose_caller_has_gone_does_not_count() {
    let mut scene = opened();
    scene.clock.reach(secs(4)).await;
    // Queued and cancelled before the session can have looked.
    drop(scene.registry.send("k", Note("through the registry")));
    drop(scene.addr.send(Note("through an address")));
    drop(scene.addr.clone().recipient().send(Note("through a recipient")));
    let handled = scene.ends_at(secs(10)).await;
    assert_eq!(handled, 0);
    assert_eq!(scene.log.count("through"), 0);
}

#[actix::test]
async fn a_passive_message_does_not_count_nor_does_the_end_of_its_work() {
    let mut scene = opened();
    scene.clock.reach(secs(4)).await;
    scene.inside(|_, ctx| ctx.passive()).await;
    scene
        .inside(|act, ctx| {
            ctx.passive();
            ctx.wait(sleep(secs(1)).into_actor(act));
        })
        .await;
    let handled = scene.ends_at(secs(10)).await;
    assert_eq!(handled, 2, "passive messages are handled like any other");
}

#[actix::test]
async fn passive_work_protects_while_it_runs() {
    let mut scene = opened();
    scene
        .inside(|act, ctx| {
            ctx.passive();
            let hold = ctx.hold();
            actix::spawn(async move {
                sleep(secs(30)).await;
                drop(hold);
            });
            ctx.wait(sleep(secs(15)).into_actor(act));
        })
        .await;
    // Past its deadline by then, so the end of the hold is its own.
    scene.ends_at(secs(30)).await;
}

/// Only what follows it: work that began before `passive` was called counts.
#[actix::test]
async fn passive_holds_for_what_follows_it() {
    let mut scene = opened();
    scene
        .inside(|act, ctx| {
            ctx.wait(sleep(secs(20)).into_actor(act));
            ctx.passive();
        })
        .await;
    scene.ends_at(secs(30)).await;
}

/// It is about one message, not about the session.
#[actix::test]
async fn a_message_after_a_passive_one_counts() {
    let mut scene = opened();
    scene.inside(|_, ctx| ctx.passive()).await;
    scene.clock.reach(secs(4)).await;
    scene.inside(|_, _| ()).await;
    scene.ends_at(secs(14)).await;
}

#[actix::test]
async fn a_timer_of_its_own_does_not_keep_a_session() {
    let mut scene = opened();
    scene
        .inside(|_, ctx| {
            ctx.run_later(secs(4), |act, _| act.handled += 1);
            ctx.run_interval(secs(1), |act, _| act.handled += 1);
        })
        .await;
    scene.ends_at(secs(10)).await;
}

#[actix::test]
async fn notifying_itself_does_not_keep_a_session() {
    let mut scene = opened();
    scene
        .inside(|_, ctx| {
            ctx.notify_later(Note("later"), secs(4));
            ctx.run_interval(secs(1), |_, ctx| ctx.notify(Ping));
        })
        .await;
    let handled = scene.ends_at(secs(10)).await;
    assert_eq!(scene.log.count("later"), 1);
    assert_eq!(handled, 1, "what does not come through the mailbox is not counted as handled either");
}

/// Also one that was spawned by a counted message: nobody waits for it.
#[actix::test]
async fn a_spawned_future_does_not_keep_a_session() {
    let mut scene = opened();
    scene
        .inside(|act, ctx| {
            ctx.spawn(sleep(secs(20)).into_actor(act));
            sleep(secs(20)).into_actor(act).spawn(ctx);
        })
        .await;
    scene.ends_at(secs(10)).await;
}

#[actix::test]
async fn a_stream_does_not_keep_a_session() {
    let mut scene = opened();
    scene
        .inside(|_, ctx| {
            ctx.add_stream(ticks(false));
        })
        .await;
    scene.ends_at(secs(10)).await;
}

/// A wait is work in flight whoever asked for it.
#[actix::test]
async fn a_wait_of_its_own_clockwork_protects_while_it_runs() {
    let mut scene = opened();
    scene
        .inside(|_, ctx| {
            ctx.run_later(secs(4), |act, ctx| ctx.wait(sleep(secs(20)).into_actor(act)));
        })
        .await;
    scene.clock.reach(secs(24) - millis(10)).await;
    assert!(scene.registry.get("k").is_some());
    // As passive work does: its end does not restart the clock.
    scene.ends_at(secs(24)).await;
}

#[actix::test]
async fn looking_does_not_count() {
    let mut scene = opened();
    for second in 1..10 {
        scene.clock.reach(secs(second)).await;
        let _ = scene.registry.get("k").unwrap();
        let info = scene.registry.info("k").unwrap();
        assert!(info.idle >= secs(second), "{:?} at {second} s", info.idle);
        assert_eq!(scene.registry.list().len(), 1);
        let (_, _, _) = (scene.registry.len(), scene.registry.stats(), scene.registry.policy());
        let now = scene.registry.watch().next().await.unwrap().id();
        drop(scene.registry.watch_from(now));
        settle().await;
    }
    scene.ends_at(secs(10)).await;
}
