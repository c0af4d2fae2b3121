//! Promise 5, third part: after everything ended no key, address, timer or subscription is left.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

#[path = "support/guard.rs"]
mod guard;
mod support;

use std::{future::pending, sync::Arc};

use actix::prelude::*;
use session_actors::{Limits, Policy, SessionRegistry, Watch, Watched};
use tokio::time::{pause, sleep};

use crate::{
    guard::{or_give_up, quiet_provoked_panics},
    support::{Boom, Log, Ping, Probe, Run, Slow, SlowInContext, Stop, limits, next_end, registry, secs, settle},
};

/// Held by everything that should go; nothing is left when it is the last.
type Token = Arc<()>;

/// Gives a session one of everything that could outlive it, each with a token in it.
fn burden(token: &Token) -> Run {
    let token = Arc::clone(token);
    Run::new(move |probe, ctx| {
        let held = || Arc::clone(&token);
        let (timer, interval, spawned, stream) = (held(), held(), held(), held());
        ctx.run_later(secs(1_000_000), move |_, _| drop(timer));
        ctx.run_interval(secs(7), move |_, _| {
            let _ = &interval;
        });
        ctx.spawn(
            async move {
                let _held = spawned;
                pending::<()>().await;
            }
            .into_actor(probe),
        );
        ctx.add_message_stream(futures_util::stream::once(async move {
            let _held = stream;
            pending::<Ping>().await
        }));
    })
}

fn assert_nothing_is_live(registry: &SessionRegistry<Probe>, log: &Log) {
    let stats = registry.stats();
    assert_eq!((stats.live, stats.draining, stats.waiting, stats.keys), (0, 0, 0, 0));
    assert_eq!(stats.opened, stats.ended.total());
    assert!(registry.is_empty() && registry.list().is_empty());
    assert_eq!(log.alive(), 0);
}

/// Ways to end, all of them different.
const WAYS: usize = 7;

async fn end(registry: &SessionRegistry<Probe>, key: &str, way: usize) {
    match way {
        0 => drop(registry.close(key)),
        1 => registry.do_send(key, Stop).unwrap(),
        2 => registry.do_send(key, Boom("provoked")).unwrap(),
        // Cut by the drain that follows its close.
        3 => {
            registry.do_send(key, Slow(secs(1_000))).unwrap();
            drop(registry.close(key));
        }
        4 => {
            registry.do_send(key, SlowInContext(secs(1_000))).unwrap();
            drop(registry.close(key));
        }
        5 => registry.do_send(key, Run::new(|_, ctx| ctx.terminate())).unwrap(),
        // By its idle timeout.
        _ => {}
    }
}

#[actix::test]
async fn a_session_leaves_nothing_behind_however_it_ends() {
    pause();
    quiet_provoked_panics();
    let (log, token) = (Log::default(), Token::default());
    let registry = registry(limits(), &log);
    let mut watch = registry.watch();
    let mut weak = Vec::new();
    for n in 0..10 * WAYS {
        let key = format!("key:{n}");
        registry.send(&key, burden(&token)).await.unwrap();
        weak.push(registry.get(&key).unwrap().downgrade());
        end(&registry, &key, n % WAYS).await;
    }
    assert!(Arc::strong_count(&token) > 1);
    for _ in 0..10 * WAYS {
        next_end(&mut watch).await;
    }

    assert_nothing_is_live(&registry, &log);
    assert_eq!(Arc::strong_count(&token), 1, "a timer, a future or a stream is left");
    assert!(weak.iter().all(|weak| weak.upgrade().is_none()), "an address is left");
    assert_eq!(registry.stats().watchers, 1);
    drop(watch);
    assert_eq!(registry.stats().watchers, 0);
}

#[actix::test]
async fn an_address_that_is_kept_keeps_nothing_else() {
    pause();
    let (log, token) = (Log::default(), Token::default());
    let registry = registry(limits(), &log);
    let addr = registry.open("k").unwrap();
    addr.send(burden(&token)).await.unwrap();
    let closing = registry.close("k");
    assert_eq!(closing.await.unwrap().handled, 1);

    assert_nothing_is_live(&registry, &log);
    assert_eq!(Arc::strong_count(&token), 1);
    assert!(!addr.connected());
    assert_eq!(addr.send(Ping).await, Err(MailboxError::Closed));
    // Nor is it another's address by now.
    registry.open("k").unwrap();
    settle().await;
    assert_eq!(addr.send(Ping).await, Err(MailboxError::Closed));
}

/// Nobody but its subscription keeps its address.
struct Subscriber;

impl Actor for Subscriber {
    type Context = Context<Self>;
}

impl Handler<Watched> for Subscriber {
    type Result = ();

    fn handle(&mut self, _: Watched, _: &mut Self::Context) {}
}

async fn ends(mut watch: Watch) {
    while watch.next().await.is_some() {}
    assert!(watch.next().await.is_none(), "it ends for good");
}

/// A registry whose factory holds a token: the whole registry is gone when that is.
fn registry_with(token: &Token, log: &Log, arbiters: usize) -> SessionRegistry<Probe> {
    let (token, log) = (Arc::clone(token), log.clone());
    SessionRegistry::builder(move |key| {
        let _ = &token;
        Probe::new(key, &log)
    })
    .policy(Policy::new(Limits::never().drain_timeout(secs(1))))
    .arbiters(arbiters)
    .start()
    .unwrap()
}

#[actix::test]
async fn a_registry_that_is_shut_down_leaves_nothing_behind() {
    pause();
    let (log, token) = (Log::default(), Token::default());
    let registry = registry_with(&token, &log, 0);
    let (first, second) = (registry.watch(), registry.watch());
    let subscriber = Subscriber.start();
    let weak_subscriber = subscriber.downgrade();
    registry.watch_to(subscriber.recipient()).unwrap();
    let mut weak = Vec::new();
    for n in 0..50 {
        let key = format!("key:{n}");
        registry.send(&key, burden(&token)).await.unwrap();
        weak.push(registry.get(&key).unwrap().downgrade());
    }

    let report = registry.shutdown(secs(10)).await.unwrap();
    assert_eq!((report.drained, report.cut, report.unresponsive), (50, 0, 0));
    ends(first).await;
    ends(second).await;
    // A paused clock moves when there is nothing else left to do: the recipient has everything by then.
    sleep(secs(1)).await;
    assert_nothing_is_live(&registry, &log);
    assert_eq!(registry.stats().watchers, 0);
    assert!(weak.iter().all(|weak| weak.upgrade().is_none()));
    assert!(weak_subscriber.upgrade().is_none(), "its subscription keeps it");

    // A closed registry that is still held is only its handle.
    drop(registry);
    settle().await;
    assert_eq!(Arc::strong_count(&token), 1, "something keeps the registry");
}

#[actix::test]
async fn a_registry_that_is_dropped_leaves_nothing_behind() {
    pause();
    let (log, token) = (Log::default(), Token::default());
    let registry = registry_with(&token, &log, 0);
    let (watch, weak) = (registry.watch(), registry.downgrade());
    for n in 0..50 {
        registry.send(format!("key:{n}"), burden(&token)).await.unwrap();
    }
    // One that has to be cut.
    registry.do_send("key:0", Slow(secs(1_000))).unwrap();
    settle().await;

    drop(registry);
    assert!(weak.upgrade().is_none());
    ends(watch).await;
    settle().await;
    assert_eq!(log.alive(), 0);
    assert_eq!(Arc::strong_count(&token), 1, "something keeps the registry");
}

/// The twin in real time, with threads of its own: they stop, and so everything on them goes.
#[test]
fn a_registry_with_threads_of_its_own_leaves_nothing_behind() {
    or_give_up("leaves", || async {
        let (log, token) = (Log::default(), Token::default());
        let registry = registry_with(&token, &log, 2);
        let watch = registry.watch();
        for n in 0..50 {
            registry.send(format!("key:{n}"), burden(&token)).await.unwrap();
        }
        registry.shutdown(secs(10)).await.unwrap();
        ends(watch).await;
        drop(registry);
        assert_eq!(log.alive(), 0);
        // The threads let go of the hub when they stop, which nobody can wait for but by looking.
        while Arc::strong_count(&token) > 1 {
            sleep(std::time::Duration::from_millis(1)).await;
        }
    });
}
