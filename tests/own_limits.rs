//! Limits that a session sets itself, and what it can know of its own end: `ctx.set_limits`,
//! `ctx.limits`, `ctx.expires_at` (design, sections 4 and 8).
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

#[path = "support/exact.rs"]
mod exact;
mod support;

use std::time::Duration;

use actix::prelude::*;
use exact::{Stopwatch, assert_left, end_of, inside, next_of};
use session_actors::{
    AppliedRule, EndReason, EventKind, Limits, Policy, PolicyError, PolicyPlace, Session, SessionContext, SessionKey,
    SessionRegistry,
};
use support::*;
use tokio::time::Instant;

#[actix::test]
async fn own_limits_win_from_the_moment_they_are_set() {
    tokio::time::pause();
    for (idle, end) in [(secs(3), secs(7)), (secs(60), secs(64))] {
        let clock = Stopwatch::running();
        let registry = registry(limits(), &Log::default());
        let mut watch = registry.watch();
        let addr = registry.open("k").unwrap();
        clock.reach(secs(4)).await;
        inside(&addr, move |_, ctx| ctx.set_limits(Limits::new().idle_timeout(idle))).await.unwrap();
        let info = registry.info("k").unwrap();
        assert_eq!((info.limits.idle_timeout, info.rule), (Some(idle), AppliedRule::Session));
        assert_eq!(info.limits.drain_timeout, Some(secs(5)), "what they leave out comes from the policy");
        end_of(&mut watch, "k").await;
        clock.assert_at(end, "end");
    }
}

#[actix::test]
async fn letting_go_brings_the_policys_limits_back() {
    let clock = Stopwatch::start();
    let registry = registry(limits(), &Log::default());
    let mut watch = registry.watch();
    let addr = registry.open("k").unwrap();
    inside(&addr, |_, ctx| ctx.set_limits(Limits::never())).await.unwrap();
    clock.reach(secs(100_000)).await;
    assert_eq!(registry.info("k").unwrap().expires_in, None);
    // Passive, so that the deadline of the policy has passed long ago; but max age is older still.
    let limits = inside(&addr, |_, ctx| {
        ctx.passive();
        ctx.set_limits(None).map(|()| ctx.limits())
    })
    .await
    .unwrap();
    assert_eq!((limits.idle_timeout, limits.max_age), (Some(secs(10)), Some(secs(3600))));
    end_of(&mut watch, "k").await;
    clock.assert_at(secs(100_000), "what has passed is due at once");
}

#[actix::test]
async fn a_deadline_that_has_passed_by_the_new_limits_is_due_at_once() {
    tokio::time::pause();
    for (limits, reason) in [
        (Limits::new().max_age(secs(5)), EndReason::MaxAge),
        (Limits::new().idle_timeout(secs(5)), EndReason::IdleTimeout),
    ] {
        let clock = Stopwatch::running();
        let registry = registry(support::limits(), &Log::default());
        let mut watch = registry.watch();
        let addr = registry.open("k").unwrap();
        clock.reach(secs(8)).await;
        inside(&addr, move |_, ctx| {
            ctx.passive();
            ctx.set_limits(limits)
        })
        .await
        .unwrap();
        let ended = end_of(&mut watch, "k").await;
        clock.assert_at(secs(8), "end");
        assert_eq!(ended.reason, reason);
    }
}

#[actix::test]
async fn what_is_in_flight_follows_the_new_limits() {
    let clock = Stopwatch::start();
    let registry = registry(limits(), &Log::default());
    let addr = registry.open("k").unwrap();
    addr.do_send(Slow(secs(100_000)));
    inside(&addr, |_, ctx| ctx.set_limits(Limits::new().drain_timeout(secs(90)))).await.unwrap();
    clock.reach(secs(10)).await;
    let ended = registry.close("k").await.unwrap();
    clock.assert_at(secs(100), "end");
    assert_eq!(ended.cut, 1);

    let clock = Stopwatch::running();
    let mut watch = registry.watch();
    let addr = registry.open("k").unwrap();
    addr.do_send(Slow(secs(100_000)));
    clock.reach(secs(10)).await;
    inside(&addr, |_, ctx| ctx.set_limits(Limits::new().max_busy(secs(30)))).await.unwrap();
    let ended = end_of(&mut watch, "k").await;
    clock.assert_at(secs(30), "end");
    assert_eq!(ended.reason, EndReason::Stuck);
}

#[actix::test]
async fn limits_that_make_no_sense_are_refused_and_change_nothing() {
    let clock = Stopwatch::start();
    let registry = registry(limits(), &Log::default());
    let mut watch = registry.watch();
    let addr = registry.open("k").unwrap();
    inside(&addr, |_, ctx| ctx.set_limits(Limits::new().idle_timeout(secs(20)))).await.unwrap();

    let zero = inside(&addr, |_, ctx| ctx.set_limits(Limits::new().max_age(secs(0)))).await.unwrap_err();
    assert!(matches!(zero, PolicyError::ZeroDuration { place: PolicyPlace::Session, field: "max_age" }), "{zero:?}");
    // It is below what the session had set before, but that would be replaced: the policy's ten
    // seconds would apply.
    let warn = inside(&addr, |_, ctx| ctx.set_limits(Limits::new().warn_before(secs(15)))).await.unwrap_err();
    assert!(
        matches!(warn, PolicyError::WarnNotBelow { field: "idle_timeout", limit, .. } if limit == secs(10)),
        "{warn:?}"
    );
    assert!(warn.to_string().starts_with("limits set by the session: "), "{warn}");

    assert_eq!(registry.info("k").unwrap().limits.idle_timeout, Some(secs(20)));
    end_of(&mut watch, "k").await;
    clock.assert_at(secs(20), "end");
}

/// A session that knows at its start what it is.
struct Tenant;

impl Actor for Tenant {
    type Context = SessionContext<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        if ctx.key().as_str().starts_with("paying:") {
            ctx.set_limits(Limits::new().idle_timeout(secs(1000))).unwrap();
        }
    }
}

impl Session for Tenant {}

#[actix::test]
async fn limits_may_be_set_when_the_session_starts() {
    let clock = Stopwatch::start();
    let registry = SessionRegistry::builder(|_: &SessionKey| Tenant).policy(Policy::new(limits())).start().unwrap();
    let mut watch = registry.watch();
    let _ = (registry.open("free:1").unwrap(), registry.open("paying:1").unwrap());
    assert_eq!(next_end(&mut watch).await.0.as_str(), "free:1");
    clock.assert_at(secs(10), "free");
    assert_eq!(next_end(&mut watch).await.0.as_str(), "paying:1");
    clock.assert_at(secs(1000), "paying");
}

#[actix::test]
async fn the_opened_event_tells_the_limits_it_begins_with() {
    tokio::time::pause();
    let registry = registry_by(Policy::new(limits()).rule("hook:*", Limits::new().max_age(secs(7))), &Log::default());
    let mut watch = registry.watch();
    let _ = registry.open("hook:1").unwrap();
    let opened = next_of(&mut watch, "opened").await;
    let EventKind::Opened { limits, rule } = &opened.kind else { unreachable!() };
    assert_eq!((limits.idle_timeout, limits.max_age), (Some(secs(10)), Some(secs(7))));
    assert_eq!(*rule, AppliedRule::Rule { index: 1, pattern: "hook:*".into() });
}

// ---- expires_at --------------------------------------------------------------------------------

/// When the session says it will end, counted from now. Asked passively, so that asking moves nothing.
async fn expires_in(addr: &Addr<Probe>) -> Option<Duration> {
    inside(addr, |_, ctx| {
        ctx.passive();
        ctx.expires_at()
    })
    .await
    .map(|at| at.saturating_duration_since(Instant::now()))
}

#[actix::test]
async fn expires_at_is_the_nearest_deadline_as_things_stand() {
    let clock = Stopwatch::start();
    let registry = registry(limits().max_age(secs(60)), &Log::default());
    let addr = registry.open("k").unwrap();
    assert_left(expires_in(&addr).await, secs(10), "idle");

    clock.reach(secs(4)).await;
    addr.send(Ping).await.unwrap();
    clock.reach(secs(6)).await;
    assert_left(expires_in(&addr).await, secs(8), "after a message");

    let hold = addr.send(TakeHold).await.unwrap();
    assert_left(expires_in(&addr).await, secs(54), "busy: max age only");
    clock.reach(secs(55)).await;
    drop(hold);
    settle().await;
    assert_left(expires_in(&addr).await, secs(5), "max age is nearer");

    let _hold = addr.send(TakeHold).await.unwrap();
    let _closing = registry.close("k");
    settle().await;
    assert_left(expires_in(&addr).await, secs(5), "draining: its hard end");
}

#[actix::test]
async fn a_session_without_deadlines_expires_never() {
    tokio::time::pause();
    let registry = registry(Limits::never(), &Log::default());
    let addr = registry.open("k").unwrap();
    assert_eq!(expires_in(&addr).await, None);
    inside(&addr, |_, ctx| ctx.set_limits(Limits::new().max_age(secs(9)))).await.unwrap();
    assert_left(expires_in(&addr).await, secs(9), "own");
}

/// The same seen from outside. An address is good for `idle_timeout` from its `open` on.
#[actix::test]
async fn info_shows_when_a_session_expires() {
    let clock = Stopwatch::start();
    let registry = registry(limits(), &Log::default());
    let addr = registry.open("k").unwrap();
    settle().await;
    assert_left(registry.info("k").unwrap().expires_in, secs(10), "opened");
    clock.reach(secs(4)).await;
    assert_left(registry.info("k").unwrap().expires_in, secs(6), "four seconds later");
    addr.send(Ping).await.unwrap();
    assert_left(registry.info("k").unwrap().expires_in, secs(10), "after a message");
    clock.reach(secs(8)).await;
    let _ = registry.open("k").unwrap();
    settle().await;
    assert_left(registry.info("k").unwrap().expires_in, secs(10), "opened again");
}
