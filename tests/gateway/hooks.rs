//! `POST /hooks/{source}/{id}`.

use std::time::Duration;

use hmac::{Hmac, Mac};
use serde_json::json;
use sha2::Sha256;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::{LASTING, PATIENCE, Panic, TestGateway, answer};

const IDLE: &str = "[sessions]\nrules = [{ match = \"hook:*\", idle_timeout = \"1s\", warn_before = \"200ms\" }]";
const SIGNED: &str = "[hooks.secrets]\ngithub = \"it's a secret\"\n[sessions]\nidle_timeout = \"1h\"";

#[actix_web::test]
async fn a_github_webhook_opens_a_session_that_ends_at_its_idle_time() {
    let gateway = TestGateway::start(IDLE);
    let mut events = gateway.events("/admin/events").await;
    assert_eq!(events.until("snapshot").await.data["sessions"], json!([]));

    let request = gateway.request("POST", "/hooks/github/octo/repo");
    let request = request.insert_header(("X-GitHub-Event", "issues")).insert_header(("X-GitHub-Delivery", "d-1"));
    let view = answer(request.send_json(&json!({ "action": "opened" })).await.expect("an answer")).await.ok();
    assert_eq!(view["key"], "hook:github:octo/repo");
    assert_eq!(view["received"], json!({ "event": "issues", "action": "opened", "delivery": "d-1", "bytes": 19 }));
    assert_eq!(view["limits"]["idle_timeout"], "1s");

    // The answer is out a moment before the session is at rest; until then its greatest age is what it has left.
    let session = loop {
        let mut listed = gateway.get("/admin/sessions").await.ok();
        let session = listed["sessions"][0].take();
        if session["in_flight"] == 0 {
            break session;
        }
    };
    assert_eq!(session["key"], "hook:github:octo/repo");
    assert_eq!(session["limits"]["idle_timeout"], "1s");
    let left = session["expires_in_ms"].as_u64().expect("the time it has left");
    assert!((1..=1000).contains(&left), "{session}");

    assert_eq!(events.until("opened").await.data["key"], "hook:github:octo/repo");
    assert_eq!(events.until("warned").await.data["reason"], "idle_timeout");
    let ended = events.until("ended").await.data;
    assert_eq!((&ended["key"], &ended["reason"]), (&json!("hook:github:octo/repo"), &json!("idle_timeout")));
    gateway.get("/admin/sessions/hook:github:octo%2Frepo").await.is_error(404, "no_session");
}

#[actix_web::test]
async fn deliveries_are_counted_and_a_repeated_one_is_not() {
    let gateway = TestGateway::start(LASTING);
    let deliver = async |delivery: &str| {
        let request = gateway.request("POST", "/hooks/github/7").insert_header(("X-GitHub-Event", "push"));
        let request = request.insert_header(("X-GitHub-Delivery", delivery));
        answer(request.send_body("{}").await.expect("an answer")).await.ok()
    };
    assert_eq!(deliver("d-1").await["duplicate"], false);
    let again = deliver("d-1").await;
    assert_eq!((&again["duplicate"], &again["deliveries"]), (&json!(true), &json!(1)));
    assert_eq!(deliver("d-2").await["by_event"], json!({ "push": 2 }));

    let other = gateway.post("/hooks/stripe/7", r#"{"type": "charge.succeeded"}"#).await.ok();
    assert_eq!((&other["received"]["event"], &other["deliveries"]), (&json!("charge.succeeded"), &json!(1)));
    assert_eq!(gateway.server.gateway.registry.len(), 2);
}

#[actix_web::test]
async fn a_slash_may_be_written_as_it_is_or_encoded() {
    let gateway = TestGateway::start(LASTING);
    let plain = gateway.post("/hooks/github/octo/repo", "{}").await.ok();
    let encoded = gateway.post("/hooks/github/octo%2Frepo", "{}").await.ok();
    assert_eq!(plain["id"], encoded["id"]);
}

#[actix_web::test]
async fn what_is_refused_says_why_and_opens_nothing() {
    let settings = "[limits]\nbody_bytes = 1000\nmax_work = \"1s\"";
    let gateway = TestGateway::start(settings);
    for (path, body, status, code) in [
        ("/hooks/github/x", "{\"action\":", 400, "bad_json"),
        ("/hooks/github/x", "payload=%7B%7D", 400, "bad_json"),
        ("/hooks/github/x", "", 400, "bad_json"),
        ("/hooks/github/", "{}", 400, "bad_key"),
        ("/hooks/GitHub/x", "{}", 400, "bad_key"),
        ("/hooks/a:b/c", "{}", 400, "bad_key"),
        ("/hooks/github/line%0Abreak", "{}", 400, "bad_key"),
        ("/hooks/github/not-utf8-%FF", "{}", 400, "bad_key"),
        ("/hooks/github/x?work_ms=1001", "{}", 400, "bad_query"),
        ("/hooks/github/x?work_ms=soon", "{}", 400, "bad_query"),
        ("/hooks/github/x?work=5", "{}", 400, "bad_query"),
    ] {
        gateway.post(path, body).await.is_error(status, code);
    }
    let long = "x".repeat(600);
    gateway.post(&format!("/hooks/github/{long}"), "{}").await.is_error(400, "bad_key");
    assert!(gateway.server.gateway.registry.is_empty());
}

#[actix_web::test]
async fn a_body_over_the_limit_is_refused_announced_or_not() {
    let gateway = TestGateway::start("[limits]\nbody_bytes = 1000");
    let fits = format!("\"{}\"", "x".repeat(998));
    gateway.post("/hooks/github/x", fits).await.ok();
    gateway.post("/hooks/github/y", " ".repeat(1001)).await.is_error(413, "too_large");

    let chunks = futures_util::stream::iter((0..11).map(|_| Ok::<_, std::io::Error>(" ".repeat(100).into())));
    let response = gateway.request("POST", "/hooks/github/y").send_stream(chunks).await.expect("an answer");
    answer(response).await.is_error(413, "too_large");
    assert_eq!(gateway.server.gateway.registry.len(), 1);
}

#[actix_web::test]
async fn a_body_that_does_not_arrive_is_not_waited_for() {
    let gateway = TestGateway::start("[limits]\nbody_timeout = \"200ms\"");
    let mut socket = TcpStream::connect(gateway.server.addr).await.expect("connected");
    let head = b"POST /hooks/github/x HTTP/1.1\r\nHost: gateway\r\nContent-Length: 10\r\n\r\n{";
    socket.write_all(head).await.expect("written");
    let mut answer = String::new();
    while !answer.contains("body_timeout") {
        let mut some = [0; 1024];
        let read = timeout(PATIENCE, socket.read(&mut some)).await.expect("in time").expect("read");
        assert!(read > 0, "the connection ended after {answer:?}");
        answer.push_str(std::str::from_utf8(&some[..read]).expect("UTF-8"));
    }
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[actix_web::test]
async fn a_source_with_a_secret_must_sign_what_it_sends() {
    let gateway = TestGateway::start(SIGNED);
    let body = r#"{"action":"opened"}"#;
    let deliver = async |signature: Option<String>| {
        let mut request = gateway.request("POST", "/hooks/github/x");
        if let Some(signature) = signature {
            request = request.insert_header(("X-Hub-Signature-256", signature));
        }
        answer(request.send_body(body).await.expect("an answer")).await
    };
    let right = sign("it's a secret", body);
    deliver(None).await.is_error(401, "signature_missing");
    for wrong in [
        sign("another secret", body),
        sign("it's a secret", "{}"),
        right.replace("sha256=", "sha1="),
        right.replace("sha256=", ""),
        right[..right.len() - 2].into(),
        format!("{right}00"),
        "sha256=".into(),
        format!("sha256={}", "+1".repeat(32)),
        "sha256=é".into(),
    ] {
        deliver(Some(wrong)).await.is_error(401, "signature_wrong");
    }
    assert!(gateway.server.gateway.registry.is_empty());

    deliver(Some(right.clone())).await.ok();
    deliver(Some(format!("sha256={}", right["sha256=".len()..].to_uppercase()))).await.ok();
    gateway.post("/hooks/gitlab/x", body).await.ok();
}

fn sign(secret: &str, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any length");
    mac.update(body.as_bytes());
    let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256={hex}")
}

#[actix_web::test]
async fn a_full_registry_says_when_to_come_back() {
    let gateway = TestGateway::start("[sessions]\nmax_sessions = 1");
    gateway.post("/hooks/github/first", "{}").await.ok();
    let refused = gateway.post("/hooks/github/second", "{}").await;
    refused.is_error(503, "at_capacity");
    assert!(refused.header("Retry-After").parse::<u64>().is_ok_and(|seconds| seconds > 0), "{refused:?}");
    gateway.post("/hooks/github/first", "{}").await.ok();
}

#[actix_web::test]
async fn a_hook_that_is_worked_on_outlasts_the_idle_time() {
    let gateway = TestGateway::start(IDLE);
    let mut events = gateway.events("/admin/events").await;
    let view = gateway.post("/hooks/github/slow?work_ms=1200", "{}").await.ok();
    assert_eq!(view["deliveries"], 1);
    let ended = events.until("ended").await.data;
    assert_eq!(ended["reason"], "idle_timeout");
    assert!(ended["age_ms"].as_u64().expect("its age") >= 2100, "{ended}");
    assert!(ended["idle_ms"].as_u64().expect("its idle time") < 2000, "{ended}");
}

#[actix_web::test]
async fn a_hook_whose_session_panics_is_told() {
    let gateway = TestGateway::start(LASTING);
    let mut events = gateway.events("/admin/events").await;
    let waiting = gateway.post("/hooks/github/x?work_ms=30000", "{}");
    let breaking = async {
        events.until("opened").await;
        let address = gateway.server.gateway.registry.get("hook:github:x").expect("live");
        address.do_send(Panic);
        assert_eq!(events.until("ended").await.data["reason"], "panicked");
    };
    let (told, ()) = timeout(PATIENCE, futures_util::future::join(waiting, breaking)).await.expect("in time");
    told.is_error(500, "failed");
    // The gateway is as good as before.
    let again = timeout(Duration::from_secs(5), gateway.post("/hooks/github/x", "{}")).await.expect("in time").ok();
    assert_eq!(again["deliveries"], 1);
}
