//! For tests that a regression would hang, and for instants that have to be met.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

use std::{
    fmt::Debug,
    future::Future,
    panic::resume_unwind,
    sync::{
        Once,
        mpsc::{RecvTimeoutError, channel},
    },
    thread,
    time::Duration,
};

use actix::System;
use tokio::time::Instant;

/// Much longer than any test takes, much shorter than anybody's patience.
const PATIENCE: Duration = Duration::from_secs(15);

/// Runs `body` in a system on a thread of its own, and gives up on it: a session that never yields
/// would otherwise hang the test instead of failing it.
pub fn or_give_up<F>(what: impl Debug, body: impl FnOnce() -> F + Send + 'static)
where
    F: Future<Output = ()> + 'static,
{
    let (done, finished) = channel();
    let system = thread::spawn(move || {
        System::new().block_on(async move { body().await });
        let _ = done.send(());
    });
    match finished.recv_timeout(PATIENCE) {
        Err(RecvTimeoutError::Timeout) => panic!("{what:?} hangs: something on its thread never yields"),
        Ok(()) | Err(RecvTimeoutError::Disconnected) => {
            if let Err(panic) = system.join() {
                resume_unwind(panic);
            }
        }
    }
}

/// A timer of tokio's fires on the first whole millisecond at or after its instant, and an end may
/// take two timers one after the other: early is never right, this much late always.
pub const TICKS: Duration = Duration::from_millis(3);

/// What happened `took` after it began happened when it was due, not earlier and not later.
#[track_caller]
pub fn assert_on_time(took: Duration, due: Duration) {
    assert!(took >= due && took <= due + TICKS, "due after {due:?}, happened after {took:?}");
}

/// As [`assert_on_time`], for what happens now.
#[track_caller]
pub fn assert_due_now(began: Instant, due: Duration) {
    assert_on_time(began.elapsed(), due);
}

/// Keeps the panics that tests provoke out of their output: those whose text says `provoked`, and
/// those without text.
pub fn quiet_provoked_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let payload = info.payload();
            let text = payload.downcast_ref::<&str>().copied().or(payload.downcast_ref::<String>().map(String::as_str));
            if text.is_some_and(|text| !text.contains("provoked")) {
                usual(info);
            }
        }));
    });
}
