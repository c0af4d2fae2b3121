//! Whoever waits brings a waker, which is foreign code and may panic: that is between the two of them.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::{
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Wake, Waker},
};

use session_actors::Policy;
use support::*;

/// Panics when it wakes, and counts how often.
#[derive(Default)]
struct Broken(AtomicUsize);

impl Wake for Broken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
        panic!("nobody to wake");
    }
}

#[actix::test]
async fn a_waker_that_panics_keeps_no_session_from_its_end() {
    tokio::time::pause();
    let registry = registry_by(Policy::new(limits()).max_sessions(1), &Log::default());
    registry.send("k", Ping).await.unwrap();
    let (of_a_watch, of_a_waiter) = (Arc::new(Broken::default()), Arc::new(Broken::default()));
    let mut watch = registry.watch();
    watch.next().await.expect("the session");
    {
        let waker = Waker::from(Arc::clone(&of_a_watch));
        assert!(pin!(watch.next()).poll(&mut Context::from_waker(&waker)).is_pending());
    }
    let mut parked = registry.watch();
    parked.next().await.expect("the session");
    let sound = actix::spawn(async move { parked.next().await });
    settle().await;

    let mut closing = pin!(registry.close("k"));
    let waker = Waker::from(Arc::clone(&of_a_waiter));
    assert!(closing.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    settle().await;
    let called = |waker: &Broken| waker.0.load(Ordering::Relaxed);
    assert_eq!((called(&of_a_watch), called(&of_a_waiter)), (1, 1));

    // The other watcher has its news, the waiter its answer, and the slot is free.
    assert!(sound.await.unwrap().is_some());
    assert!(closing.await.is_ok());
    assert_eq!((registry.len(), registry.stats().keys), (0, 0));
    assert_eq!(registry.send("other", Ping).await.unwrap(), 1);
}
