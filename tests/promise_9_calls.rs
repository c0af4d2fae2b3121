//! Promise 9: who may call a shutdown, and how: the future may be dropped, a second call joins, a
//! session may not call it, and the last handle that is dropped calls it.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

#[path = "support/exact.rs"]
mod exact;
mod support;

use actix::prelude::*;
use exact::{Stopwatch, end_of, inside};
use session_actors::{
    EndReason, Ended, EventKind, Limits, OpenError, Policy, Session, SessionContext, SessionKey, SessionRegistry,
    ShutdownError, Watch, Watched, WeakSessionRegistry,
};
use support::*;
use tokio::sync::mpsc;

/// The ends that are left in it, up to the end of the stream.
async fn ends(watch: &mut Watch) -> Vec<Ended> {
    let mut ends = Vec::new();
    while let Some(watched) = watch.next().await {
        if let Watched::Event(event) = watched
            && let EventKind::Ended(ended) = &event.kind
        {
            ends.push(ended.clone());
        }
    }
    ends
}

#[actix::test]
async fn dropping_the_future_does_not_cancel_it() {
    tokio::time::pause();
    for polled in [false, true] {
        let clock = Stopwatch::running();
        let registry = registry(limits(), &Log::default());
        let mut watch = registry.watch();
        let _reply = registry.send("k", Slow(secs(600)));
        settle().await;
        let mut shutdown = registry.shutdown(secs(4));
        if polled {
            assert_eq!(poll_once(&mut shutdown), Ok(()));
        }
        drop(shutdown);
        let ends = ends(&mut watch).await;
        clock.assert_at(secs(4), "the end of the stream");
        assert_eq!((ends.len(), ends[0].cut, ends[0].reason), (1, 1, EndReason::Shutdown));
    }
}

#[actix::test]
async fn a_second_call_joins_the_first_and_its_timeout_does_not_count() {
    tokio::time::pause();
    for other in [secs(1), secs(3600)] {
        let clock = Stopwatch::running();
        let registry = registry(limits(), &Log::default());
        let _reply = registry.send("k", Slow(secs(600)));
        settle().await;
        let first = registry.shutdown(secs(4));
        clock.reach(secs(2)).await;
        let second = registry.clone().shutdown(other);
        let (first, second) = tokio::join!(first, second);
        clock.assert_at(secs(4), "both");
        assert_eq!(first.unwrap(), second.unwrap());
        // And after it is done.
        let third = registry.shutdown(other).await.unwrap();
        clock.assert_at(secs(4), "a third");
        assert_eq!((third.drained, third.cut), (0, 1));
    }
}

/// After the future was dropped, the outcome can still be had.
#[actix::test]
async fn a_call_that_was_dropped_can_be_joined() {
    let clock = Stopwatch::start();
    let registry = registry(limits(), &Log::default());
    let _reply = registry.send("k", Slow(secs(3)));
    settle().await;
    drop(registry.shutdown(secs(4)));
    let report = registry.shutdown(secs(0)).await.unwrap();
    clock.assert_at(secs(3), "end");
    assert_eq!((report.drained, report.cut), (1, 0));
}

// ---- from inside a session ---------------------------------------------------------------------

/// Calls a shutdown wherever it can, and tells what came of it.
struct Suicidal {
    target: Option<WeakSessionRegistry<Probe>>,
    told: mpsc::UnboundedSender<(&'static str, Result<(), ShutdownError>)>,
}

impl Suicidal {
    fn call(&self, place: &'static str, ctx: &SessionContext<Self>) {
        // Refused at once: there is nothing to wait for.
        let outcome = match &self.target {
            Some(target) => poll_once(&mut target.upgrade().unwrap().shutdown(secs(1))),
            None => poll_once(&mut ctx.registry().upgrade().unwrap().shutdown(secs(1))),
        };
        self.told.send((place, outcome)).unwrap();
    }
}

fn poll_once(shutdown: &mut session_actors::Shutdown) -> Result<(), ShutdownError> {
    use std::{future::Future, pin::Pin, task::Poll};
    let waker = futures_util::task::noop_waker();
    match Pin::new(shutdown).poll(&mut std::task::Context::from_waker(&waker)) {
        Poll::Ready(Err(error)) => Err(error),
        Poll::Ready(Ok(_)) | Poll::Pending => Ok(()),
    }
}

impl Actor for Suicidal {
    type Context = SessionContext<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.call("started", ctx);
        ctx.run_later(secs(1), |act, ctx| act.call("timer", ctx));
    }

    fn stopped(&mut self, ctx: &mut Self::Context) {
        self.call("stopped", ctx);
    }
}

impl Session for Suicidal {}

impl Handler<Ping> for Suicidal {
    type Result = ResponseFuture<u64>;

    fn handle(&mut self, _: Ping, ctx: &mut Self::Context) -> Self::Result {
        self.call("handler", ctx);
        let (registry, told) = (ctx.registry(), self.told.clone());
        let foreign = self.target.is_some();
        Box::pin(async move {
            if !foreign {
                let outcome = registry.upgrade().unwrap().shutdown(secs(1)).await.map(drop);
                told.send(("reply", outcome)).unwrap();
            }
            1
        })
    }
}

#[actix::test]
async fn from_inside_a_session_it_is_an_error_and_nothing_is_begun() {
    tokio::time::pause();
    let (told, mut outcomes) = mpsc::unbounded_channel();
    let registry = SessionRegistry::builder(move |_: &SessionKey| Suicidal { target: None, told: told.clone() })
        .policy(Policy::new(limits()))
        .start()
        .unwrap();
    let mut watch = registry.watch();
    assert_eq!(registry.send("k", Ping).await.unwrap(), 1);
    end_of(&mut watch, "k").await;
    for place in ["started", "handler", "reply", "timer", "stopped"] {
        let (at, outcome) = outcomes.recv().await.unwrap();
        assert_eq!((at, outcome), (place, Err(ShutdownError::InsideSession)));
    }
    let message = ShutdownError::InsideSession.to_string();
    assert!(message.contains("inside a session") && message.contains("task of its own"), "{message}");
    // The registry serves as if nothing were.
    assert_eq!(registry.send("k", Ping).await.unwrap(), 1);
}

/// What the message advises.
#[actix::test]
async fn a_session_may_have_it_called_by_a_task_of_its_own() {
    tokio::time::pause();
    let registry = registry(limits(), &Log::default());
    let (report, reported) = tokio::sync::oneshot::channel();
    inside(&registry.open("k").unwrap(), move |_, ctx| {
        let registry = ctx.registry();
        actix::spawn(async move {
            let shutdown = registry.upgrade().unwrap().shutdown(secs(5));
            let _ = report.send(shutdown.await);
        });
    })
    .await;
    assert_eq!(reported.await.unwrap().unwrap().drained, 1);
    assert!(matches!(registry.open("k"), Err(OpenError::ShuttingDown)));
}

#[actix::test]
async fn a_session_may_shut_another_registry_down() {
    tokio::time::pause();
    let other = registry(limits(), &Log::default());
    let _ = other.open("k").unwrap();
    let (told, mut outcomes) = mpsc::unbounded_channel();
    let target = other.downgrade();
    let registry =
        SessionRegistry::builder(move |_: &SessionKey| Suicidal { target: Some(target.clone()), told: told.clone() })
            .policy(Policy::new(limits()))
            .start()
            .unwrap();
    let _ = registry.open("k").unwrap();
    assert_eq!(outcomes.recv().await.unwrap(), ("started", Ok(())));
    let report = other.shutdown(secs(5)).await.unwrap();
    assert_eq!(report.drained, 1);
    assert_eq!(registry.len(), 1);
}

// ---- the last handle ---------------------------------------------------------------------------

#[actix::test]
async fn dropping_the_last_handle_drains_by_drain_timeout() {
    let clock = Stopwatch::start();
    let log = Log::default();
    let registry = registry(limits(), &log);
    let mut watch = registry.watch();
    let (done, late) = (registry.send("done", Slow(secs(3))), registry.send("late", Slow(secs(600))));
    let addr = registry.open("done").unwrap();
    settle().await;

    let clone = registry.clone();
    drop(registry);
    settle().await;
    assert_eq!(clone.len(), 2, "not the last");
    let weak = clone.downgrade();
    drop(clone);
    assert!(weak.upgrade().is_none());

    assert_eq!(done.await.unwrap(), "slow");
    clock.assert_at(secs(3), "the reply");
    assert!(late.await.is_err());
    clock.assert_at(secs(5), "drain_timeout");
    let ends = ends(&mut watch).await;
    assert_eq!(
        ends.iter().map(|end| (end.reason, end.cut)).collect::<Vec<_>>(),
        [(EndReason::Shutdown, 0), (EndReason::Shutdown, 1)]
    );
    assert!(!addr.connected());
    assert_eq!(log.alive(), 0);
}

/// Sessions, watches, addresses and what is pending hold the registry weakly or not at all.
#[actix::test]
async fn nothing_but_a_handle_keeps_a_registry_open() {
    tokio::time::pause();
    let log = Log::default();
    let registry = registry(Limits::never(), &log);
    let mut watch = registry.watch();
    let addr = registry.open("k").unwrap();
    let weak = inside(&addr, |_, ctx| ctx.registry()).await;
    let hold = addr.send(TakeHold).await.unwrap();
    let closing = registry.close("other");
    drop(registry);
    assert!(weak.upgrade().is_none());
    drop(hold);
    assert_eq!(ends(&mut watch).await.len(), 1);
    assert!(closing.await.is_err());
    assert_eq!(log.alive(), 0);
    assert!(!addr.connected());
}

#[actix::test]
async fn without_a_drain_timeout_the_last_handle_waits_for_the_work() {
    let clock = Stopwatch::start();
    let registry = registry(limits().drain_timeout(None), &Log::default());
    let mut watch = registry.watch();
    let reply = registry.send("k", Slow(secs(100_000)));
    settle().await;
    drop(registry);
    assert_eq!(reply.await.unwrap(), "slow");
    clock.assert_at(secs(100_000), "the reply");
    assert_eq!(ends(&mut watch).await[0].cut, 0);
}

/// The strong handle of a session's own keeps its registry open, until the session is idle.
#[actix::test]
async fn the_last_handle_may_be_dropped_inside_a_session() {
    let clock = Stopwatch::start();
    let registry = registry(limits(), &Log::default());
    let mut watch = registry.watch();
    let addr = registry.open("k").unwrap();
    inside(&addr, |_, ctx| {
        let strong = ctx.registry().upgrade();
        ctx.run_later(secs(4), move |_, _| drop(strong));
    })
    .await;
    drop(registry);
    let ends = ends(&mut watch).await;
    clock.assert_at(secs(4), "the end of the stream");
    assert_eq!(ends[0].reason, EndReason::Shutdown);
}

#[actix::test]
async fn after_a_shutdown_dropping_the_handles_changes_nothing() {
    tokio::time::pause();
    let registry = registry(limits(), &Log::default());
    let _ = registry.open("k").unwrap();
    let shutdown = registry.shutdown(secs(5));
    drop(registry);
    assert_eq!(shutdown.await.unwrap().drained, 1);
}
