//! `/sessions`, `/sessions/{key}`, `/health`, and who may ask.

use serde_json::json;

use crate::support::{LASTING, TestGateway, answer};

#[actix_web::test]
async fn admin_routes_want_the_token_once_one_is_set() {
    let gateway = TestGateway::start("[server]\nadmin_token = \"open sesame\"");
    let with = async |method: &str, path: &str, authorization: &str| {
        let request = gateway.request(method, path).insert_header(("Authorization", authorization));
        answer(request.send().await.expect("an answer")).await
    };
    for (method, path) in [
        ("GET", "/sessions"),
        ("GET", "/sessions/user:ada"),
        ("DELETE", "/sessions/user:ada"),
        ("GET", "/events"),
        ("GET", "/metrics"),
    ] {
        let refused = answer(gateway.request(method, path).send().await.expect("an answer")).await;
        refused.is_error(401, "unauthorized");
        assert!(refused.header("WWW-Authenticate").starts_with("Bearer"), "{refused:?}");
        for wrong in ["Bearer open", "Bearer open sesame!", "Bearer ", "Basic open sesame", "open sesame"] {
            with(method, path, wrong).await.is_error(401, "unauthorized");
        }
    }
    with("GET", "/sessions", "Bearer open sesame").await.ok();
    with("GET", "/sessions", "bearer open sesame").await.ok();
    with("DELETE", "/sessions/user:ada", "Bearer open sesame").await.is_error(404, "no_session");

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

#[actix_web::test]
async fn sessions_are_listed_oldest_first_by_prefix_and_up_to_a_limit() {
    let gateway = TestGateway::start(LASTING);
    for path in ["/hooks/github/b", "/hooks/github/a", "/hooks/stripe/c"] {
        gateway.post(path, "{}").await.ok();
    }
    let keys = async |path: &str| {
        let listed = gateway.get(path).await.ok();
        let sessions = listed["sessions"].as_array().expect("a list").iter();
        let keys: Vec<_> = sessions.map(|session| session["key"].as_str().expect("a key").to_owned()).collect();
        (keys, listed["matching"].as_u64().expect("a number"))
    };
    let all = ["hook:github:b", "hook:github:a", "hook:stripe:c"].map(String::from);
    assert_eq!(keys("/sessions").await, (all.to_vec(), 3));
    assert_eq!(keys("/sessions?limit=1").await, (all[..1].to_vec(), 3));
    assert_eq!(keys("/sessions?prefix=hook:stripe:").await, (all[2..].to_vec(), 1));
    gateway.get("/sessions?limit=-1").await.is_error(400, "bad_query");
    gateway.get("/sessions?first=1").await.is_error(400, "bad_query");
}

#[actix_web::test]
async fn a_key_may_be_written_in_a_path_whatever_is_in_it() {
    let gateway = TestGateway::start(LASTING);
    let mut events = gateway.events("/events").await;
    for (key, path) in [
        ("hook:github:octo/repo", "hook:github:octo/repo"),
        ("hook:github:octo/repo", "hook%3Agithub%3Aocto%2Frepo"),
        ("user:50% off?#1", "user:50%25%20off%3F%231"),
        ("user:%2F", "user:%252F"),
        ("user:a+b c", "user:a+b%20c"),
        ("user:été/☕", "user:%C3%A9t%C3%A9/%E2%98%95"),
        ("user:a//b/", "user:a//b/"),
    ] {
        gateway.server.gateway.registry.open(key).expect("opened");
        // It is live once it runs, on a thread of its own.
        assert_eq!(events.until("opened").await.data["key"], json!(key));
        assert_eq!(gateway.get(&format!("/sessions/{path}")).await.ok()["key"], json!(key));
        let ended = gateway.delete(&format!("/sessions/{path}")).await.ok();
        assert_eq!((&ended["key"], &ended["ended"]["reason"]), (&json!(key), &json!("closed")));
        gateway.delete(&format!("/sessions/{path}")).await.is_error(404, "no_session");
    }
    gateway.get("/sessions/").await.is_error(400, "bad_key");
    gateway.get("/sessions/a%00b").await.is_error(400, "bad_key");
    gateway.get("/sessions/%FF").await.is_error(400, "bad_key");
}

#[actix_web::test]
async fn an_ended_session_leaves_its_account() {
    let gateway = TestGateway::start(LASTING);
    for _ in 0..3 {
        gateway.post("/hooks/github/x", "{}").await.ok();
    }
    let ended = &gateway.delete("/sessions/hook:github:x").await.ok()["ended"];
    assert_eq!((&ended["reason"], &ended["handled"], &ended["cut"]), (&json!("closed"), &json!(3), &json!(0)));
    assert!(ended["age_ms"].is_u64() && ended["idle_ms"].is_u64(), "{ended}");
}

#[actix_web::test]
async fn looking_keeps_no_session_alive() {
    let gateway = TestGateway::start("[sessions]\nidle_timeout = \"300ms\"");
    let mut events = gateway.events("/events").await;
    gateway.post("/hooks/github/x", "{}").await.ok();
    events.until("opened").await;
    let looking = async {
        loop {
            if gateway.get("/sessions/hook:github:x").await.status != 200 {
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
    gateway.get("/session").await.is_error(404, "no_route");
    for (method, path, allow) in [
        ("POST", "/health", "GET, HEAD"),
        ("GET", "/hooks/github/x", "POST"),
        ("POST", "/ws/ada", "GET"),
        ("PUT", "/sessions/x", "GET, DELETE"),
    ] {
        let refused = answer(gateway.request(method, path).send().await.expect("an answer")).await;
        refused.is_error(405, "wrong_method");
        assert_eq!(refused.header("Allow"), allow);
    }
    assert_eq!(gateway.get("/health").await.ok(), json!({ "status": "ok", "live": 0 }));
    assert_eq!(gateway.request("HEAD", "/health").send().await.expect("an answer").status(), 200);
}
