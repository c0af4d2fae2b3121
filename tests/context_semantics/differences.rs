//! Where the context of a session differs from actix's by design.

use std::sync::{Arc, Mutex};

use actix::prelude::*;
use session_actors::EndReason;
use tokio::time::{Instant, pause, sleep};

use crate::{
    guard::assert_due_now,
    support::{Log, Ping, Run, TakeHold, limits, millis, next_end, registry, secs, settle},
};

/// actix ends an actor with its last address. A session has a key, which leads to it.
#[actix::test]
async fn no_session_ends_because_no_address_is_left() {
    pause();
    let registry = registry(limits(), &Log::default());
    let mut watch = registry.watch();
    let began = Instant::now();
    drop(registry.open("k").unwrap());
    sleep(secs(9)).await;
    assert_eq!(registry.len(), 1);
    assert_eq!(next_end(&mut watch).await.1.reason, EndReason::IdleTimeout);
    assert_due_now(began, secs(10));
}

/// The way by its key counts as an address, for as long as there is one.
#[actix::test]
async fn a_session_is_connected_until_its_key_leads_elsewhere() {
    pause();
    let registry = registry(limits(), &Log::default());
    let connected = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&connected);
    registry
        .send(
            "k",
            Run::new(move |_, ctx| {
                ctx.run_interval(secs(1), move |_, ctx| noted.lock().unwrap().push(ctx.connected()));
            }),
        )
        .await
        .unwrap();
    let hold = registry.send("k", TakeHold).await.unwrap();
    sleep(millis(2_500)).await;
    let addr = registry.get("k").unwrap();
    drop(registry.close("k"));
    sleep(secs(1)).await;
    drop(addr);
    sleep(secs(1)).await;
    drop(hold);
    settle().await;
    // Twice by its key, once by the address that was kept, once by nothing.
    assert_eq!(*connected.lock().unwrap(), [true, true, true, false]);
}

/// actix accepts what is sent to an actor that stops, and drops it.
#[actix::test]
async fn what_is_sent_to_a_session_that_stops_is_handled_by_the_next() {
    pause();
    let log = Log::default();
    let registry = registry(limits(), &log);
    let addr = registry.open("k").unwrap();
    addr.do_send(Run::new(|_, ctx| ctx.stop()));
    let (first, second) = (addr.send(Ping), addr.send(Ping));
    assert_eq!(first.await, Ok(1));
    assert_eq!(second.await, Ok(2));
    assert_eq!(log.count("started"), 2);
    assert!(!addr.connected(), "the address is that of the first, all the same");
}
