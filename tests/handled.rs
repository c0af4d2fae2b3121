//! `SessionInfo::handled`: as of the message that is being handled, for whoever asks and from wherever.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

#[path = "support/exact.rs"]
mod exact;
mod support;

use std::sync::mpsc;

use exact::inside;
use session_actors::SessionRegistry;
use support::*;

/// One turn of the session: it answers, and goes on to what blocks its thread.
#[actix::test]
async fn whoever_has_an_answer_finds_its_message_counted() {
    let log = Log::default();
    let registry = SessionRegistry::builder(move |key| Probe::new(key, &log)).arbiters(1).start().unwrap();
    let addr = registry.open("k").unwrap();
    addr.send(Ping).await.unwrap();
    let (begin, begun) = mpsc::channel::<()>();
    let (go_on, gone_on) = mpsc::channel::<()>();
    addr.do_send(Run::new(move |_, _| begun.recv().unwrap()));
    let answer = addr.send(Ping);
    addr.do_send(Run::new(move |_, _| gone_on.recv_timeout(secs(30)).unwrap()));
    begin.send(()).unwrap();
    let answered = answer.await.unwrap();
    assert!(registry.info("k").unwrap().handled >= answered);
    go_on.send(()).unwrap();
}

#[actix::test]
async fn a_handler_finds_its_own_message_counted() {
    let registry = registry(limits(), &Log::default());
    let addr = registry.open("k").unwrap();
    let registry = registry.clone();
    assert_eq!(inside(&addr, move |_, _| registry.info("k").unwrap().handled).await, 1);
}
