//! What an operator reads: a span for each session, ordinary opens and ends at `debug`, what somebody should look at as
//! a warning that says whose it is under any filter, and nothing for a message.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

#[path = "support/exact.rs"]
mod exact;
mod support;

use std::{
    io,
    sync::{Arc, Mutex},
};

use actix::prelude::*;
use exact::end_of;
use session_actors::{OnFull, OpenError, Policy};
use support::*;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

/// Collects the lines of a subscriber.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn take(&self) -> Vec<String> {
        let bytes = std::mem::take(&mut *self.0.lock().unwrap());
        String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect()
    }
}

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Until the guard is dropped, this thread's events go to the lines.
fn listen(filter: &str) -> (Lines, DefaultGuard) {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_writer(lines.clone())
        .without_time()
        .with_ansi(false)
        .with_target(false)
        .finish();
    (lines, tracing::subscriber::set_default(subscriber))
}

#[actix::test]
async fn an_ordinary_life_is_told_at_debug_inside_of_its_span() {
    tokio::time::pause();
    let (lines, _guard) = listen("session_actors=debug");
    let registry = registry(limits(), &Log::default());
    let mut watch = registry.watch();
    registry.send("k", Ping).await.unwrap();
    let opened = lines.take();
    assert!(
        opened.iter().any(|line| line.contains("DEBUG") && line.contains("session opened key=k id=1")),
        "{opened:?}"
    );
    for _ in 0..100 {
        registry.send("k", Ping).await.unwrap();
    }
    assert!(lines.take().is_empty(), "a message is worth no line");

    end_of(&mut watch, "k").await;
    let ended = lines.take();
    let line = ended.iter().find(|line| line.contains("session ended")).expect("told");
    assert!(line.contains("DEBUG session{key=k id=1}: session ended reason=idle_timeout"), "{line}");
    assert_eq!(line.matches("key=").count(), 1, "not twice: {line}");
}

#[actix::test]
async fn what_somebody_should_look_at_is_a_warning_that_says_whose_it_is_under_any_filter() {
    tokio::time::pause();
    for (filter, whose) in [("warn", "key=k id=1"), ("info", "session{key=k id=1}")] {
        let (lines, _guard) = listen(filter);
        // A panic.
        let registry = registry(limits(), &Log::default());
        let mut watch = registry.watch();
        registry.do_send("k", Run::new(|_, _| panic!("boom"))).unwrap();
        end_of(&mut watch, "k").await;
        let told = lines.take();
        let line = told.iter().find(|line| line.contains("session ended")).expect("told");
        assert!(line.contains("WARN") && line.contains(whose) && line.contains("panic=boom"), "{line}");

        // Work that was cut.
        let registry = self::registry(limits().max_age(secs(20)), &Log::default());
        let mut watch = registry.watch();
        registry.do_send("k", Slow(secs(600))).unwrap();
        end_of(&mut watch, "k").await;
        let told = lines.take();
        let line = told.iter().find(|line| line.contains("session ended")).expect("told");
        assert!(line.contains("WARN") && line.contains(whose) && line.contains("reason=max_age"), "{line}");
        assert!(line.contains("cut=1"), "{line}");
    }
}

#[actix::test]
async fn an_eviction_and_a_full_registry_are_warnings() {
    tokio::time::pause();
    let (lines, _guard) = listen("warn");
    let policy = Policy::new(limits()).max_sessions(1).on_full(OnFull::EvictIdle);
    let registry = registry_by(policy, &Log::default());
    registry.send("old", Ping).await.unwrap();
    registry.send("new", Ping).await.unwrap();
    let told = lines.take();
    assert!(told.iter().any(|line| line.contains("WARN") && line.contains("key=old id=1 reason=evicted")), "{told:?}");

    registry.do_send("new", Slow(secs(3))).unwrap();
    settle().await;
    for _ in 0..50 {
        assert!(matches!(registry.open("third"), Err(OpenError::AtCapacity { .. })));
    }
    let told = lines.take();
    assert_eq!(told.len(), 1, "once for all of them: {told:?}");
    assert!(told[0].contains("WARN") && told[0].contains("session registry is full") && told[0].contains("limit=1"));
}

#[actix::test]
async fn a_reply_that_panicked_says_whose_it_was() {
    tokio::time::pause();
    for (filter, whose) in [("warn", "key=k"), ("info", "session{key=k id=1}")] {
        let (lines, _guard) = listen(filter);
        let registry = registry(limits(), &Log::default());
        let _ = registry.send("k", PanickingReply).await;
        let told = lines.take();
        let line = told.iter().find(|line| line.contains("a reply's future panicked")).expect("told");
        assert!(line.contains("WARN") && line.contains(whose) && line.contains("panic=boom"), "{line}");
    }
}

struct PanickingReply;

impl Message for PanickingReply {
    type Result = ();
}

impl Handler<PanickingReply> for Probe {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: PanickingReply, _: &mut Self::Context) -> Self::Result {
        Box::pin(async { panic!("boom") })
    }
}

/// Panics whatever it is given.
struct Broken;

impl tracing::Subscriber for Broken {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        panic!("out of spans");
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, _: &tracing::Event<'_>) {
        panic!("the disk is full");
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

/// Two regressions: the slot of a session whose span could not be made was never free again; a reply that panicked took
/// its session with it when the panic could not be logged, or, as its last, left its key ending for ever.
#[actix::test]
async fn a_subscriber_that_panics_costs_nothing() {
    tokio::time::pause();
    let registry = registry_by(Policy::new(limits()).max_sessions(1), &Log::default());
    let mut watch = registry.watch();
    {
        let _guard = tracing::subscriber::set_default(Broken);
        assert_eq!(registry.send("k", Ping).await.unwrap(), 1);
        let refused = registry.send("k", PanickingReply).await.unwrap_err().to_string();
        assert!(refused.contains("boom"), "{refused}");
        assert_eq!(registry.send("k", Ping).await.unwrap(), 2);
        registry.do_send("k", PanickingReply).unwrap();
        registry.do_send("k", Run::new(|_, ctx| ctx.terminate())).unwrap();
        assert_eq!(end_of(&mut watch, "k").await.reason, session_actors::EndReason::Stopped);
    }
    settle().await;
    assert_eq!((registry.len(), registry.stats().keys), (0, 0));
    assert_eq!(registry.send("other", Ping).await.unwrap(), 1);
}
