//! What can go wrong when a registry is started or shut down: each error is provoked, and says what
//! to do about it. Those of opening and sending are in `send_errors.rs`.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

#[path = "support/exact.rs"]
mod exact;
mod support;

use exact::inside;
use session_actors::{Policy, SessionRegistry, ShutdownError, StartError};
use support::*;

fn builder() -> session_actors::RegistryBuilder<Probe> {
    SessionRegistry::builder(|key| Probe::new(key, &Log::default()))
}

#[test]
fn outside_of_a_system_a_registry_cannot_be_started() {
    let error = builder().start().unwrap_err();
    assert_eq!(error, StartError::NoArbiter);
    assert_eq!(
        error.to_string(),
        "no arbiter is running on this thread: call start inside an actix System (for example under \
         #[actix::main]), or give the registry arbiters of its own with .arbiters(n) there"
    );
}

#[actix::test]
async fn settings_out_of_range_are_refused() {
    for (builder, words) in [
        (builder().event_history(0), "event_history is 0; it must be from 1 to 16777216"),
        (builder().arbiters(1025), "arbiters is 1025; it must be from 0 to 1024"),
        (builder().mailbox_capacity(usize::MAX), "mailbox_capacity is "),
    ] {
        let error = builder.start().unwrap_err();
        assert!(matches!(error, StartError::InvalidSetting { .. }));
        assert!(error.to_string().starts_with(words), "{error}");
    }
}

/// What is in range works: the largest bound that is accepted is one that a mailbox can have.
#[actix::test]
async fn the_largest_capacity_that_is_accepted_is_one_that_works() {
    tokio::time::pause();
    let Err(StartError::InvalidSetting { most, .. }) = builder().mailbox_capacity(usize::MAX).start() else {
        panic!("it was accepted")
    };
    let registry = builder().mailbox_capacity(most).start().unwrap();
    assert_eq!(registry.send("k", Ping).await.unwrap(), 1);
}

/// It takes a machine without a thread to spare to provoke it.
#[test]
fn a_thread_that_cannot_be_had_says_what_to_do() {
    let error = StartError::NoThread { error: "Resource temporarily unavailable (os error 11)".into() };
    assert_eq!(
        error.to_string(),
        "could not start a thread for an arbiter: Resource temporarily unavailable (os error 11); give the registry \
         fewer arbiters, or the process more threads"
    );
}

#[actix::test]
async fn a_policy_that_contradicts_itself_is_refused_with_its_own_words() {
    let policy = Policy::new(limits().warn_before(secs(60)));
    let cause = policy.validate().unwrap_err();
    let error = builder().policy(policy).start().unwrap_err();
    assert_eq!(error, StartError::Policy(cause.clone()));
    assert_eq!(error.to_string(), cause.to_string());
}

#[actix::test]
async fn a_shutdown_from_inside_says_what_to_do_instead() {
    tokio::time::pause();
    let registry = registry(limits(), &Log::default());
    let error = inside(&registry.open("k").unwrap(), |_, ctx| {
        let mut shutdown = Box::pin(ctx.registry().upgrade().unwrap().shutdown(secs(1)));
        let waker = futures_util::task::noop_waker();
        match shutdown.as_mut().poll(&mut std::task::Context::from_waker(&waker)) {
            std::task::Poll::Ready(outcome) => outcome.unwrap_err(),
            std::task::Poll::Pending => panic!("it waits for itself"),
        }
    })
    .await;
    assert_eq!(error, ShutdownError::InsideSession);
    assert_eq!(
        error.to_string(),
        "shutdown was called from inside a session of this registry, which would wait for itself; call it from \
         outside, for example in a task of its own"
    );
}
