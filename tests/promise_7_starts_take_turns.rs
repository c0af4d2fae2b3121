//! Promise 7 and section 3 of the design: a host starts so many sessions, and then it is the turn of those that run.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::{
    future::poll_fn,
    sync::{Arc, Mutex},
    task::Poll,
};

use actix::prelude::*;
use session_actors::Limits;
use support::*;

/// On a clock that stands still: how many were started between one turn of a session that runs and its next.
#[actix::test]
async fn between_two_turns_of_a_session_some_dozens_are_started() {
    const OPENED: usize = 5_000;
    tokio::time::pause();
    let registry = registry(Limits::never(), &Log::default());
    let live: Arc<Mutex<Vec<usize>>> = Arc::default();
    let seen = Arc::clone(&live);
    let watches = Run::new(move |probe, ctx| {
        let registry = ctx.registry();
        let looks = poll_fn(move |cx| -> Poll<()> {
            seen.lock().unwrap().push(registry.upgrade().map_or(0, |registry| registry.len()));
            cx.waker().wake_by_ref();
            Poll::Pending
        });
        ctx.spawn(looks.into_actor(probe));
    });
    registry.send("neighbour", watches).await.unwrap();
    for n in 0..OPENED {
        registry.do_send(format!("k{n}"), Ping).unwrap();
    }
    while registry.len() <= OPENED {
        tokio::task::yield_now().await;
    }
    let live = live.lock().unwrap();
    let most = live.windows(2).map(|turns| turns[1] - turns[0]).max().unwrap();
    assert!((1..100).contains(&most), "{most} were started in one go");
}
