//! The limits of section 4 of the design that end a session by itself: idle timeout and max age,
//! and `never`. The others are in `limits_busy.rs`, `warnings_and_veto.rs` and `own_limits.rs`.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

#[path = "support/exact.rs"]
mod exact;
mod support;

use exact::{Stopwatch, assert_about, end_of};
use session_actors::{EndReason, Limits, OpenError, Policy, PolicyError, SessionRegistry, StartError};
use support::*;

/// A session whose clock was restarted just before the timer fires is not given another full
/// timeout from there: whatever the last message's instant, T after it is the end.
#[actix::test]
async fn idle_fires_at_t_and_never_at_two_t() {
    tokio::time::pause();
    for last in [0, 1, 2_500, 5_000, 7_777, 9_900, 9_990, 13_000, 19_995] {
        let clock = Stopwatch::running();
        let registry = registry(limits(), &Log::default());
        let mut watch = registry.watch();
        let addr = registry.open("k").unwrap();
        for earlier in (0..last).step_by(4_000) {
            clock.reach(millis(earlier)).await;
            addr.send(Ping).await.unwrap();
        }
        clock.reach(millis(last)).await;
        addr.send(Ping).await.unwrap();

        let ended = end_of(&mut watch, "k").await;

        clock.assert_at(millis(last) + secs(10), &format!("last message at {last} ms"));
        assert_eq!(ended.reason, EndReason::IdleTimeout);
        assert_about(ended.age, millis(last) + secs(10), "age");
        assert_about(ended.idle, secs(10), "idle");
    }
}

#[actix::test]
async fn a_session_that_gets_no_message_at_all_is_idle_from_its_start() {
    let clock = Stopwatch::start();
    let log = Log::default();
    let registry = registry(limits(), &log);
    let mut watch = registry.watch();
    let addr = registry.open("k").unwrap();
    let ended = end_of(&mut watch, "k").await;
    clock.assert_at(secs(10), "end");
    assert_eq!((ended.reason, ended.handled), (EndReason::IdleTimeout, 0));
    assert_eq!(
        log.take(),
        ["k#1: started", "k#1: expiring", "k#1: stopping Some(IdleTimeout)", "k#1: stopped Some(IdleTimeout)"]
    );
    assert!(!addr.connected(), "nothing accepts what nobody would handle");
    assert_eq!(log.alive(), 0);
}

#[actix::test]
async fn max_age_ends_a_session_whatever_its_traffic() {
    let clock = Stopwatch::start();
    let log = Log::default();
    let registry = registry(limits().max_age(secs(60)), &log);
    let mut watch = registry.watch();
    let addr = registry.open("k").unwrap();
    for second in 1..60 {
        clock.reach(secs(second)).await;
        addr.send(Ping).await.unwrap();
        // Neither of them moves it.
        let _ = registry.open("k").unwrap();
        addr.send(Run::new(|_, ctx| ctx.touch())).await.unwrap();
    }
    let ended = end_of(&mut watch, "k").await;
    clock.assert_at(secs(60), "end");
    assert_eq!((ended.reason, ended.handled), (EndReason::MaxAge, 2 * 59));
    assert_eq!(log.count("expiring"), 0, "max age asks nobody");
}

/// It counts from `open`, not from the last policy, message or extension.
#[actix::test]
async fn a_busy_session_reaches_its_max_age_and_then_drains() {
    let clock = Stopwatch::start();
    let registry = registry(limits().max_age(secs(60)), &Log::default());
    let mut watch = registry.watch();
    let reply = registry.send("k", Slow(secs(63)));
    let ended = end_of(&mut watch, "k").await;
    clock.assert_at(secs(63), "end");
    assert_eq!((ended.reason, ended.cut), (EndReason::MaxAge, 0));
    assert_eq!(reply.await.unwrap(), "slow", "work in flight is finished within drain_timeout");
}

/// Nobody can veto max age, so where both are due it is the reason.
#[actix::test]
async fn where_both_are_due_at_once_it_is_max_age() {
    let clock = Stopwatch::start();
    let log = Log::default();
    let registry = registry(limits().max_age(secs(10)), &log);
    let mut watch = registry.watch();
    let _ = registry.open("k").unwrap();
    let ended = end_of(&mut watch, "k").await;
    clock.assert_at(secs(10), "end");
    assert_eq!(ended.reason, EndReason::MaxAge);
    assert_eq!(log.count("expiring"), 0);
}

#[actix::test]
async fn the_nearer_of_idle_and_max_age_is_the_end() {
    tokio::time::pause();
    for (age, reason, at) in [(secs(9), EndReason::MaxAge, secs(9)), (secs(11), EndReason::IdleTimeout, secs(10))] {
        let clock = Stopwatch::running();
        let registry = registry(limits().max_age(age), &Log::default());
        let mut watch = registry.watch();
        let _ = registry.open("k").unwrap();
        assert_eq!(end_of(&mut watch, "k").await.reason, reason);
        clock.assert_at(at, "end");
    }
}

#[actix::test]
async fn each_session_has_deadlines_of_its_own() {
    let clock = Stopwatch::start();
    let registry = registry(limits(), &Log::default());
    let mut watch = registry.watch();
    for second in 0..50 {
        clock.reach(secs(second) / 10).await;
        let _ = registry.open(format!("k{second}")).unwrap();
    }
    for second in 0..50 {
        let (key, ended) = next_end(&mut watch).await;
        assert_eq!(key.as_str(), format!("k{second}"));
        assert_about(ended.age, secs(10), key.as_str());
    }
    assert!(registry.is_empty());
}

// ---- never -------------------------------------------------------------------------------------

#[actix::test]
async fn a_session_that_never_expires_is_there_after_years() {
    let clock = Stopwatch::start();
    let log = Log::default();
    let registry = registry(Limits::never(), &log);
    let addr = registry.open("k").unwrap();
    for year in 1..=3 {
        clock.reach(secs(year * 366 * 24 * 3600)).await;
        assert!(registry.get("k").is_some());
    }
    assert_eq!(addr.send(Ping).await.unwrap(), 1);
    assert_eq!(registry.info("k").unwrap().expires_in, None);
    assert_eq!(log.take(), ["k#1: started"]);
}

#[actix::test]
async fn each_limit_is_switched_off_by_itself() {
    tokio::time::pause();
    for (limits, reason, at) in [
        (limits().idle_timeout(None), EndReason::MaxAge, secs(3600)),
        (limits().max_age(None), EndReason::IdleTimeout, secs(10)),
    ] {
        let clock = Stopwatch::running();
        let registry = registry(limits, &Log::default());
        let mut watch = registry.watch();
        let _ = registry.open("k").unwrap();
        assert_eq!(end_of(&mut watch, "k").await.reason, reason);
        clock.assert_at(at, "end");
    }
}

/// A limit beyond the end of the clock is as good as none, and not an overflow.
#[actix::test]
async fn an_absurdly_long_limit_is_never() {
    let clock = Stopwatch::start();
    let forever = std::time::Duration::MAX;
    let limits = Limits::new().idle_timeout(forever).max_age(forever).max_busy(forever).drain_timeout(forever);
    let registry = registry(limits, &Log::default());
    let addr = registry.open("k").unwrap();
    clock.reach(secs(3600 * 24 * 400)).await;
    let slow = addr.send(Slow(secs(3600 * 24)));
    let reply = actix::spawn(slow);
    settle().await;
    let closing = registry.close("k");
    assert_eq!(reply.await.unwrap().unwrap(), "slow");
    assert_eq!(closing.await.unwrap().cut, 0);
}

/// Zero is taken for "off" here and for "at once" there; so it is neither.
#[actix::test]
async fn zero_is_refused_for_every_limit_and_says_what_to_write() {
    let zero = secs(0);
    for (limits, field) in [
        (Limits::new().idle_timeout(zero), "idle_timeout"),
        (Limits::new().max_age(zero), "max_age"),
        (Limits::new().max_busy(zero), "max_busy"),
        (Limits::new().warn_before(zero), "warn_before"),
        (Limits::new().drain_timeout(zero), "drain_timeout"),
    ] {
        let log = Log::default();
        let started = {
            let log = log.clone();
            SessionRegistry::builder(move |key| Probe::new(key, &log)).policy(Policy::new(limits)).start()
        };
        let error = started.unwrap_err();
        assert!(
            matches!(&error, StartError::Policy(PolicyError::ZeroDuration { field: named, .. }) if *named == field),
            "{error:?}"
        );
        let message = error.to_string();
        assert!(message.contains(field) && message.contains("never"), "{message}");
    }
}

// ---- in real time ------------------------------------------------------------------------------

#[actix::test]
async fn idle_and_max_age_hold_in_real_time() {
    let log = Log::default();
    let policy = Policy::new(Limits::new().idle_timeout(millis(150)).max_age(secs(3600)))
        .rule("old", Limits::new().idle_timeout(None).max_age(millis(300)));
    let registry = {
        let log = log.clone();
        SessionRegistry::builder(move |key| Probe::new(key, &log)).policy(policy).arbiters(2).start().unwrap()
    };
    let mut watch = registry.watch();
    registry.do_send("idle", Ping).unwrap();
    registry.do_send("old", Ping).unwrap();
    for _ in 0..2 {
        let (key, ended) = tokio::time::timeout(secs(30), next_end(&mut watch)).await.unwrap();
        let (reason, at) = match key.as_str() {
            "idle" => (EndReason::IdleTimeout, millis(150)),
            _ => (EndReason::MaxAge, millis(300)),
        };
        assert_eq!((ended.reason, ended.handled), (reason, 1));
        // Not before. How long after is up to the machine.
        assert!(ended.age >= at, "{key}: {:?}", ended.age);
    }
    assert!(!matches!(registry.open("idle"), Err(OpenError::ShuttingDown)));
}
