//! What counts as activity (design, section 4), by every way of answering and of sending: work
//! protects while it runs and its end restarts the clock, whether or not anybody waits for it.
//!
//! A session that was opened at 0 s and is idle after 10 s gets one message at 4 s. The second in
//! which it ends tells what counted: 10, nothing did; 14, the handling; 34, the end of 20 s of work;
//! 24, the work protected it and its end did not count.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

#[path = "support/exact.rs"]
mod exact;
#[path = "support/responses.rs"]
mod responses;
mod support;

use std::time::Duration;

use actix::prelude::*;
use exact::{Stopwatch, end_of};
use responses::*;
use session_actors::{EndReason, SessionRegistry};
use support::*;

const WORK: Duration = Duration::from_secs(20);

/// How a message comes to a session.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    RegistrySend,
    RegistryTrySend,
    RegistryDoSend,
    AddrSend,
    AddrTrySend,
    AddrDoSend,
    RecipientSend,
    RecipientDoSend,
    /// The caller goes away when the handler has run, and the work with nobody to wait for it.
    CallerLeaves,
}

const WAYS: [Way; 9] = [
    Way::RegistrySend,
    Way::RegistryTrySend,
    Way::RegistryDoSend,
    Way::AddrSend,
    Way::AddrTrySend,
    Way::AddrDoSend,
    Way::RecipientSend,
    Way::RecipientDoSend,
    Way::CallerLeaves,
];

/// Sends it, and waits for the reply if that is the way of it. True if there was one.
async fn deliver<M>(way: Way, message: M, registry: &SessionRegistry<Probe>, addr: &Addr<Probe>) -> bool
where
    Probe: Handler<M>,
    M: Message<Result = u64> + Send + Unpin + 'static,
{
    match way {
        Way::RegistrySend => return registry.send("k", message).await.unwrap() == 7,
        Way::AddrSend => return addr.send(message).await.unwrap() == 7,
        Way::RecipientSend => return addr.clone().recipient().send(message).await.unwrap() == 7,
        Way::RegistryTrySend => registry.try_send("k", message).unwrap(),
        Way::RegistryDoSend => registry.do_send("k", message).unwrap(),
        Way::AddrTrySend => addr.try_send(message).unwrap(),
        Way::AddrDoSend => addr.do_send(message),
        Way::RecipientDoSend => addr.clone().recipient().do_send(message),
        Way::CallerLeaves => {
            let reply = registry.send("k", message);
            settle().await;
            drop(reply);
        }
    }
    false
}

/// The scenario above, each way in turn: the reply comes at `replied` and the session ends at `ends`.
async fn each_way<M>(message: impl Fn() -> M, replied: Duration, ends: Duration)
where
    Probe: Handler<M>,
    M: Message<Result = u64> + Send + Unpin + 'static,
{
    for way in WAYS {
        let what = format!("{} by {way:?}", std::any::type_name::<M>());
        let registry = registry(limits(), &Log::default());
        let mut watch = registry.watch();
        let clock = Stopwatch::running();
        let addr = registry.open("k").unwrap();
        clock.reach(secs(4)).await;

        if deliver(way, message(), &registry, &addr).await {
            clock.assert_at(replied, &format!("reply to {what}"));
        }
        let ended = end_of(&mut watch, "k").await;

        clock.assert_at(ends, &what);
        assert_eq!(ended.reason, EndReason::IdleTimeout, "{what}");
        assert_eq!((ended.handled, ended.cut, ended.dropped), (1, 0, 0), "{what}");
    }
}

async fn protects<M>(message: fn(Work) -> M)
where
    Probe: Handler<M>,
    M: Message<Result = u64> + Send + Unpin + 'static,
{
    tokio::time::pause();
    each_way(|| message(Work { lasts: WORK, passive: false }), secs(24), secs(34)).await;
    each_way(|| message(Work { lasts: WORK, passive: true }), secs(24), secs(24)).await;
    // Work that is done before the deadline of the handling: its end restarts the clock all the same.
    each_way(|| message(Work { lasts: secs(3), passive: false }), secs(7), secs(17)).await;
    each_way(|| message(Work { lasts: secs(3), passive: true }), secs(7), secs(10)).await;
}

async fn is_over_at_once<M>(message: fn(Work) -> M)
where
    Probe: Handler<M>,
    M: Message<Result = u64> + Send + Unpin + 'static,
{
    tokio::time::pause();
    each_way(|| message(Work { lasts: WORK, passive: false }), secs(4), secs(14)).await;
    each_way(|| message(Work { lasts: WORK, passive: true }), secs(4), secs(10)).await;
}

#[actix::test]
async fn a_plain_value_counts_when_it_is_handled() {
    is_over_at_once(Plain).await;
}

#[actix::test]
async fn a_message_result_counts_when_it_is_handled() {
    is_over_at_once(ByResult).await;
}

#[actix::test]
async fn a_ready_actor_response_counts_when_it_is_handled() {
    is_over_at_once(ActorReady).await;
}

#[actix::test]
async fn a_ready_response_counts_when_it_is_handled() {
    is_over_at_once(ResponseReady).await;
}

#[actix::test]
async fn a_response_type_of_ones_own_that_is_ready_counts_when_it_is_handled() {
    is_over_at_once(OwnReady).await;
}

#[actix::test]
async fn a_derived_response_type_counts_when_it_is_handled() {
    let clock = Stopwatch::start();
    let registry = registry(limits(), &Log::default());
    let mut watch = registry.watch();
    let addr = registry.open("k").unwrap();
    clock.reach(secs(4)).await;
    assert_eq!(addr.send(AskDerived).await.unwrap(), Derived(7));
    end_of(&mut watch, "k").await;
    clock.assert_at(secs(14), "end");
}

#[actix::test]
async fn a_response_future_protects_its_session() {
    protects(ByFuture).await;
}

#[actix::test]
async fn a_response_act_future_protects_its_session() {
    protects(ByActFuture).await;
}

#[actix::test]
async fn an_atomic_response_protects_its_session() {
    protects(ByAtomic).await;
}

#[actix::test]
async fn an_async_actor_response_protects_its_session() {
    protects(ActorLater).await;
}

#[actix::test]
async fn a_response_by_future_protects_its_session() {
    protects(ResponseLater).await;
}

#[actix::test]
async fn a_response_of_ones_own_made_outside_of_the_context_protects_its_session() {
    protects(OwnOutside).await;
}

#[actix::test]
async fn a_response_of_ones_own_made_in_the_context_protects_its_session() {
    protects(OwnInside).await;
}

/// What it spawned into the context is the work, not the reply.
#[actix::test]
async fn work_that_goes_on_after_the_reply_protects_its_session() {
    tokio::time::pause();
    each_way(|| OwnEarly(Work { lasts: WORK, passive: false }), secs(4), secs(34)).await;
    each_way(|| OwnEarly(Work { lasts: WORK, passive: true }), secs(4), secs(24)).await;
}

#[actix::test]
async fn a_reply_that_is_let_go_ends_the_work_behind_it() {
    let clock = Stopwatch::start();
    let registry = registry(limits(), &Log::default());
    let mut watch = registry.watch();
    let addr = registry.open("k").unwrap();
    clock.reach(secs(4)).await;
    assert_eq!(addr.send(LetGo(Work { lasts: WORK, passive: false })).await, Err(MailboxError::Closed));
    clock.assert_at(secs(24), "the caller is told");
    end_of(&mut watch, "k").await;
    clock.assert_at(secs(34), "end");
}

/// Idle time begins when the last of them is done, in whatever order they end.
#[actix::test]
async fn overlapping_work_protects_until_the_last_of_it_is_done() {
    let clock = Stopwatch::start();
    let registry = registry(limits(), &Log::default());
    let mut watch = registry.watch();
    registry.do_send("k", Slow(secs(30))).unwrap();
    registry.do_send("k", SlowInContext(secs(20))).unwrap();
    registry.do_send("k", ResponseLater(Work { lasts: secs(25), passive: false })).unwrap();
    clock.reach(secs(5)).await;
    assert_eq!(registry.info("k").unwrap().in_flight, 3);

    let ended = end_of(&mut watch, "k").await;

    clock.assert_at(secs(40), "end");
    assert_eq!((ended.handled, ended.cut), (3, 0));
}

/// The twin on a running clock, with a session on a thread of its own: what was waited for has come
/// although it took several times the idle timeout.
#[actix::test]
async fn a_reply_in_flight_keeps_the_session_in_real_time() {
    let log = Log::default();
    let policy = session_actors::Policy::new(limits().idle_timeout(millis(100)));
    let registry = {
        let log = log.clone();
        SessionRegistry::builder(move |key| Probe::new(key, &log)).policy(policy).arbiters(1).start().unwrap()
    };
    let mut watch = registry.watch();
    let (slow, inside, atomic) = tokio::time::timeout(secs(30), async {
        tokio::join!(
            registry.send("future", Slow(millis(500))),
            registry.send("context", SlowInContext(millis(500))),
            registry.send("atomic", Atomic(millis(500))),
        )
    })
    .await
    .unwrap();
    assert_eq!((slow.unwrap(), inside.unwrap(), atomic.unwrap()), ("slow", "slow in context", "atomic"));

    for _ in 0..3 {
        let (key, ended) = tokio::time::timeout(secs(30), next_end(&mut watch)).await.unwrap();
        assert_eq!((ended.reason, ended.cut), (EndReason::IdleTimeout, 0), "{key}");
        assert!(ended.age >= millis(600), "{key}: {:?}", ended.age);
    }
}
