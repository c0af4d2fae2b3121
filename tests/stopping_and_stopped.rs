//! `ctx.stop()`, `ctx.terminate()` and the two hooks that every end runs once.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

#[path = "support/ends.rs"]
mod ends;
#[path = "support/exact.rs"]
mod exact;
#[path = "support/hooked.rs"]
mod hooked;
mod support;

use std::time::Duration;

use actix::prelude::*;
use ends::{ALL_BUT_ABORTED, bring_about, registry_for};
use exact::{assert_about, end_of};
use hooked::{Do, Hooked, Mark, Place, Script, expect_booms};
use session_actors::{EndReason, SessionContext};
use support::{Log, limits, millis, next_end, secs, settle};

/// A script that notes what `ctx.end_reason()` says in both hooks.
fn telling(log: &Log) -> Script {
    let tell = |act: &mut Hooked, ctx: &mut SessionContext<Hooked>| act.note(ctx.end_reason().unwrap());
    Script::new(log).on(Place::Stopping, tell).on(Place::Stopped, tell)
}

#[actix::test]
async fn both_hooks_run_once_and_know_why_except_after_a_panic() {
    tokio::time::pause();
    expect_booms();
    for reason in ALL_BUT_ABORTED {
        let log = Log::default();
        let registry = registry_for(reason, &telling(&log));
        let mut watch = registry.watch();
        bring_about(reason, &registry).await;

        let ended = end_of(&mut watch, "a").await;

        assert_eq!(ended.reason, reason);
        let mut lines = log.lines();
        lines.retain(|line| line.starts_with("a#"));
        let hooks = match reason {
            EndReason::Panicked => Vec::new(),
            _ => vec!["a#1 stopping".into(), format!("a#1 {reason}"), "a#1 stopped".into(), format!("a#1 {reason}")],
        };
        let from = lines.iter().position(|line| line.ends_with("stopping")).unwrap_or(lines.len() - 1);
        assert_eq!(lines[from..lines.len() - 1], hooks, "{reason}");
        assert_eq!(lines.last().unwrap(), "a#1 dropped");
    }
}

#[actix::test]
async fn a_session_may_change_its_mind_about_its_own_stop() {
    tokio::time::pause();
    let log = Log::default();
    let script = telling(&log).refusing(1).on(Place::Stopping, |act, ctx| {
        assert_eq!(ctx.state(), ActorState::Stopping);
        let again = tokio::time::sleep(secs(1)).into_actor(act);
        ctx.spawn(again.map(|(), act: &mut Hooked, _| act.note("goes on")));
    });
    let registry = script.registry(limits());
    let mut watch = registry.watch();

    registry.send("a", Do::stop()).await.unwrap();
    let stayed = Do::new(|act, ctx| act.note(format!("{:?} {:?}", ctx.state(), ctx.end_reason())));
    assert_eq!(registry.send("a", stayed).await.unwrap(), 1);
    tokio::time::sleep(secs(2)).await;
    assert_eq!(
        log.take().split_off(2),
        ["stopping", "stopped", "Running None", "goes on"].map(|line| format!("a#1 {line}"))
    );

    registry.send("a", Do::stop()).await.unwrap();
    let (_, ended) = next_end(&mut watch).await;
    assert_eq!((ended.reason, ended.handled), (EndReason::Stopped, 3));
    assert_eq!(
        log.take(),
        ["stopping", "stopped", "stopped", "stopped", "dropped"].map(|line| format!("a#1 {line}")),
        "asked once more, as this is another end"
    );
}

/// It may change its mind, so it leaves the directory only when it has not.
#[actix::test]
async fn while_a_session_is_asked_about_its_own_stop_its_key_leads_to_it() {
    tokio::time::pause();
    let log = Log::default();
    let look = |act: &mut Hooked, ctx: &mut SessionContext<Hooked>| {
        let registry = ctx.registry().upgrade().unwrap();
        let here = registry.get(ctx.key()).is_some_and(|addr| addr == ctx.address());
        act.note(format!("leads here: {here}, {:?}", registry.info(ctx.key()).unwrap().phase));
    };
    let script = Script::new(&log).refusing(1).on(Place::Stopping, look).on(Place::Stopped, look);
    let registry = script.registry(limits());
    for _ in 0..2 {
        registry.send("a", Do::stop()).await.unwrap();
        settle().await;
    }
    let asked = ["stopping", "leads here: true, Active"];
    let over = ["stopped", "leads here: false, Draining", "dropped"];
    let lines = asked.into_iter().chain(asked).chain(over).map(|line| format!("a#1 {line}"));
    assert_eq!(log.take().split_off(2), lines.collect::<Vec<_>>());
}

#[actix::test]
async fn mail_behind_a_stop_that_was_taken_back_is_handled_by_the_same_session() {
    tokio::time::pause();
    let log = Log::default();
    let registry = Script::new(&log).refusing(1).registry(limits());
    registry.do_send("a", Do::stop()).unwrap();
    let behind = [registry.send("a", Mark("b")), registry.send("a", Mark("c"))];
    for answer in behind {
        assert_eq!(answer.await.unwrap(), 1);
    }
}

#[actix::test]
async fn nothing_but_its_own_stop_can_be_refused() {
    tokio::time::pause();
    expect_booms();
    for reason in ALL_BUT_ABORTED {
        if matches!(reason, EndReason::Stopped | EndReason::Panicked) {
            continue;
        }
        let log = Log::default();
        let registry = registry_for(reason, &Script::new(&log).refusing(u32::MAX));
        let mut watch = registry.watch();
        bring_about(reason, &registry).await;

        assert_eq!(end_of(&mut watch, "a").await.reason, reason);
        assert_eq!((log.count("a#1 stopping"), log.count("a#1 stopped"), log.count("a#1 dropped")), (1, 1, 1));
    }
}

#[actix::test]
async fn terminate_asks_nobody() {
    tokio::time::pause();
    let log = Log::default();
    let registry = telling(&log).refusing(u32::MAX).registry(limits());
    let mut watch = registry.watch();

    registry.send("a", Do::new(|_, ctx| ctx.terminate())).await.unwrap();

    let (_, ended) = next_end(&mut watch).await;
    assert_eq!((ended.reason, ended.handled), (EndReason::Stopped, 1));
    // Once as the hook, once as the reason.
    assert_eq!(log.take().split_off(2), ["stopped", "stopped", "dropped"].map(|line| format!("a#1 {line}")));
}

#[actix::test]
async fn terminate_in_stopping_outdoes_continue() {
    tokio::time::pause();
    let log = Log::default();
    let script = Script::new(&log).refusing(u32::MAX).on(Place::Stopping, |_, ctx| ctx.terminate());
    let registry = script.registry(limits());
    let mut watch = registry.watch();
    registry.send("a", Do::stop()).await.unwrap();
    assert_eq!(next_end(&mut watch).await.1.reason, EndReason::Stopped);
}

/// From wherever it is called, the session's own stop ends it at once, by section 6.
#[actix::test]
async fn stop_may_be_called_from_anywhere() {
    tokio::time::pause();
    type Stopper = fn(&mut Hooked, &mut SessionContext<Hooked>);
    let from: [(&str, Stopper); 5] = [
        ("a spawned future", |act, ctx| {
            ctx.spawn(async {}.into_actor(act).map(|(), _, ctx: &mut SessionContext<_>| ctx.stop()));
        }),
        ("a wait", |act, ctx| {
            ctx.wait(async {}.into_actor(act).map(|(), _, ctx: &mut SessionContext<_>| ctx.stop()));
        }),
        ("a timer", |_, ctx| {
            ctx.run_later(Duration::from_nanos(1), |_, ctx| ctx.stop());
        }),
        ("a notification", |_, ctx| ctx.notify(Do::stop())),
        ("a stream", |_, ctx| {
            ctx.add_stream(futures_util::stream::once(std::future::ready(())));
        }),
    ];
    for (place, stop) in from {
        let log = Log::default();
        let registry = Script::new(&log).registry(limits());
        let mut watch = registry.watch();
        registry.send("a", Do::new(stop)).await.unwrap();
        let (_, ended) = next_end(&mut watch).await;
        assert_eq!((ended.reason, ended.cut, ended.panic), (EndReason::Stopped, 0, None), "from {place}");
        assert_about(ended.age, millis(0), place);
    }
}

impl StreamHandler<()> for Hooked {
    fn handle(&mut self, (): (), ctx: &mut Self::Context) {
        ctx.stop();
    }
}

#[actix::test]
async fn a_stop_in_a_hook_ends_the_session_too() {
    tokio::time::pause();
    let stop = |_: &mut Hooked, ctx: &mut SessionContext<Hooked>| ctx.stop();
    // In `draining` the end has its reason already; elsewhere it is the session's own.
    for (place, reason) in [
        (Place::Started, EndReason::Stopped),
        (Place::Warned, EndReason::Stopped),
        (Place::Expiring, EndReason::Stopped),
        (Place::Draining, EndReason::MaxAge),
        (Place::Stopping, EndReason::IdleTimeout),
        (Place::Stopped, EndReason::IdleTimeout),
    ] {
        let log = Log::default();
        let limits = match place {
            Place::Draining => limits().max_age(secs(1)),
            _ => limits().warn_before(secs(1)),
        };
        let registry = Script::new(&log).on(place, stop).registry(limits);
        let mut watch = registry.watch();
        registry.open("a").unwrap();
        if place == Place::Draining {
            registry.do_send("a", Do::block()).unwrap();
        }
        let (_, ended) = next_end(&mut watch).await;
        assert_eq!(ended.reason, reason, "in {place:?}");
        assert_eq!((log.count("stopping"), log.count("stopped")), (1, 1), "in {place:?}");
        settle().await;
        assert!(registry.is_empty());
    }
}

#[actix::test]
async fn a_stop_ends_a_wait_and_what_is_spawned_is_dropped() {
    tokio::time::pause();
    let log = Log::default();
    let registry = Script::new(&log).registry(limits());
    let mut watch = registry.watch();
    let job = Do::new(|act, ctx| {
        ctx.spawn(std::future::pending::<()>().into_actor(act));
        ctx.run_later(secs(1), |act, _| act.note("never"));
        ctx.wait(std::future::pending::<()>().into_actor(act));
        ctx.stop();
    });
    registry.send("a", job).await.unwrap();
    let (_, ended) = next_end(&mut watch).await;
    assert_eq!((ended.reason, ended.cut), (EndReason::Stopped, 1), "the wait is work, its own clockwork is not");
    tokio::time::sleep(secs(2)).await;
    assert_eq!(log.count("never"), 0);
}
