//! `GET /events`.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use serde_json::json;
use session_actors::SessionRegistry;
use tokio::time::timeout;

use crate::gateway::events::frames;
use crate::gateway::session::GatewaySession;
use crate::support::{Events, LASTING, PATIENCE, Sse, TestGateway, config};

#[actix_web::test]
async fn a_watcher_gets_a_snapshot_and_then_what_happens() {
    let gateway = TestGateway::start(LASTING);
    gateway.post("/hooks/github/before", "{}").await.ok();
    let mut events = gateway.events("/events").await;

    let first = events.next().await.expect("a snapshot");
    assert_eq!(first.event, "snapshot");
    assert_eq!(first.data["sessions"][0]["key"], "hook:github:before");

    gateway.post("/hooks/github/after", "{}").await.ok();
    let opened = events.next().await.expect("an event");
    assert_eq!((opened.event.as_str(), &opened.data["key"]), ("opened", &json!("hook:github:after")));
    assert_eq!(sequence(&opened), sequence(&first) + 1);
    assert!(opened.data["limits"]["idle_timeout"].is_string(), "{opened:?}");

    gateway.delete("/sessions/hook:github:before").await.ok();
    let ended = events.until("ended").await;
    assert_eq!((&ended.data["key"], &ended.data["reason"]), (&json!("hook:github:before"), &json!("closed")));
}

#[actix_web::test]
async fn a_watcher_that_comes_back_misses_nothing_and_gets_nothing_twice() {
    let gateway = TestGateway::start(LASTING);
    let mut events = gateway.events("/events").await;
    gateway.post("/hooks/github/one", "{}").await.ok();
    let seen = events.until("opened").await;
    drop(events);
    let watchers = async || gateway.get("/sessions").await.ok()["stats"]["watchers"].take();
    // That of the metrics stays.
    timeout(PATIENCE, async { while watchers().await != 1 {} }).await.expect("its watch goes with it");

    gateway.post("/hooks/github/two", "{}").await.ok();
    gateway.delete("/sessions/hook:github:one").await.ok();

    let by_header = gateway.request("GET", "/events").insert_header(("Last-Event-ID", seen.id.as_str()));
    let by_query = gateway.request("GET", &format!("/events?last_event_id={}", seen.id));
    // A client that reconnects by itself keeps its first query and adds the header.
    let by_both =
        gateway.request("GET", "/events?last_event_id=1-1").insert_header(("Last-Event-ID", seen.id.as_str()));
    for request in [by_header, by_query, by_both] {
        let mut events = Events::read(request).await;
        let next = events.next().await.expect("an event");
        assert_eq!((next.event.as_str(), &next.data["key"]), ("opened", &json!("hook:github:two")));
        assert_eq!(sequence(&next), sequence(&seen) + 1);
        assert_eq!(events.until("ended").await.data["key"], "hook:github:one");
    }
}

#[actix_web::test]
async fn an_id_that_cannot_be_resumed_from_gets_a_fresh_snapshot_and_one_that_is_none_an_error() {
    let gateway = TestGateway::start(LASTING);
    gateway.post("/hooks/github/x", "{}").await.ok();
    let mut events = gateway.events("/events?last_event_id=1-1").await;
    assert_eq!(events.next().await.expect("an event").event, "snapshot");
    // An event source that has seen nothing yet may send an empty one.
    let mut events = gateway.events("/events?last_event_id=").await;
    assert_eq!(events.next().await.expect("an event").event, "snapshot");
    gateway.get("/events?last_event_id=yesterday").await.is_error(400, "bad_event_id");
}

#[actix_web::test]
async fn events_tell_of_every_step_of_a_chat() {
    let gateway = TestGateway::start(
        "[sessions]\nrules = [{ match = \"user:*\", idle_timeout = \"300ms\", warn_before = \"100ms\" }]",
    );
    let mut events = gateway.events("/events").await;
    let (mut chat, _) = gateway.join("ada").await;
    let opened = events.until("opened").await;
    assert_eq!(opened.data["key"], "user:ada");
    assert_eq!(events.until("warned").await.data["reason"], "idle_timeout");
    let ended = events.until("ended").await;
    assert_eq!((&ended.data["key"], &ended.data["reason"]), (&json!("user:ada"), &json!("idle_timeout")));
    assert_eq!(ended.data["session"], opened.data["session"]);
    assert_eq!(ended.data["handled"], 1, "the join");
    chat.closed().await;
}

#[actix_web::test]
async fn a_quiet_stream_has_a_heartbeat_and_one_that_is_overrun_a_fresh_snapshot() {
    let factory = GatewaySession::factory(Arc::new(config(LASTING).chat));
    let registry = SessionRegistry::builder(factory).event_history(2).start().expect("a registry");
    let mut frames = Box::pin(frames(registry.watch(), Duration::from_millis(50)));
    let mut next = async || {
        let frame = timeout(PATIENCE, frames.next()).await.expect("in time").expect("a frame").expect("bytes");
        String::from_utf8(frame.to_vec()).expect("UTF-8")
    };
    assert!(next().await.starts_with("retry: "));
    assert!(next().await.contains("event: snapshot\n"));
    assert!(next().await.starts_with(": "), "a comment, which no event source hands on");

    for key in ["user:1", "user:2", "user:3"] {
        registry.open(key).expect("opened");
    }
    while registry.len() < 3 {
        tokio::task::yield_now().await;
    }
    let lagged = loop {
        let frame = next().await;
        if !frame.starts_with(": ") {
            break frame;
        }
    };
    assert!(lagged.contains("event: lagged\n") && lagged.contains("\"missed\":3"), "{lagged}");
    assert!(lagged.contains("\"user:1\"") && lagged.contains("\"user:3\""), "{lagged}");
}

fn sequence(event: &Sse) -> u64 {
    let (_, sequence) = event.id.split_once('-').expect("epoch-sequence");
    assert_eq!((&event.data["id"], &event.data["event"]), (&json!(event.id), &json!(event.event)));
    sequence.parse().expect("a number")
}
