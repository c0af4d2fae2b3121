//! What is asked of a session from outside (design, section 4): `close`, eviction, a shutdown and changes of policy need no
//! room in a mailbox, reach a session that is blocked or flooded, and asking twice is asking once. Of several, a shutdown
//! comes before `close`, and that before eviction.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

#[path = "support/exact.rs"]
mod exact;
#[path = "support/flood.rs"]
mod flood;
#[path = "support/guard.rs"]
mod guard;
mod support;

use std::future::pending;

use actix::prelude::*;
use exact::{Stopwatch, end_of, name_of};
use flood::{Flood, Load};
use guard::or_give_up;
use session_actors::{EndReason, Limits, OnFull, Policy, SendError, SessionRegistry};
use support::*;
use tokio::time::timeout;

// ---- several at once ---------------------------------------------------------------------------

type Ask = fn(&SessionRegistry<Probe>);

const EVICT: Ask = |registry| drop(registry.open("newcomer").unwrap());
const CLOSE: Ask = |registry| drop(registry.close("k"));
const SHUT_DOWN: Ask = |registry| drop(registry.shutdown(secs(5)));

#[actix::test]
async fn of_several_wishes_shutdown_comes_before_close_and_that_before_eviction() {
    tokio::time::pause();
    let in_every_order: [(&[Ask], EndReason); 6] = [
        (&[EVICT, CLOSE], EndReason::Closed),
        (&[CLOSE, EVICT], EndReason::Closed),
        (&[CLOSE, SHUT_DOWN], EndReason::Shutdown),
        (&[SHUT_DOWN, CLOSE], EndReason::Shutdown),
        (&[EVICT, SHUT_DOWN], EndReason::Shutdown),
        (&[EVICT, CLOSE, SHUT_DOWN], EndReason::Shutdown),
    ];
    for (n, (asked, reason)) in in_every_order.into_iter().enumerate() {
        let log = Log::default();
        let registry = registry_by(Policy::new(limits()).max_sessions(1).on_full(OnFull::EvictIdle), &log);
        let mut watch = registry.watch();
        registry.send("k", Ping).await.unwrap();
        settle().await;

        // A shutdown comes by way of the host. Something for the host to do first, so that it has its turn before the
        // session, which finds all that was asked of it at once.
        registry.set_policy(registry.policy()).unwrap();
        asked.iter().for_each(|ask| ask(&registry));

        assert_eq!(end_of(&mut watch, "k").await.reason, reason, "case {n}");
        assert_eq!((log.count("k#1: stopping"), log.count("k#1: stopped")), (1, 1), "case {n}");
    }
}

#[actix::test]
async fn twice_asked_is_once_asked() {
    let clock = Stopwatch::start();
    let log = Log::default();
    let registry = registry(limits(), &log);
    let mut watch = registry.watch();
    let _hold = registry.send("k", TakeHold).await.unwrap();
    clock.reach(secs(1)).await;
    // Twice before it has looked, and again in the middle of its drain.
    let at_first = [registry.close("k"), registry.close("k")];
    clock.reach(secs(4)).await;
    let again = registry.close("k");

    let ended = again.await.unwrap();

    clock.assert_at(secs(6), "drain_timeout after it was asked first");
    assert_eq!((ended.reason, ended.cut), (EndReason::Closed, 1));
    for closing in at_first {
        assert_eq!(closing.await.as_ref(), Ok(&ended));
    }
    assert_eq!((log.count("draining"), log.count("stopping"), log.count("stopped")), (1, 1, 1));
    registry.shutdown(secs(1)).await.unwrap();
    let mut events = Vec::new();
    while let Some(watched) = watch.next().await {
        if let session_actors::Watched::Event(event) = watched {
            events.push(name_of(&event.kind));
        }
    }
    assert_eq!(events, ["opened", "draining", "ended"]);
}

// ---- of whom they are asked --------------------------------------------------------------------

/// A session that takes no mail any more, and has all that it may have.
async fn blocked_and_full() -> SessionRegistry<Probe> {
    let registry = SessionRegistry::builder(|key| Probe::new(key, &Log::default()))
        .policy(Policy::new(limits()))
        .mailbox_capacity(1)
        .start()
        .unwrap();
    registry.send("k", Run::new(|act, ctx| ctx.wait(pending::<()>().into_actor(act)))).await.unwrap();
    registry.try_send("k", Ping).unwrap();
    assert!(matches!(registry.try_send("k", Ping), Err(SendError::Full { .. })));
    registry
}

#[actix::test]
async fn a_close_needs_no_room_in_the_mailbox() {
    let clock = Stopwatch::start();
    let registry = blocked_and_full().await;
    let closing = registry.close("k");
    settle().await;
    assert!(registry.get("k").is_none(), "it drains already");
    let ended = closing.await.unwrap();
    clock.assert_at(secs(5), "end");
    assert_eq!((ended.reason, ended.cut, ended.dropped), (EndReason::Closed, 1, 1));
}

#[actix::test]
async fn a_change_of_policy_needs_no_room_in_the_mailbox() {
    let clock = Stopwatch::start();
    let registry = blocked_and_full().await;
    let mut watch = registry.watch();
    clock.reach(secs(4)).await;
    registry.set_policy(Policy::new(limits().max_age(secs(7)).drain_timeout(secs(1)))).unwrap();
    settle().await;
    assert_eq!(registry.info("k").unwrap().limits.max_age, Some(secs(7)));
    let ended = end_of(&mut watch, "k").await;
    clock.assert_at(secs(8), "max_age and drain_timeout");
    assert_eq!((ended.reason, ended.cut, ended.handed_over), (EndReason::MaxAge, 1, 1));
}

/// By its mail, by its own mail and by its clockwork; with none of them it is ever busy.
const FLOODS: [Load; 4] = [Load::Neighbour, Load::Itself, Load::Notify, Load::Stream];

/// How a session ends that is flooded, once `ask` was done to it. In real time: a flood lets no paused clock go on.
async fn end_under(load: Load, policy: Policy, ask: impl FnOnce(&SessionRegistry<Probe>)) -> EndReason {
    let registry = registry_by(policy, &Log::default());
    let mut watch = registry.watch();
    let flood = Flood::begin(&registry, "flooded", load);
    flood.rises().await;
    ask(&registry);
    let (key, ended) = timeout(secs(10), next_end(&mut watch)).await.expect("it never heard of it");
    assert_eq!(key, "flooded");
    ended.reason
}

fn lasting() -> Limits {
    Limits::never().drain_timeout(millis(20))
}

#[test]
fn a_change_of_policy_reaches_a_session_that_is_flooded() {
    for load in FLOODS {
        or_give_up(load, move || async move {
            let ended = end_under(load, Policy::new(lasting()), |registry| {
                registry.set_policy(Policy::new(lasting().max_age(millis(1)))).unwrap();
            });
            assert_eq!(ended.await, EndReason::MaxAge, "{load:?}");
        });
    }
}

#[test]
fn an_eviction_reaches_a_session_that_is_flooded() {
    for load in FLOODS {
        or_give_up(load, move || async move {
            let policy = Policy::new(lasting()).max_sessions(1).on_full(OnFull::EvictIdle);
            let ended = end_under(load, policy, |registry| drop(registry.open("newcomer").unwrap()));
            assert_eq!(ended.await, EndReason::Evicted, "{load:?}");
        });
    }
}
