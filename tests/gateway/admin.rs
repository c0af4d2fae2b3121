//! `/admin`, `/metrics`, `/health`, and who may ask.

use std::time::Duration;

use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::support::{LASTING, TestGateway, answer};

#[actix_web::test]
async fn admin_routes_want_the_token_once_one_is_set() {
    let gateway = TestGateway::start("[server]\nadmin_token = \"open sesame\"");
    let with = async |method: &str, path: &str, authorization: &str| {
        let request = gateway.request(method, path).insert_header(("Authorization", authorization));
        answer(request.send().await.expect("an answer")).await
    };
    for (method, path) in [
        ("GET", "/admin/sessions"),
        ("GET", "/admin/sessions/user:ada"),
        ("DELETE", "/admin/sessions/user:ada"),
        ("GET", "/admin/events"),
        ("GET", "/metrics"),
    ] {
        let refused = answer(gateway.request(method, path).send().await.expect("an answer")).await;
        refused.is_error(401, "unauthorized");
        assert!(refused.header("WWW-Authenticate").starts_with("Bearer"), "{refused:?}");
        for wrong in ["Bearer open", "Bearer open sesame!", "Bearer ", "Basic open sesame", "open sesame"] {
            let code = if wrong.starts_with("Bearer o") { "invalid_token" } else { "unauthorized" };
            with(method, path, wrong).await.is_error(401, code);
        }
    }
    with("GET", "/admin/sessions", "Bearer open sesame").await.ok();
    with("GET", "/admin/sessions", "bearer open sesame").await.ok();
    with("DELETE", "/admin/sessions/user:ada", "Bearer open sesame").await.is_error(404, "no_session");

    gateway.get("/health").await.ok();
    gateway.post("/hooks/github/x", "{}").await.ok();
    gateway.join("ada").await;
}

#[actix_web::test]
async fn prometheus_reads_the_numbers_of_the_moment() {
    let gateway = TestGateway::start(LASTING);
    for (hooks, expected) in [(0, "0"), (1, "1"), (2, "2")] {
        if hooks > 0 {
            gateway.post(&format!("/hooks/github/{hooks}"), "{}").await.ok();
        }
        let mut response = gateway.request("GET", "/metrics").send().await.expect("an answer");
        let page = response.body().await.expect("a body");
        let page = String::from_utf8_lossy(&page);
        assert!(page.contains(&format!("session_actors_opened_total{{registry=\"gateway\"}} {expected}\n")), "{page}");
    }
}

/// `examples/gateway/grafana.json` asks for nothing that is not there.
#[actix_web::test]
async fn the_dashboard_of_grafana_is_about_what_is_measured() {
    let gateway = TestGateway::start("[sessions]\nidle_timeout = \"100ms\"");
    let mut events = gateway.events("/admin/events").await;
    gateway.post("/hooks/github/x", "{}").await.ok();
    events.until("ended").await;
    let late = "session_actors_expiry_late_seconds_bucket{registry=\"gateway\",reason=\"idle_timeout\",le=\"1\"} 1";
    // Whoever measures hears of the end by a watch of its own.
    let page = async {
        loop {
            let mut response = gateway.request("GET", "/metrics").send().await.expect("an answer");
            let page = String::from_utf8_lossy(&response.body().await.expect("a body")).into_owned();
            if page.contains(late) {
                return page;
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    let page = timeout(Duration::from_secs(10), page).await.expect("the end is not measured");
    let dashboard: serde_json::Value =
        serde_json::from_str(include_str!("../../examples/gateway/grafana.json")).expect("JSON");
    let mut asked = std::collections::BTreeSet::new();
    for panel in dashboard["panels"].as_array().expect("panels") {
        for target in panel["targets"].as_array().expect("targets") {
            let mut text = target["expr"].as_str().expect("an expression");
            while let Some(at) = text.find("session_actors_") {
                text = &text[at..];
                let end = text.find(|c: char| !c.is_ascii_lowercase() && c != '_').expect("more");
                asked.insert(&text[..end]);
                text = &text[end..];
            }
        }
    }
    assert!(asked.len() > 15, "{asked:?}");
    for metric in asked {
        // Of a histogram nothing is there before its first value, such as a drain.
        let described = metric.strip_suffix("_bucket").unwrap_or(metric);
        assert!(
            page.contains(&format!("# TYPE {described} ")) || described == "session_actors_drain_seconds",
            "{metric}"
        );
    }
}

#[actix_web::test]
async fn an_ended_session_leaves_its_account() {
    let gateway = TestGateway::start(LASTING);
    for _ in 0..3 {
        gateway.post("/hooks/github/x", "{}").await.ok();
    }
    let ended = &gateway.delete("/admin/sessions/hook:github:x").await.ok()["ended"];
    assert_eq!((&ended["reason"], &ended["handled"], &ended["cut"]), (&json!("closed"), &json!(3), &json!(0)));
    assert!(ended["age_ms"].is_u64() && ended["idle_ms"].is_u64(), "{ended}");
}

#[actix_web::test]
async fn looking_keeps_no_session_alive() {
    let gateway = TestGateway::start("[sessions]\nidle_timeout = \"300ms\"");
    let mut events = gateway.events("/admin/events").await;
    gateway.post("/hooks/github/x", "{}").await.ok();
    events.until("opened").await;
    let looking = async {
        loop {
            if gateway.get("/admin/sessions/hook:github:x").await.status != 200 {
                return;
            }
        }
    };
    let (ended, ()) = futures_util::future::join(events.until("ended"), looking).await;
    assert_eq!(ended.data["reason"], "idle_timeout");
}

#[actix_web::test]
async fn what_no_route_takes_is_answered_in_json() {
    let gateway = TestGateway::start(LASTING);
    gateway.get("/").await.is_error(404, "no_route");
    gateway.get("/sessions").await.is_error(404, "no_route");
    gateway.get("/admin/session").await.is_error(404, "no_route");
    for (method, path, allow) in [
        ("POST", "/health", "GET, HEAD"),
        ("GET", "/hooks/github/x", "POST"),
        ("POST", "/ws/ada", "GET"),
        ("PUT", "/admin/sessions/x", "GET, HEAD, DELETE"),
        ("POST", "/metrics", "GET"),
    ] {
        let refused = answer(gateway.request(method, path).send().await.expect("an answer")).await;
        refused.is_error(405, "wrong_method");
        assert_eq!(refused.header("Allow"), allow);
    }
    assert_eq!(gateway.get("/health").await.ok(), json!({ "status": "ok", "live": 0 }));
    assert_eq!(gateway.request("HEAD", "/health").send().await.expect("an answer").status(), 200);
}
