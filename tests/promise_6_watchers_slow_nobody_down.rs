//! Promise 6, second part: watchers never slow sessions down, and a `Recipient` is fed by a task
//! that waits for each delivery.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

#[path = "support/belief.rs"]
mod belief;
#[path = "support/guard.rs"]
mod guard;
mod support;

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use actix::prelude::*;
use session_actors::{Policy, SessionRegistry, Watched};
use tokio::{
    sync::Semaphore,
    time::{Instant, pause, sleep, timeout},
};

use crate::{
    belief::{Belief, live},
    guard::{assert_due_now, or_give_up},
    support::{Log, Ping, Probe, limits, millis, registry, secs, settle},
};

/// A watcher that is an actor, and as slow as its `permits` make it. It could handle many items at
/// once, so that nobody but who feeds it keeps it from that.
struct Slowpoke {
    permits: Arc<Semaphore>,
    seen: Seen,
}

#[derive(Clone, Default)]
struct Seen {
    belief: Arc<Mutex<Belief>>,
    /// Items begun and not done; the most there were of them.
    now: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

impl Slowpoke {
    fn start_with(permits: usize) -> (Addr<Self>, Arc<Semaphore>, Seen) {
        let (permits, seen) = (Arc::new(Semaphore::new(permits)), Seen::default());
        (Self { permits: Arc::clone(&permits), seen: seen.clone() }.start(), permits, seen)
    }
}

impl Actor for Slowpoke {
    type Context = Context<Self>;
}

impl Handler<Watched> for Slowpoke {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, item: Watched, _: &mut Self::Context) -> Self::Result {
        let (permits, seen) = (Arc::clone(&self.permits), self.seen.clone());
        Box::pin(async move {
            let now = seen.now.fetch_add(1, Ordering::SeqCst) + 1;
            seen.most.fetch_max(now, Ordering::SeqCst);
            permits.acquire().await.unwrap().forget();
            seen.belief.lock().unwrap().take(&item);
            seen.now.fetch_sub(1, Ordering::SeqCst);
        })
    }
}

fn forgetful(history: usize) -> SessionRegistry<Probe> {
    SessionRegistry::builder(|key| Probe::new(key, &Log::default()))
        .policy(Policy::new(limits()))
        .event_history(history)
        .start()
        .unwrap()
}

#[actix::test]
async fn a_recipient_is_fed_one_at_a_time_and_gets_everything() {
    pause();
    let registry = registry(limits(), &Log::default());
    let (addr, permits, seen) = Slowpoke::start_with(0);
    registry.send("before", Ping).await.unwrap();
    registry.watch_to(addr.recipient()).unwrap();
    for n in 0..100 {
        registry.send(format!("key:{n}"), Ping).await.unwrap();
    }
    settle().await;
    // The first item is with it, and nothing else is.
    assert_eq!((seen.now.load(Ordering::SeqCst), seen.belief.lock().unwrap().at), (1, None));

    permits.add_permits(1);
    settle().await;
    assert_eq!(seen.belief.lock().unwrap().known.len(), 1, "the snapshot of when it subscribed");
    permits.add_permits(1_000);
    sleep(millis(1)).await;
    assert_eq!(seen.belief.lock().unwrap().known, live(&registry));
    assert_eq!(seen.belief.lock().unwrap().events, 100);
    assert_eq!((seen.now.load(Ordering::SeqCst), seen.most.load(Ordering::SeqCst)), (0, 1));
}

#[actix::test]
async fn a_recipient_that_is_too_slow_is_told_so_and_goes_on() {
    pause();
    let registry = forgetful(10);
    let (addr, permits, seen) = Slowpoke::start_with(1);
    registry.watch_to(addr.recipient()).unwrap();
    settle().await;
    for n in 0..100 {
        registry.send(format!("key:{n}"), Ping).await.unwrap();
    }
    permits.add_permits(1_000);
    sleep(millis(1)).await;
    let belief = seen.belief.lock().unwrap().clone();
    assert_eq!(belief.lags, 1);
    assert_eq!(belief.missed + belief.events, 100);
    assert_eq!(belief.known, live(&registry));
}

/// Nothing of what a session does takes longer for who watches it, however many do and never read.
#[actix::test]
async fn sessions_do_not_wait_for_watchers_that_do_not_read() {
    pause();
    let registry = forgetful(10);
    let watches: Vec<_> = (0..100).map(|_| registry.watch()).collect();
    let slowpokes: Vec<_> = (0..100).map(|_| Slowpoke::start_with(0)).collect();
    for (addr, ..) in &slowpokes {
        registry.watch_to(addr.clone().recipient()).unwrap();
    }
    let began = Instant::now();
    for n in 0..300 {
        let key = format!("key:{}", n % 7);
        assert_eq!(registry.send(&key, Ping).await.unwrap(), 1);
        assert_eq!(registry.close(&key).await.unwrap().handled, 1);
    }
    assert_due_now(began, secs(0));
    // An idle end comes when it is due.
    registry.send("idle", Ping).await.unwrap();
    let mut watch = registry.watch();
    support::next_end(&mut watch).await;
    assert_due_now(began, secs(10));
    assert_eq!(registry.stats().watchers, 201);

    drop(watches);
    assert_eq!(registry.stats().watchers, 101);
}

#[actix::test]
async fn a_recipient_that_is_gone_is_fed_no_more() {
    pause();
    let registry = registry(limits(), &Log::default());
    let (addr, _permits, _seen) = Slowpoke::start_with(1_000);
    registry.watch_to(addr.clone().recipient()).unwrap();
    registry.send("a", Ping).await.unwrap();
    settle().await;
    assert_eq!(registry.stats().watchers, 1);

    addr.send(Quit).await.unwrap();
    drop(addr);
    registry.send("b", Ping).await.unwrap();
    settle().await;
    assert_eq!(registry.stats().watchers, 0);
}

#[derive(Message)]
#[rtype(result = "()")]
struct Quit;

impl Handler<Quit> for Slowpoke {
    type Result = ();

    fn handle(&mut self, _: Quit, ctx: &mut Self::Context) {
        ctx.stop();
    }
}

#[actix::test]
async fn a_recipient_is_fed_to_the_end_of_the_registry() {
    pause();
    let registry = registry(limits(), &Log::default());
    let (addr, permits, seen) = Slowpoke::start_with(0);
    registry.watch_to(addr.clone().recipient()).unwrap();
    for n in 0..20 {
        registry.send(format!("key:{n}"), Ping).await.unwrap();
    }
    registry.shutdown(secs(1)).await.unwrap();
    drop(registry);

    permits.add_permits(1_000);
    sleep(millis(1)).await;
    let belief = seen.belief.lock().unwrap().clone();
    assert_eq!((belief.known.len(), belief.events, belief.lags), (0, 40, 0));
}

/// The same, with sessions on threads of their own, which stop when all has ended: what was not
/// delivered by then must not be lost with them.
#[test]
fn a_recipient_is_fed_to_the_end_by_a_registry_with_threads_of_its_own_too() {
    or_give_up("watch_to", || async {
        let registry = SessionRegistry::builder(|key| Probe::new(key, &Log::default()))
            .policy(Policy::new(limits()))
            .arbiters(1)
            .start()
            .unwrap();
        let (addr, permits, seen) = Slowpoke::start_with(0);
        registry.watch_to(addr.clone().recipient()).unwrap();
        for n in 0..20 {
            registry.send(format!("key:{n}"), Ping).await.unwrap();
        }
        registry.shutdown(secs(1)).await.unwrap();
        drop(registry);

        permits.add_permits(1_000);
        let all = async {
            while seen.belief.lock().unwrap().events < 40 {
                sleep(millis(1)).await;
            }
        };
        let all = timeout(secs(3), all).await;
        let belief = seen.belief.lock().unwrap().clone();
        assert!(all.is_ok(), "lost with the thread: {belief:?}");
        assert_eq!((belief.known.len(), belief.lags), (0, 0));
    });
}
