//! Promise 3: exactly one `Ended` per `Opened`, with its reason and what the session left. Ends by
//! panic: `promise_3_ends_by_panic.rs`; by an arbiter that stops: `promise_3_aborted.rs`.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

#[path = "support/ends.rs"]
mod ends;
#[path = "support/exact.rs"]
mod exact;
#[path = "support/hooked.rs"]
mod hooked;
#[path = "support/responses.rs"]
mod responses;
mod support;

use std::collections::HashMap;

use actix::prelude::*;
use ends::{ALL_BUT_ABORTED, bring_about, limits_for, registry_for};
use exact::{assert_about, end_of, name_of, reason_of};
use hooked::{Mark, Script, cause, expect_booms};
use proptest::prelude::*;
use responses::{ByActFuture, ByFuture, Work};
use session_actors::{CloseError, EndReason, EventKind, SessionContext, SessionId, Unserved, Watch, Watched};
use support::{
    Atomic, Boom, Log, Ping, Probe, Run, Slow, SlowInContext, Stop, gate, limits, millis, next_end, registry, secs,
    settle,
};

/// Every event until the stream ends, which it does when the registry is shut down.
async fn to_the_end(mut watch: Watch) -> Vec<std::sync::Arc<session_actors::SessionEvent>> {
    let mut events = Vec::new();
    while let Some(watched) = watch.next().await {
        match watched {
            Watched::Event(event) => events.push(event),
            Watched::Snapshot(_) => {}
            other => panic!("unexpected {other:?}"),
        }
    }
    events
}

#[actix::test]
async fn every_reason_is_given_once() {
    tokio::time::pause();
    expect_booms();
    for reason in ALL_BUT_ABORTED {
        let registry = registry_for(reason, &Script::new(&Log::default()));
        let mut watch = registry.watch();
        bring_about(reason, &registry).await;
        assert_eq!(end_of(&mut watch, "a").await.reason, reason);
        // Long enough for whatever might be published twice.
        tokio::time::sleep(secs(4000)).await;
        let stats = registry.stats();
        assert_eq!(stats.opened, if reason == EndReason::Evicted { 2 } else { 1 }, "{reason}");
        assert_eq!((stats.ended.total(), stats.live), (stats.opened, 0), "{reason}");
        drop(registry);
        let more = to_the_end(watch).await;
        assert!(more.iter().all(|event| event.key.as_str() == "b"), "{reason}: {more:?}");
    }
}

#[actix::test]
async fn an_end_tells_its_age_and_how_long_it_was_idle() {
    tokio::time::pause();
    for (reason, age, idle) in [
        (EndReason::IdleTimeout, secs(12), secs(10)),
        (EndReason::MaxAge, secs(7), secs(5)),
        (EndReason::Closed, secs(6), secs(4)),
        (EndReason::Shutdown, secs(6), secs(4)),
    ] {
        let registry = Script::new(&Log::default()).registry(limits_for(reason));
        let mut watch = registry.watch();
        registry.open("a").unwrap();
        tokio::time::sleep(secs(2)).await;
        registry.send("a", Mark("")).await.unwrap();
        tokio::time::sleep(secs(4)).await;
        match reason {
            EndReason::Closed => drop(registry.close("a")),
            EndReason::Shutdown => drop(registry.shutdown(secs(5))),
            _ => {}
        }
        let (_, ended) = next_end(&mut watch).await;
        assert_eq!((ended.reason, ended.handled, ended.panic), (reason, 1, None));
        assert_about(ended.age, age, "age");
        assert_about(ended.idle, idle, "idle");
    }
}

/// Each of the four counts differs from the others, so none can stand in for another.
#[actix::test]
async fn an_end_counts_what_it_leaves_exactly() {
    tokio::time::pause();
    let log = Log::default();
    let registry = registry(limits(), &log);
    let mut watch = registry.watch();
    let long = Work { lasts: secs(1000), passive: false };
    registry.send("a", Ping).await.unwrap();
    let goes_on = registry.send("a", ByFuture(Work { lasts: secs(9), passive: false }));
    let cut = [registry.send("a", ByActFuture(long)), registry.send("a", ByActFuture(long))];
    let (open, gate) = gate();
    // Blocks the mailbox until the gate opens, and stops.
    let stop = Run::new(|probe, ctx| {
        let opened = async { drop(gate.await) }.into_actor(probe);
        ctx.wait(opened.map(|(), _, ctx: &mut SessionContext<Probe>| ctx.stop()));
    });
    registry.do_send("a", stop).unwrap();
    let left: Vec<_> = (0..7).map(|_| registry.send("a", Ping)).collect();
    let gone: Vec<_> = (0..3).map(|_| registry.send("a", Ping)).collect();
    settle().await;
    drop(gone);
    open.send(()).unwrap();

    let (_, ended) = next_end(&mut watch).await;

    assert_eq!(ended.reason, EndReason::Stopped);
    assert_eq!((ended.handled, ended.cut, ended.handed_over, ended.dropped), (5, 2, 7, 3));
    for answer in cut {
        assert!(matches!(cause(answer.await), Unserved::Ended { reason: EndReason::Stopped, .. }));
    }
    assert_eq!(goes_on.await.unwrap(), 7);
    for (n, answer) in left.into_iter().enumerate() {
        assert_eq!(answer.await.unwrap(), n as u64 + 1);
    }
    let stats = registry.stats();
    assert_eq!((stats.work_cut, stats.messages_handed_over, stats.messages_dropped), (2, 7, 3));
}

#[actix::test]
async fn however_many_ask_for_its_end_it_ends_once() {
    tokio::time::pause();
    let log = Log::default();
    let registry = registry(limits().idle_timeout(secs(1)).max_age(secs(1)), &log);
    let mut watch = registry.watch();
    registry.send("a", Ping).await.unwrap();
    let addr = registry.get("a").unwrap();
    // Everything at the same instant: the deadlines, two closes, its own stop, the shutdown.
    tokio::time::sleep(millis(998)).await;
    addr.do_send(Stop);
    let closing = [registry.close("a"), registry.close("a")];
    let report = registry.shutdown(secs(1));
    tokio::time::sleep(millis(5)).await;
    let (_, ended) = next_end(&mut watch).await;
    for closing in closing {
        assert_eq!(closing.await, Ok(ended.clone()));
    }
    report.await.unwrap();
    let rest = to_the_end(watch).await;
    assert!(rest.is_empty(), "{rest:?}");
    assert_eq!((registry.stats().opened, registry.stats().ended.total()), (1, 1));
    assert_eq!((log.count("stopping"), log.count("stopped"), log.alive()), (1, 1, 0));
}

#[actix::test]
async fn who_waits_for_an_end_gets_what_the_event_says() {
    tokio::time::pause();
    let log = Log::default();
    let registry = registry(limits(), &log);
    let mut watch = registry.watch();
    let slow = registry.send("a", Slow(secs(3)));
    settle().await;
    let first = registry.close("a");
    settle().await;
    // It is out of the directory and still found by those who want to see it end.
    let second = registry.close("a");
    assert_eq!(slow.await.unwrap(), "slow");
    let (_, ended) = next_end(&mut watch).await;
    assert_eq!((first.await, second.await), (Ok(ended.clone()), Ok(ended)));
    assert_eq!(registry.close("a").await, Err(CloseError::NotFound));
}

#[actix::test]
async fn a_session_that_waits_may_be_closed_and_handles_its_mail_first() {
    tokio::time::pause();
    let log = Log::default();
    let registry = registry(limits(), &log);
    let slow = registry.send("a", Slow(secs(3)));
    settle().await;
    let first = registry.close("a");
    settle().await;
    let waits = registry.send("a", Ping);
    let second = registry.close("a");
    assert_eq!((waits.await.unwrap(), slow.await.unwrap()), (1, "slow"));
    let (first, second) = (first.await.unwrap(), second.await.unwrap());
    assert_eq!((first.reason, first.handled), (EndReason::Closed, 1));
    assert_eq!((second.reason, second.handled, second.dropped), (EndReason::Closed, 1, 0));
    assert_about(second.age, millis(0), "at rest when it has handled its mail");
    assert_eq!((registry.stats().opened, registry.stats().keys), (2, 0));
}

#[actix::test]
async fn a_session_that_waits_when_the_registry_is_shut_down_handles_its_mail_and_goes() {
    tokio::time::pause();
    let log = Log::default();
    let registry = registry(limits(), &log);
    let watch = registry.watch();
    let slow = registry.send("a", Slow(secs(3)));
    settle().await;
    drop(registry.close("a"));
    settle().await;
    let waits = registry.send("a", Ping);
    let report = registry.shutdown(secs(20)).await.unwrap();
    assert_eq!((report.drained, report.cut, report.unresponsive), (2, 0, 0));
    assert_eq!((waits.await.unwrap(), slow.await.unwrap()), (1, "slow"));
    let kinds: Vec<_> = to_the_end(watch).await.iter().map(|event| reason_of(&event.kind)).collect();
    let (closed, shutdown) = (Some(EndReason::Closed), Some(EndReason::Shutdown));
    assert_eq!(kinds, [None, closed, closed, None, shutdown]);
}

/// Something done to the sessions of two keys.
#[derive(Debug, Clone, Copy)]
enum Step {
    Ping,
    Slow,
    InContext,
    Atomic,
    Boom,
    Stop,
    Close,
    OldAddress,
    Forget,
    Pass(u64),
}

fn step() -> impl Strategy<Value = (usize, Step)> {
    use Step::{Atomic, Boom, Close, Forget, InContext, OldAddress, Pass, Ping, Slow, Stop};
    let steps = prop_oneof![
        3 => Just(Ping),
        1 => Just(Slow),
        1 => Just(InContext),
        1 => Just(Atomic),
        1 => Just(Boom),
        2 => Just(Stop),
        2 => Just(Close),
        2 => Just(OldAddress),
        1 => Just(Forget),
        3 => prop_oneof![Just(0u64), Just(1), 2..30_000u64].prop_map(Pass),
    ];
    (0..2usize, steps)
}

/// Runs the steps and checks the whole record afterwards.
async fn whatever_happens(steps: Vec<(usize, Step)>) {
    tokio::time::pause();
    expect_booms();
    let log = Log::default();
    let limits = limits().idle_timeout(secs(4)).max_age(secs(20)).drain_timeout(secs(3));
    let registry = registry(limits, &log);
    let watch = registry.watch();
    let keys = ["a", "b"];
    let mut addrs: Vec<Addr<Probe>> = Vec::new();
    let (mut sent, mut forgotten) = (0, 0);
    for (key, step) in steps {
        let key = keys[key];
        sent += 1;
        match step {
            Step::Ping => registry.do_send(key, Ping).unwrap(),
            Step::Slow => registry.do_send(key, Slow(secs(2))).unwrap(),
            Step::InContext => registry.do_send(key, SlowInContext(secs(2))).unwrap(),
            Step::Atomic => registry.do_send(key, Atomic(secs(5))).unwrap(),
            Step::Boom => registry.do_send(key, Boom("boom")).unwrap(),
            Step::Stop => registry.do_send(key, Stop).unwrap(),
            Step::Close => {
                drop(registry.close(key));
                sent -= 1;
            }
            // Leads to whichever incarnation it was made for.
            Step::OldAddress => match addrs.iter().find(|addr| addr.connected()) {
                Some(addr) => addr.do_send(Ping),
                None => {
                    addrs.push(registry.open(key).unwrap());
                    sent -= 1;
                }
            },
            // Nobody waits for it: dropped at an end, or in its turn, where it is not counted.
            Step::Forget => {
                drop(registry.send(key, Ping));
                sent -= 1;
                forgotten += 1;
            }
            Step::Pass(millis) => {
                tokio::time::sleep(support::millis(millis)).await;
                sent -= 1;
            }
        }
    }
    tokio::time::sleep(secs(60)).await;
    assert!(registry.is_empty(), "nothing outlives its max age");
    let stats = registry.stats();
    assert_eq!((stats.keys, stats.waiting, log.alive()), (0, 0, 0));
    registry.shutdown(secs(1)).await.unwrap();

    let mut open: HashMap<String, SessionId> = HashMap::new();
    let (mut handled, mut dropped) = (0, 0);
    for event in to_the_end(watch).await {
        let key = event.key.to_string();
        match &event.kind {
            EventKind::Opened { .. } => {
                let before = open.insert(key, event.session);
                assert_eq!(before, None, "Ended(1) < Opened(2)");
            }
            EventKind::Ended(ended) => {
                assert_eq!(open.remove(&key), Some(event.session), "it was open, and this one");
                assert_eq!(ended.panic.is_some(), ended.reason == EndReason::Panicked);
                handled += ended.handled;
                dropped += ended.dropped;
            }
            other => assert_eq!(open.get(&key), Some(&event.session), "{}", name_of(other)),
        }
    }
    assert!(open.is_empty(), "each was ended");
    let lost = sent - handled;
    assert!((lost..=lost + forgotten).contains(&dropped), "{handled} handled and {dropped} dropped of {sent}");
}

#[test]
fn whatever_happens_the_record_is_whole() {
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(steps in proptest::collection::vec(step(), 1..60))| {
        actix::System::new().block_on(whatever_happens(steps));
    });
}
