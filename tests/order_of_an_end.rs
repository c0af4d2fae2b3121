//! The order inside an end: out of the directory first, then the hooks, then the actor, then
//! `Ended`, then whoever waits, then the successor.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

#[path = "support/exact.rs"]
mod exact;
#[path = "support/hooked.rs"]
mod hooked;
mod support;

use std::sync::{Arc, Mutex, OnceLock};

use actix::prelude::*;
use exact::{assert_about, name_of};
use futures_util::FutureExt;
use hooked::{Do, Hooked, Mark, Place, Script};
use session_actors::{EndReason, EventKind, Phase, SessionContext, Watch, Watched, WeakSessionRegistry};
use support::{Log, gate, limits, millis, next_end, next_event, secs, settle};
use tokio::{sync::oneshot, time::Instant};

/// The names of the events that are there already.
async fn events_so_far(watch: &mut Watch) -> Vec<&'static str> {
    let mut names = Vec::new();
    while let Ok(Some(watched)) = tokio::time::timeout(std::time::Duration::ZERO, watch.next()).await {
        let Watched::Event(event) = watched else { continue };
        names.push(name_of(&event.kind));
    }
    names
}

/// Keeps the session busy, by a reply outside of its context, until the gate opens.
fn busy_until(gate: oneshot::Receiver<()>) -> Do {
    Do::new(move |_, ctx| {
        let hold = ctx.hold();
        actix::spawn(async move {
            let _ = gate.await;
            drop(hold);
        });
    })
}

/// What can be seen of the session from inside of its own hooks.
fn look(act: &Hooked, ctx: &SessionContext<Hooked>) {
    let registry = ctx.registry().upgrade().unwrap();
    let key = ctx.key().clone();
    act.note(format!(
        "in={} live={} reason={:?}",
        registry.get(&key).is_some(),
        registry.info(&key).is_some(),
        ctx.end_reason(),
    ));
}

#[actix::test]
async fn the_directory_goes_first_then_hooks_then_the_actor_then_the_event_then_whoever_waits() {
    tokio::time::pause();
    let log = Log::default();
    let weak: Arc<OnceLock<WeakSessionRegistry<Hooked>>> = Arc::default();
    let seen = Arc::clone(&weak);
    let script = Script::new(&log)
        .on(Place::Draining, |act, ctx| look(act, ctx))
        .on(Place::Stopping, |act, ctx| look(act, ctx))
        .on(Place::Stopped, |act, ctx| look(act, ctx))
        .on_bare(Place::Dropped, move |act| {
            let registry = seen.get().unwrap().upgrade().unwrap();
            act.note(format!("in={} live={}", registry.get("a").is_some(), registry.info("a").is_some()));
        });
    let registry = script.registry(limits());
    weak.set(registry.downgrade()).unwrap();
    let mut watch = registry.watch();
    let (open, gate) = gate();
    registry.send("a", busy_until(gate)).await.unwrap();
    log.take();

    let mut closing = Box::pin(registry.close("a"));
    settle().await;
    assert_eq!(registry.info("a").unwrap().phase, Phase::Draining);
    assert_eq!((registry.stats().draining, registry.len()), (1, 1), "live until it has ended");
    assert_eq!(events_so_far(&mut watch).await, ["opened", "draining"]);
    assert!(closing.as_mut().now_or_never().is_none(), "nobody is told before the end");

    open.send(()).unwrap();
    let told = closing.await.unwrap();
    // Whoever waited finds the event published already.
    assert_eq!(events_so_far(&mut watch).await, ["ended"]);
    assert_eq!((told.reason, told.cut), (EndReason::Closed, 0));
    let closed = "in=false live=true reason=Some(Closed)";
    assert_eq!(
        log.take(),
        [
            "a#1 draining".to_owned(),
            format!("a#1 {closed}"),
            "a#1 stopping".to_owned(),
            format!("a#1 {closed}"),
            "a#1 stopped".to_owned(),
            format!("a#1 {closed}"),
            "a#1 dropped".to_owned(),
            "a#1 in=false live=true".to_owned(),
        ]
    );
    assert!(registry.is_empty());
}

#[actix::test]
async fn an_end_at_rest_has_no_drain() {
    tokio::time::pause();
    let log = Log::default();
    let registry = Script::new(&log).registry(limits());
    let mut watch = registry.watch();
    registry.send("a", Mark("hi")).await.unwrap();
    let before = Instant::now();

    registry.close("a").await.unwrap();

    assert_eq!(before.elapsed(), millis(0));
    assert_eq!(events_so_far(&mut watch).await, ["opened", "ended"]);
    assert_eq!(log.count("draining"), 0);
}

#[actix::test]
async fn mail_of_the_last_moment_calls_an_idle_end_off() {
    tokio::time::pause();
    let log = Log::default();
    // The hook runs after the decision to end, and before the last look at the mailbox.
    let script = Script::new(&log).on(Place::Expiring, |act, ctx| {
        if act.handled == 1 {
            ctx.registry().upgrade().unwrap().do_send(ctx.key(), Mark("last moment")).unwrap();
        }
    });
    let registry = script.registry(limits());
    let mut watch = registry.watch();
    registry.send("a", Mark("first")).await.unwrap();

    let (_, ended) = next_end(&mut watch).await;

    assert_eq!((ended.reason, ended.handled), (EndReason::IdleTimeout, 2));
    assert_about(ended.age, secs(20), "called off at 10 s, so it has a whole idle timeout again");
    let lines = ["made", "started", "first", "expiring", "last moment", "expiring", "stopping", "stopped", "dropped"];
    assert_eq!(log.take(), lines.map(|line| format!("a#1 {line}")));
}

#[actix::test]
async fn an_open_of_the_last_moment_calls_an_idle_end_off() {
    tokio::time::pause();
    let log = Log::default();
    let opened = Mutex::new(None);
    let script = Script::new(&log).on(Place::Expiring, move |_, ctx| {
        let mut opened = opened.lock().unwrap();
        if opened.is_none() {
            *opened = Some(ctx.registry().upgrade().unwrap().open(ctx.key()).unwrap());
        }
    });
    let registry = script.registry(limits());
    let mut watch = registry.watch();
    registry.send("a", Mark("first")).await.unwrap();

    let (_, ended) = next_end(&mut watch).await;
    assert_about(ended.age, secs(20), "an address is good for idle_timeout");
    assert_about(ended.idle, secs(10), "idle since the open");
}

#[actix::test]
async fn a_draining_session_serves_its_addresses_and_its_key_leads_elsewhere() {
    tokio::time::pause();
    let log = Log::default();
    let registry = Script::new(&log).registry(limits());
    let (open, gate) = gate();
    let old = registry.open("a").unwrap();
    old.send(busy_until(gate)).await.unwrap();
    let closing = registry.close("a");
    settle().await;

    assert!(registry.get("a").is_none());
    assert_eq!(old.send(Mark("by address")).await.unwrap(), 1);
    let by_key = registry.send("a", Mark("by key"));
    settle().await;
    assert_eq!(log.count("by key"), 0, "it waits for the end of the drain");

    open.send(()).unwrap();
    assert_eq!(by_key.await.unwrap(), 2);
    assert_eq!(closing.await.unwrap().handled, 2);
    assert!(matches!(old.send(Mark("late")).await, Err(MailboxError::Closed)));
}

#[actix::test]
async fn a_session_opened_in_the_hooks_of_an_end_starts_after_it() {
    tokio::time::pause();
    let log = Log::default();
    let script = Script::new(&log).on(Place::Stopped, |act, ctx| {
        if act.incarnation == 1 {
            ctx.registry().upgrade().unwrap().do_send(ctx.key(), Mark("from the hook")).unwrap();
        }
    });
    let registry = script.registry(limits());
    let mut watch = registry.watch();
    registry.send("a", Mark("first")).await.unwrap();

    registry.close("a").await.unwrap();
    settle().await;

    let lines = log.take();
    let order: Vec<_> = lines.iter().map(String::as_str).skip_while(|line| *line != "a#1 stopped").collect();
    assert_eq!(order, ["a#1 stopped", "a#1 dropped", "a#2 made", "a#2 started", "a#2 from the hook"]);
    assert_eq!(events_so_far(&mut watch).await, ["opened", "ended", "opened"]);
}

#[actix::test]
async fn the_first_reason_stays() {
    tokio::time::pause();
    let log = Log::default();
    let registry = Script::new(&log).registry(limits().max_age(secs(2)));
    let (_open, gate) = gate();
    registry.send("a", busy_until(gate)).await.unwrap();

    let first = registry.close("a");
    let second = registry.close("a");
    // Its max age passes meanwhile, and the registry is shut down.
    tokio::time::sleep(secs(3)).await;
    let report = registry.shutdown(secs(60)).await.unwrap();

    assert_eq!((report.drained, report.cut), (0, 1));
    let (first, second) = (first.await.unwrap(), second.await.unwrap());
    assert_eq!(first, second);
    assert_eq!(first.reason, EndReason::Closed);
    assert_about(first.age, secs(5), "cut by its own drain_timeout, which is earlier than the shutdown's");
}

#[actix::test]
async fn a_shutdown_brings_the_hard_end_of_a_drain_nearer() {
    tokio::time::pause();
    let log = Log::default();
    let registry = Script::new(&log).registry(limits().drain_timeout(None));
    let (_open, gate) = gate();
    registry.send("a", busy_until(gate)).await.unwrap();

    let closing = registry.close("a");
    tokio::time::sleep(secs(1000)).await;
    let before = Instant::now();
    registry.shutdown(secs(7)).await.unwrap();

    assert_about(before.elapsed(), secs(7), "the timeout of the shutdown");
    assert_eq!(closing.await.unwrap().reason, EndReason::Closed);
}

#[actix::test]
async fn a_session_that_stops_itself_while_it_drains_keeps_the_reason_of_the_drain() {
    tokio::time::pause();
    let log = Log::default();
    let registry = Script::new(&log).registry(limits());
    let (_open, gate) = gate();
    let old = registry.open("a").unwrap();
    old.send(busy_until(gate)).await.unwrap();
    let closing = registry.close("a");
    settle().await;

    old.send(Do::stop()).await.unwrap();

    let ended = closing.await.unwrap();
    assert_eq!((ended.reason, ended.cut, ended.age), (EndReason::Closed, 1, millis(0)));
    assert_eq!((log.count("stopping"), log.count("stopped")), (1, 1));
}

#[actix::test]
async fn what_a_draining_hook_begins_is_finished_first() {
    tokio::time::pause();
    let log = Log::default();
    let script = Script::new(&log).on(Place::Draining, |act, ctx| {
        act.note("saves");
        ctx.wait(tokio::time::sleep(secs(2)).into_actor(act).map(|(), act: &mut Hooked, _| act.note("saved")));
    });
    let registry = script.registry(limits().max_age(secs(6)));
    let mut watch = registry.watch();
    let (open, gate) = gate();
    registry.send("a", busy_until(gate)).await.unwrap();
    tokio::time::sleep(secs(7)).await;
    open.send(()).unwrap();

    let (_, ended) = next_end(&mut watch).await;
    assert_eq!((ended.reason, ended.cut), (EndReason::MaxAge, 0));
    assert_about(ended.age, secs(8), "the wait of the hook is over");
    let end = ["draining", "saves", "saved", "stopping", "stopped", "dropped"];
    assert_eq!(log.take().split_off(2), end.map(|line| format!("a#1 {line}")));
}

#[actix::test]
async fn hooks_reach_an_actor_that_is_blocked_in_a_wait() {
    tokio::time::pause();
    let log = Log::default();
    let registry = Script::new(&log).registry(limits().max_age(secs(8)).warn_before(secs(1)).drain_timeout(secs(2)));
    let mut watch = registry.watch();
    registry.send("a", Do::block()).await.unwrap();

    let (_, ended) = next_end(&mut watch).await;
    assert_eq!((ended.reason, ended.cut), (EndReason::MaxAge, 1));
    assert_about(ended.age, secs(10), "max_age and drain_timeout");
    let end = ["warned", "draining", "stopping", "stopped", "dropped"];
    assert_eq!(log.take().split_off(2), end.map(|line| format!("a#1 {line}")));
}

#[actix::test]
async fn that_nobody_has_its_address_ends_no_session() {
    tokio::time::pause();
    let log = Log::default();
    let registry = Script::new(&log).registry(limits());
    let mut watch = registry.watch();
    drop(registry.open("a").unwrap());
    assert!(matches!(next_event(&mut watch).await.kind, EventKind::Opened { .. }));

    tokio::time::sleep(millis(9_999)).await;
    assert_eq!((registry.len(), log.count("stopping")), (1, 0));
    let (_, ended) = next_end(&mut watch).await;
    assert_eq!(ended.reason, EndReason::IdleTimeout);
    assert_about(ended.age, secs(10), "idle_timeout");
}
