//! Promise 4, first part: wherever a session panics, it ends as `Panicked` with the words of the
//! panic, and no hook runs on the broken actor.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

#[path = "support/guard.rs"]
mod guard;
mod support;

use std::panic::panic_any;

use actix::prelude::*;
use futures_util::stream;
use session_actors::{
    EndReason, Ended, Expiry, Limits, Policy, SendError, Session, SessionContext, SessionRegistry, Unserved, Warning,
};
use tokio::time::{Instant, pause, sleep};

use crate::{
    guard::{assert_due_now, quiet_provoked_panics},
    support::{Boom, Log, Ping, Probe, Run, limits, millis, next_end, registry, secs, settle},
};

/// An item of a stream.
#[derive(Message)]
#[rtype(result = "()")]
struct Item;

impl StreamHandler<Item> for Probe {
    fn handle(&mut self, _: Item, _: &mut Self::Context) {
        panic!("provoked in a stream");
    }
}

impl Handler<Item> for Probe {
    type Result = ();

    fn handle(&mut self, _: Item, _: &mut Self::Context) {
        panic!("provoked in a stream");
    }
}

/// Something of which the beginning or the end panics.
struct Ends;

impl StreamHandler<Ends> for Probe {
    fn handle(&mut self, _: Ends, _: &mut Self::Context) {}

    fn finished(&mut self, _: &mut Self::Context) {
        panic!("provoked at the end of a stream");
    }
}

struct Begins;

impl StreamHandler<Begins> for Probe {
    fn handle(&mut self, _: Begins, _: &mut Self::Context) {}

    fn started(&mut self, _: &mut Self::Context) {
        panic!("provoked at the start of a stream");
    }
}

/// Panics when it is dropped.
struct Fragile;

impl Drop for Fragile {
    fn drop(&mut self) {
        panic!("provoked in a drop");
    }
}

/// How a session of which `provoke` makes something panic ends. It is told 1 ms after its start.
async fn end_of(provoke: Run) -> (Ended, Log) {
    quiet_provoked_panics();
    let log = Log::default();
    let registry = registry(limits(), &log);
    let mut watch = registry.watch();
    registry.send("k", Ping).await.unwrap();
    registry.do_send("k", provoke).unwrap();
    let (_, ended) = next_end(&mut watch).await;
    assert_eq!(log.alive(), 0);
    assert_eq!(registry.stats().keys, 0);
    (ended, log)
}

/// It ended by a panic with these words, and heard of nothing after it.
#[track_caller]
fn assert_panicked((ended, log): &(Ended, Log), words: &str) {
    assert_eq!(ended.reason, EndReason::Panicked, "{words}");
    assert_eq!(ended.panic.as_deref(), Some(words));
    assert_eq!(log.lines().len(), 1, "only `started`: {:?}", log.lines());
}

#[actix::test]
async fn a_panic_anywhere_in_the_actor_ends_the_session_with_its_words() {
    pause();
    let end = end_of(Run::new(|_, _| panic!("provoked in a handler"))).await;
    assert_panicked(&end, "provoked in a handler");
    assert_eq!(end.0.handled, 2, "what panicked was taken all the same");

    let timer = Run::new(|_, ctx| {
        ctx.run_later(millis(1), |_, _| panic!("provoked in a timer"));
    });
    assert_panicked(&end_of(timer).await, "provoked in a timer");
    let interval = Run::new(|_, ctx| {
        ctx.run_interval(millis(1), |_, _| panic!("provoked in an interval"));
    });
    assert_panicked(&end_of(interval).await, "provoked in an interval");
    let notified = Run::new(|_, ctx| ctx.notify(Boom("provoked in a notification")));
    assert_panicked(&end_of(notified).await, "provoked in a notification");
    let later = Run::new(|_, ctx| {
        ctx.notify_later(Boom("provoked in a late one"), millis(1));
    });
    assert_panicked(&end_of(later).await, "provoked in a late one");

    let spawned = Run::new(|probe, ctx| {
        ctx.spawn(async { panic!("provoked in a future") }.into_actor(probe));
    });
    assert_panicked(&end_of(spawned).await, "provoked in a future");
    let waited = Run::new(|probe, ctx| ctx.wait(async { panic!("provoked in a wait") }.into_actor(probe)));
    assert_panicked(&end_of(waited).await, "provoked in a wait");
    let late_wait = Run::new(|probe, ctx| {
        ctx.wait(sleep(millis(1)).into_actor(probe).map(|(), _, _| panic!("provoked after a wait")));
    });
    assert_panicked(&end_of(late_wait).await, "provoked after a wait");
}

#[actix::test]
async fn a_panic_in_a_stream_or_its_handler_ends_the_session() {
    pause();
    let handler = Run::new(|_, ctx| {
        ctx.add_stream(stream::iter([Item]));
    });
    assert_panicked(&end_of(handler).await, "provoked in a stream");
    let messages = Run::new(|_, ctx| ctx.add_message_stream(stream::iter([Item])));
    assert_panicked(&end_of(messages).await, "provoked in a stream");
    let started = Run::new(|_, ctx| {
        ctx.add_stream(stream::pending::<Begins>());
    });
    assert_panicked(&end_of(started).await, "provoked at the start of a stream");
    let finished = Run::new(|_, ctx| {
        ctx.add_stream(stream::empty::<Ends>());
    });
    assert_panicked(&end_of(finished).await, "provoked at the end of a stream");
    let itself = Run::new(|_, ctx| {
        ctx.add_stream(stream::poll_fn::<Item, _>(|_| panic!("provoked by a stream")));
    });
    assert_panicked(&end_of(itself).await, "provoked by a stream");
}

#[actix::test]
async fn a_panic_in_what_is_dropped_ends_the_session_too() {
    pause();
    let cancelled = Run::new(|_, ctx| {
        let fragile = Fragile;
        let timer = ctx.run_later(secs(100), move |_, _| drop(fragile));
        ctx.cancel_future(timer);
    });
    assert_panicked(&end_of(cancelled).await, "provoked in a drop");
    let done = Run::new(|probe, ctx| {
        let fragile = Fragile;
        ctx.spawn(
            async move {
                let _fragile = fragile;
            }
            .into_actor(probe),
        );
    });
    assert_panicked(&end_of(done).await, "provoked in a drop");
}

#[actix::test]
async fn the_words_of_a_panic_may_be_any_value() {
    pause();
    let formatted = Run::new(|_, _| panic!("provoked {}", 2 * 2));
    assert_panicked(&end_of(formatted).await, "provoked 4");
    let mute = Run::new(|_, _| panic_any(42));
    assert_panicked(&end_of(mute).await, "a panic that carries no text");
    let fragile = Run::new(|_, _| panic_any(Fragile));
    assert_panicked(&end_of(fragile).await, "a panic that carries no text");
}

/// Panics in one of its hooks, and notes all of them.
struct Hooked {
    at: &'static str,
    log: Log,
}

impl Hooked {
    fn pass(&self, hook: &str) {
        self.log.note(hook);
        assert_ne!(self.at, hook, "provoked");
    }
}

impl Actor for Hooked {
    type Context = SessionContext<Self>;

    fn started(&mut self, _: &mut Self::Context) {
        self.pass("started");
    }

    fn stopping(&mut self, _: &mut Self::Context) -> Running {
        self.pass("stopping");
        Running::Stop
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        self.pass("stopped");
    }
}

impl Session for Hooked {
    fn expiring(&mut self, _: &mut Self::Context) -> Expiry {
        self.pass("expiring");
        Expiry::End
    }

    fn warned(&mut self, _: Warning, _: &mut Self::Context) {
        self.pass("warned");
    }

    fn draining(&mut self, _: EndReason, _: &mut Self::Context) {
        self.pass("draining");
    }
}

impl Drop for Hooked {
    fn drop(&mut self) {
        self.pass("drop");
    }
}

/// Work that holds a drain up.
#[derive(Message)]
#[rtype(result = "()")]
struct Work;

impl Handler<Work> for Hooked {
    type Result = ResponseActFuture<Self, ()>;

    fn handle(&mut self, _: Work, _: &mut Self::Context) -> Self::Result {
        Box::pin(sleep(secs(2)).into_actor(self))
    }
}

async fn end_of_hooked(at: &'static str) -> (Ended, Vec<String>) {
    quiet_provoked_panics();
    let log = Log::default();
    let noted = log.clone();
    let limits = Limits::new().idle_timeout(secs(10)).warn_before(secs(1)).max_age(secs(11)).drain_timeout(secs(5));
    let registry: SessionRegistry<Hooked> = SessionRegistry::builder(move |_| Hooked { at, log: noted.clone() })
        .policy(Policy::new(limits))
        .start()
        .unwrap();
    let mut watch = registry.watch();
    let addr = registry.open("k").unwrap();
    if at == "draining" {
        // So that there is something to drain for when max age comes.
        sleep(secs(10) - millis(500)).await;
        addr.do_send(Work);
    }
    let (_, ended) = next_end(&mut watch).await;
    assert_eq!((registry.len(), registry.stats().keys), (0, 0));
    (ended, log.lines())
}

#[actix::test]
async fn a_panic_in_a_hook_ends_the_session_and_no_other_hook_runs() {
    pause();
    let hooks: [(&str, &[&str]); 7] = [
        ("started", &["started", "drop"]),
        ("warned", &["started", "warned", "drop"]),
        ("expiring", &["started", "warned", "expiring", "drop"]),
        // The idle deadline comes near, then, because there is work, max age.
        ("draining", &["started", "warned", "warned", "draining", "drop"]),
        ("stopping", &["started", "warned", "expiring", "stopping", "drop"]),
        ("stopped", &["started", "warned", "expiring", "stopping", "stopped", "drop"]),
        ("drop", &["started", "warned", "expiring", "stopping", "stopped", "drop"]),
    ];
    for (at, lines) in hooks {
        let (ended, noted) = end_of_hooked(at).await;
        assert_eq!(ended.reason, EndReason::Panicked, "{at}");
        assert!(ended.panic.is_some_and(|words| words.contains("provoked")), "{at}");
        assert_eq!(noted, lines, "{at}");
    }
}

#[actix::test]
async fn a_panic_on_the_way_out_does_not_hide_the_first() {
    pause();
    let twice = Run::new(|probe, ctx| {
        let fragile = Fragile;
        ctx.spawn(
            async move {
                let _fragile = fragile;
                std::future::pending::<()>().await;
            }
            .into_actor(probe),
        );
        ctx.run_later(millis(1), |_, _| panic!("provoked first"));
    });
    assert_panicked(&end_of(twice).await, "provoked first");
}

#[actix::test]
async fn a_caller_whose_message_panicked_is_told_the_words() {
    pause();
    quiet_provoked_panics();
    let registry = registry(limits(), &Log::default());
    let began = Instant::now();
    let error = registry.send("k", Boom("provoked")).await.unwrap_err();
    let because = Unserved::Ended { reason: EndReason::Panicked, panic: Some("provoked".into()) };
    assert!(matches!(&error, SendError::Unserved { cause } if *cause == because), "{error:?}");
    assert!(error.to_string().contains("provoked"), "{error}");
    assert!(error.into_message().is_none(), "it was handled, and is not to be sent again");
    // A plain address can only say that the mailbox is closed.
    let addr = registry.open("k").unwrap();
    assert_eq!(addr.send(Boom("provoked")).await, Err(MailboxError::Closed));
    assert_due_now(began, secs(0));
    settle().await;
    assert!(!addr.connected());
}
