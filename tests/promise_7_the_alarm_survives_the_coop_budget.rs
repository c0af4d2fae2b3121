//! Promise 7: no deadline is starved, not even by tokio's own cooperative budget.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::{future::poll_fn, task::Poll};

use actix::prelude::*;
use session_actors::EndReason;
use support::*;
use tokio::sync::mpsc;

/// A regression: the alarm was armed while the budget was used up, so the sleep answered without
/// having taken the task's waker, and the session lived for ever.
#[actix::test]
async fn a_deadline_set_while_the_budget_is_used_up_is_kept() {
    tokio::time::pause();
    let log = Log::default();
    let sessions = registry(limits(), &log);
    let mut watch = sessions.watch();
    sessions
        .send(
            "a",
            Run::new(|act, ctx| {
                // In the very first poll, before the alarm has ever been armed: takes what is ready
                // until tokio says that it is enough for this poll.
                let (tx, mut rx) = mpsc::unbounded_channel();
                for _ in 0..1_000 {
                    tx.send(()).unwrap();
                }
                let drain = poll_fn(move |cx| {
                    while let Poll::Ready(Some(())) = rx.poll_recv(cx) {}
                    let _still_open = &tx;
                    Poll::<()>::Pending
                });
                ctx.spawn(drain.into_actor(act));
            }),
        )
        .await
        .unwrap();
    let (_, ended) = tokio::time::timeout(secs(60), next_end(&mut watch)).await.expect("its deadline passes unnoticed");
    assert_eq!(ended.reason, EndReason::IdleTimeout);
    assert!(ended.age < secs(11), "ended at {:?}", ended.age);
}
