//! What can go wrong when something is opened or sent: each error is provoked, says what to do about
//! it, and gives the message back where it was never accepted. Those of starting and shutting down are
//! in `start_errors.rs`.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

#[path = "support/exact.rs"]
mod exact;
#[path = "support/responses.rs"]
mod responses;
mod support;

use std::{error::Error, sync::mpsc};

use actix::prelude::*;
use exact::{Stopwatch, inside};
use responses::{LetGo, Work};
use session_actors::{
    CloseError, EndReason, InvalidKey, Limits, OnFull, OpenError, Policy, SendError, SessionKey, SessionRegistry,
    ShutdownError, StartError, Unserved,
};
use support::*;
use tokio::time::timeout;

/// What became of an accepted message, and in which words.
#[track_caller]
fn unserved<T, M>(outcome: Result<T, SendError<M>>, words: &str) -> Unserved {
    let Err(error) = outcome else { panic!("answered instead of: {words}") };
    assert_eq!(error.to_string(), words);
    let SendError::Unserved { cause } = &error else { panic!("{error:?}") };
    let cause = cause.clone();
    assert_eq!(error.source().unwrap().to_string(), words, "the cause is kept as the source");
    assert!(error.into_message().is_none(), "it may have been handled");
    cause
}

fn ended(reason: EndReason) -> Unserved {
    Unserved::Ended { reason, panic: None }
}

/// A message without any trait of its own.
struct Bare(&'static str);

impl Message for Bare {
    type Result = ();
}

impl Handler<Bare> for Probe {
    type Result = ();

    fn handle(&mut self, _: Bare, _: &mut Self::Context) {}
}

#[test]
fn errors_are_errors_whatever_the_message() {
    fn is_error<E: Error + Send + Sync + 'static>() {}
    is_error::<OpenError>();
    is_error::<SendError<Bare>>();
    is_error::<Unserved>();
    is_error::<StartError>();
    is_error::<ShutdownError>();
}

// ---- opening -----------------------------------------------------------------------------------

#[actix::test]
async fn a_key_that_is_none_is_refused() {
    tokio::time::pause();
    let registry = registry(limits(), &Log::default());
    let long = "x".repeat(SessionKey::MAX_BYTES + 1);
    for (key, why) in [
        ("", InvalidKey::Empty),
        (long.as_str(), InvalidKey::TooLong { bytes: 513 }),
        ("a\nb", InvalidKey::ControlCharacter { at: 1 }),
    ] {
        let error = registry.open(key).unwrap_err();
        assert_eq!(error, OpenError::InvalidKey(why.clone()));
        assert_eq!(error.to_string(), why.to_string());
        let error = registry.send(key, Bare("back")).await.unwrap_err();
        assert_eq!(error.to_string(), why.to_string());
        assert_eq!(error.into_message().unwrap().0, "back");
        assert!(registry.get(key).is_none() && registry.info(key).is_none());
        assert_eq!(registry.close(key).await, Err(CloseError::NotFound));
    }
    assert!(registry.is_empty());
}

#[actix::test]
async fn at_capacity_it_says_when_to_retry() {
    let clock = Stopwatch::start();
    let registry = registry_by(Policy::new(limits()).max_sessions(2), &Log::default());
    let _ = (registry.open("a").unwrap(), registry.open("b").unwrap());
    settle().await;
    clock.reach(secs(3)).await;
    let error = registry.open("c").unwrap_err();
    let words = error.to_string();
    assert!(
        words.starts_with("all 2 sessions that max_sessions allows are taken; the next one is due to end in 6s 99"),
        "{words}"
    );
    assert!(words.ends_with(": retry then, or raise max_sessions"), "{words}");

    let registry = registry_by(Policy::new(Limits::never()).max_sessions(2), &Log::default());
    let _ = (registry.open("a").unwrap(), registry.open("b").unwrap());
    settle().await;
    assert_eq!(
        registry.open("c").unwrap_err().to_string(),
        "all 2 sessions that max_sessions allows are taken; none of them is due to end: close some, give them \
         limits, or raise max_sessions"
    );
}

#[actix::test]
async fn while_it_shuts_down_nothing_is_opened() {
    tokio::time::pause();
    let registry = registry(limits(), &Log::default());
    let shutdown = registry.shutdown(secs(5));
    let error = registry.send("k", Bare("back")).await.unwrap_err();
    assert_eq!(error.to_string(), "the session registry is shutting down and opens no more sessions");
    assert!(matches!(&error, SendError::Refused { cause: OpenError::ShuttingDown, .. }));
    assert_eq!(error.source().unwrap().downcast_ref(), Some(&OpenError::ShuttingDown));
    assert_eq!(error.into_message().unwrap().0, "back");
    shutdown.await.unwrap();
}

// ---- a full mailbox ----------------------------------------------------------------------------

#[actix::test]
async fn a_full_mailbox_gives_the_message_back() {
    tokio::time::pause();
    let log = Log::default();
    let registry = SessionRegistry::builder(move |key| Probe::new(key, &log))
        .policy(Policy::new(limits()))
        .mailbox_capacity(1)
        .start()
        .unwrap();
    registry.try_send("k", Bare("taken")).unwrap();
    let error = registry.try_send("k", Bare("back")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the session's mailbox is full: it is slower than its senders; retry later, or raise mailbox_capacity"
    );
    assert_eq!(format!("{error:?}"), "Full { .. }");
    assert!(error.source().is_none());
    assert_eq!(error.into_message().unwrap().0, "back");
}

// ---- accepted and not answered -----------------------------------------------------------------

#[actix::test]
async fn whose_session_ends_hears_why() {
    let clock = Stopwatch::start();
    quiet_panics();
    let policy =
        Policy::new(limits().max_age(secs(60)).max_busy(secs(100))).rule("stuck", Limits::new().max_busy(secs(20)));
    let registry = registry_by(policy, &Log::default());
    let (old, stuck, closed) = (
        registry.send("old", Slow(secs(600))),
        registry.send("stuck", Slow(secs(600))),
        registry.send("closed", Slow(secs(600))),
    );
    let (stopped, panicked) =
        (registry.send("stopped", SlowInContext(secs(600))), registry.send("panicked", SlowInContext(secs(600))));
    registry.do_send("stopped", Stop).unwrap();
    registry.do_send("panicked", Boom("out of luck")).unwrap();
    settle().await;
    drop(registry.close("closed"));

    assert_eq!(unserved(stopped.await, "the session ended (stopped) before it answered"), ended(EndReason::Stopped));
    assert_eq!(
        unserved(panicked.await, "the session ended (panicked) before it answered: out of luck"),
        Unserved::Ended { reason: EndReason::Panicked, panic: Some("out of luck".into()) }
    );
    assert_eq!(unserved(closed.await, "the session ended (closed) before it answered"), ended(EndReason::Closed));
    assert_eq!(unserved(stuck.await, "the session ended (stuck) before it answered"), ended(EndReason::Stuck));
    assert_eq!(unserved(old.await, "the session ended (max_age) before it answered"), ended(EndReason::MaxAge));
    clock.assert_at(secs(65), "max age and its drain");

    let late = registry.send("late", Slow(secs(600)));
    settle().await;
    registry.shutdown(secs(1)).await.unwrap();
    assert_eq!(unserved(late.await, "the session ended (shutdown) before it answered"), ended(EndReason::Shutdown));
}

/// Also the caller whose message did it, and the one whose message waited behind.
#[actix::test]
async fn the_message_that_panics_its_session_hears_the_panic() {
    tokio::time::pause();
    quiet_panics();
    let registry = registry(limits(), &Log::default());
    let (boom, behind) = (registry.send("k", Boom("mine")), registry.send("k", Ping));
    unserved(boom.await, "the session ended (panicked) before it answered: mine");
    assert_eq!(behind.await.unwrap(), 1, "the mail behind goes to the successor");
}

#[actix::test]
async fn whose_session_is_evicted_hears_it() {
    tokio::time::pause();
    let policy = Policy::new(limits()).max_sessions(1).on_full(OnFull::EvictIdle);
    let registry = registry_by(policy, &Log::default());
    let _ = registry.open("a").unwrap();
    settle().await;
    let _ = registry.open("b").unwrap();
    // By an address: the key leads there still, until the session has heard that it has to go.
    let reply = registry.send("a", Slow(secs(600)));
    assert_eq!(unserved(reply.await, "the session ended (evicted) before it answered"), ended(EndReason::Evicted));
}

#[actix::test]
async fn whose_session_does_not_start_hears_why() {
    tokio::time::pause();
    quiet_panics();
    let registry = SessionRegistry::builder(|_: &SessionKey| -> Probe { panic!("no disk") })
        .policy(Policy::new(limits()))
        .start()
        .unwrap();
    let cause = unserved(registry.send("k", Ping).await, "the session could not be started: no disk");
    assert_eq!(cause, Unserved::StartFailed { panic: "no disk".into() });
    // A raw address can be told no more than that it is closed.
    let addr = registry.open("k").unwrap();
    assert_eq!(addr.send(Ping).await, Err(MailboxError::Closed));
}

/// Its future fails that reply only.
#[derive(Message)]
#[rtype(result = "u64")]
struct Fails;

impl Handler<Fails> for Probe {
    type Result = ResponseFuture<u64>;

    fn handle(&mut self, _: Fails, _: &mut Self::Context) -> Self::Result {
        Box::pin(async { panic!("no reply") })
    }
}

#[actix::test]
async fn whose_reply_panics_hears_it_and_the_session_goes_on() {
    tokio::time::pause();
    quiet_panics();
    let registry = registry(limits(), &Log::default());
    assert_eq!(registry.send("k", Ping).await.unwrap(), 1);
    let cause = unserved(registry.send("k", Fails).await, "the reply's future panicked: no reply");
    assert_eq!(cause, Unserved::ReplyPanicked { panic: "no reply".into() });
    assert_eq!(registry.send("k", Ping).await.unwrap(), 2);
}

#[actix::test]
async fn whose_reply_is_dropped_hears_it() {
    tokio::time::pause();
    let registry = registry(limits(), &Log::default());
    let reply = registry.send("k", LetGo(Work { lasts: secs(3), passive: false }));
    assert_eq!(unserved(reply.await, "the session's handler dropped the reply"), Unserved::ReplyDropped);
}

#[actix::test]
async fn whose_slot_is_gone_hears_it() {
    tokio::time::pause();
    let policy = |cap| Policy::new(limits()).max_sessions(cap).on_full(OnFull::EvictIdle);
    let registry = registry_by(policy(2), &Log::default());
    let _ = (registry.open("a").unwrap(), registry.open("b").unwrap());
    settle().await;
    let reply = registry.send("c", Ping);
    registry.set_policy(policy(1)).unwrap();
    assert_eq!(unserved(reply.await, "no slot became free for the session"), Unserved::NoRoom);
}

#[actix::test]
async fn what_became_of_a_message_is_written_as_json() {
    let unserved = Unserved::Ended { reason: EndReason::MaxAge, panic: None };
    assert_eq!(serde_json::to_string(&unserved).unwrap(), r#"{"unserved":"ended","reason":"max_age","panic":null}"#);
}

/// An arbiter that stops takes its sessions with it, and those that it had not begun. In real time.
#[actix::test]
async fn whose_arbiter_stops_hears_it() {
    let registry = SessionRegistry::builder(|key| Probe::new(key, &Log::default()))
        .policy(Policy::new(limits()))
        .arbiters(1)
        .start()
        .unwrap();
    let cut = registry.send("cut", SlowInContext(secs(600)));
    inside(&registry.open("cut").unwrap(), |_, _| ()).await;
    let (unblock, blocked) = mpsc::channel::<()>();
    registry
        .do_send(
            "stops it",
            Run::new(move |_, _| {
                let _ = blocked.recv();
                Arbiter::current().stop();
            }),
        )
        .unwrap();
    // More than a host takes before it lets the arbiter look at what else there is.
    let replies: Vec<_> = (0..1000).map(|n| registry.send(format!("k{n}"), Ping)).collect();
    unblock.send(()).unwrap();

    let cut = timeout(secs(30), cut).await.unwrap();
    assert_eq!(unserved(cut, "the session ended (aborted) before it answered"), ended(EndReason::Aborted));
    let mut not_begun = 0;
    for reply in replies {
        match timeout(secs(30), reply).await.expect("everybody is told") {
            Ok(_) | Err(SendError::Unserved { cause: Unserved::Ended { reason: EndReason::Aborted, .. } }) => {}
            outcome => {
                let words = "the arbiter of the session stopped before it was started";
                assert_eq!(unserved(outcome, words), Unserved::HostGone);
                not_begun += 1;
            }
        }
    }
    assert!(not_begun > 0);
    let error = registry.send("new", Bare("back")).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "no arbiter is left to run the session on; start a new registry on a running arbiter"
    );
    assert!(matches!(&error, SendError::Refused { cause: OpenError::NoHost, .. }));
    assert_eq!(error.into_message().unwrap().0, "back");
    assert!(matches!(registry.open("new"), Err(OpenError::NoHost)));
}
