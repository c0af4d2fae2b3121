//! The operator's routes.

use std::time::Duration;

use actix_web::{
    App,
    http::{Method, StatusCode, header},
    test,
};
use serde_json::{Value, json};
use session_actors::{Limits, Policy, SessionRegistry, web::admin::Admin};
use tokio::time::{pause, sleep};

use crate::support::*;

macro_rules! app {
    ($admin:expr) => {
        test::init_service(App::new().service($admin.scope("/admin"))).await
    };
}

fn policy() -> Policy {
    Policy::new(limits()).exclude("main").rule("hook:*", Limits::new().idle_timeout(secs(60)))
}

/// `main`, `hook:1` to `hook:9`, `user:<b>&/"`; with a paused clock, a second apart.
async fn some() -> SessionRegistry<Chat> {
    pause();
    let registry = registry(policy());
    registry.open("main").unwrap();
    for n in 1..=9 {
        registry.send(format!("hook:{n}"), Count).await.unwrap();
        sleep(secs(1)).await;
    }
    registry.open("user:<b>&/\"").unwrap();
    sleep(Duration::from_millis(1)).await;
    registry
}

fn keys(listing: &Value) -> Vec<&str> {
    listing["sessions"].as_array().unwrap().iter().map(|session| session["key"].as_str().unwrap()).collect()
}

#[actix::test]
async fn nobody_gets_in_without_the_token() {
    let registry = some().await;
    let app = app!(Admin::guarded(&registry, TOKEN));
    let guarded = [
        (Method::GET, "/admin/sessions"),
        (Method::GET, "/admin/sessions/main"),
        (Method::DELETE, "/admin/sessions/main"),
        (Method::POST, "/admin/sessions/main/extend"),
        (Method::GET, "/admin/stats"),
        (Method::GET, "/admin/policy"),
        (Method::PUT, "/admin/policy"),
        (Method::GET, "/admin/events"),
    ];
    for (method, uri) in guarded {
        for token in [None, Some("Bearer"), Some("Bearer wrong"), Some("Basic a token"), Some("Bearer a toke")] {
            let mut request =
                test::TestRequest::default().method(method.clone()).uri(uri).set_json(json!({"by_ms": 1}));
            if let Some(token) = token {
                request = request.insert_header((header::AUTHORIZATION, token));
            }
            let response = test::call_service(&app, request.to_request()).await;
            assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{method} {uri} {token:?}");
            let challenge = response.headers().get(header::WWW_AUTHENTICATE).unwrap().to_str().unwrap();
            let wrong = token.is_some_and(|token| token.starts_with("Bearer "));
            assert!(challenge.starts_with("Bearer realm=\"sessions\""), "{challenge}");
            assert_eq!(challenge.contains("invalid_token"), wrong, "{token:?}: {challenge}");
        }
    }
    assert_eq!(registry.len(), 11);
    let nobody = app!(Admin::guarded(&registry, ""));
    for token in ["Bearer ", "Bearer a token"] {
        let request = test::TestRequest::get().uri("/admin/stats").insert_header((header::AUTHORIZATION, token));
        assert_eq!(test::call_service(&nobody, request.to_request()).await.status(), StatusCode::UNAUTHORIZED);
    }
}

/// A page elsewhere may have its own name lead to this machine.
#[actix::test]
async fn without_a_token_only_who_calls_it_by_no_name_gets_in() {
    let registry = some().await;
    let (unguarded, behind) = (app!(Admin::unguarded(&registry)), app!(Admin::behind_a_guard(&registry)));
    for (host, status) in [
        (None, StatusCode::OK),
        (Some("127.0.0.1:8080"), StatusCode::OK),
        (Some("[::1]:8080"), StatusCode::OK),
        (Some("localhost"), StatusCode::OK),
        (Some("evil.example:8080"), StatusCode::FORBIDDEN),
    ] {
        let request = || {
            let request = test::TestRequest::get().uri("/admin/stats");
            host.map_or_else(test::TestRequest::default, |host| request.insert_header((header::HOST, host)))
                .uri("/admin/stats")
                .to_request()
        };
        assert_eq!(test::call_service(&unguarded, request()).await.status(), status, "{host:?}");
        assert_eq!(test::call_service(&behind, request()).await.status(), StatusCode::OK);
    }
}

#[actix::test]
async fn sessions_are_filtered_sorted_and_paged() {
    let registry = some().await;
    let app = app!(Admin::guarded(&registry, TOKEN));
    let list = async |query: &str| {
        let (status, body) = ask(&app, Method::GET, &format!("/admin/sessions?{query}"), None).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        body
    };
    let all = list("").await;
    assert_eq!((&all["live"], &all["matching"]), (&json!(11), &json!(11)));
    assert_eq!(keys(&all)[..2], ["main", "hook:1"]);
    assert_eq!(keys(&all)[10], "user:<b>&/\"");
    let page = list("match=hook:*&sort=key&order=desc&offset=2&limit=3").await;
    assert_eq!((&page["live"], &page["matching"], &page["offset"]), (&json!(11), &json!(9), &json!(2)));
    assert_eq!(keys(&page), ["hook:7", "hook:6", "hook:5"]);
    // Those without a deadline last.
    assert_eq!(keys(&list("sort=expires_in").await)[..2], ["hook:1", "hook:2"]);
    assert_eq!(keys(&list("sort=expires_in&order=desc").await)[..2], ["main", "user:<b>&/\""]);
    assert_eq!(keys(&list("sort=idle&order=desc&limit=2").await), ["hook:1", "main"]);
    assert_eq!(keys(&list("rule=exclude%20main").await), ["main"]);
    assert_eq!(list("phase=draining").await["matching"], 0);
    assert_eq!(keys(&list("offset=100").await), [""; 0]);

    let hook = &list("match=hook:1").await["sessions"][0];
    // Some milliseconds of the listing's own: it is made on another thread, while the paused clock goes on.
    let (idle, left) = (hook["idle_ms"].as_u64().unwrap(), hook["expires_in_ms"].as_u64().unwrap());
    assert!((9_001..9_500).contains(&idle) && (59_999..=60_000).contains(&(idle + left)), "{hook}");
    assert!((59_999..=60_000).contains(&hook["expires_of_ms"].as_u64().unwrap()), "{hook}");
    assert_eq!((&hook["rule"], &hook["handled"]), (&json!("rule 1: hook:*"), &json!(1)));
    for (query, says) in [
        ("match=[", "match is no glob"),
        ("sort=size", "unknown variant `size`"),
        ("limit=10001", "at most 10000"),
        ("limit=-1", "invalid digit"),
        ("wat=1", "unknown field `wat`"),
    ] {
        let (status, body) = ask(&app, Method::GET, &format!("/admin/sessions?{query}"), None).await;
        assert_eq!((status, &body["code"]), (StatusCode::BAD_REQUEST, &json!("bad_query")), "{query}");
        assert!(body["detail"].as_str().unwrap().contains(says), "{query}: {body}");
    }
}

#[actix::test]
async fn a_key_may_be_anything_a_key_may_be() {
    let registry = some().await;
    let app = app!(Admin::guarded(&registry, TOKEN));
    let uri = "/admin/sessions/user:%3Cb%3E&%2F%22";
    let (status, one) = ask(&app, Method::GET, uri, None).await;
    assert_eq!((status, &one["key"]), (StatusCode::OK, &json!("user:<b>&/\"")));
    let (status, extended) = ask(&app, Method::POST, &format!("{uri}/extend"), Some(json!({"by_ms": 1_000_000}))).await;
    assert_eq!(
        (status, extended),
        (StatusCode::OK, json!({"key": "user:<b>&/\"", "by_ms": 1_000_000, "expires_in_ms": 1_000_000}))
    );
    sleep(Duration::from_millis(1)).await;
    assert!(ask(&app, Method::GET, uri, None).await.1["expires_in_ms"].as_u64().unwrap() > 990_000);
    let (status, closed) = ask(&app, Method::DELETE, uri, None).await;
    assert_eq!((status, &closed["ended"]["reason"]), (StatusCode::OK, &json!("closed")));
    for (method, uri) in
        [(Method::GET, uri.to_owned()), (Method::DELETE, uri.to_owned()), (Method::POST, format!("{uri}/extend"))]
    {
        let (status, body) = ask(&app, method, &uri, Some(json!({"by_ms": 1}))).await;
        assert_eq!((status, &body["code"]), (StatusCode::NOT_FOUND, &json!("no_session")));
    }
    assert!(registry.info("user:<b>&/\"").is_none(), "looking opened it");
}

#[actix::test]
async fn an_end_is_waited_for_or_not() {
    let registry = some().await;
    let app = app!(Admin::guarded(&registry, TOKEN));
    let work = registry.send("hook:1", Work(secs(2)));
    let (status, asked) = ask(&app, Method::DELETE, "/admin/sessions/hook:1?wait=false", None).await;
    assert_eq!((status, asked), (StatusCode::ACCEPTED, json!({"key": "hook:1", "ended": null})));
    sleep(Duration::from_millis(1)).await;
    assert_eq!(ask(&app, Method::GET, "/admin/sessions/hook:1", None).await.1["phase"], "draining");
    let (status, body) = ask(&app, Method::POST, "/admin/sessions/hook:1/extend", Some(json!({"by_ms": 1}))).await;
    assert_eq!((status, &body["code"]), (StatusCode::CONFLICT, &json!("draining")));
    let (status, ended) = ask(&app, Method::DELETE, "/admin/sessions/hook:1", None).await;
    assert_eq!((status, &ended["ended"]["handled"]), (StatusCode::OK, &json!(2)));
    work.await.unwrap();
}

#[actix::test]
async fn more_time_is_a_number_and_not_nothing() {
    let registry = some().await;
    let app = app!(Admin::guarded(&registry, TOKEN));
    for body in [
        json!({"by_ms": 0}),
        json!({"by": "0s"}),
        json!({"by_ms": "1h"}),
        json!({"by": "soon"}),
        json!({"by": "1h", "by_ms": 1}),
        json!({}),
        json!({"by_ms": 1, "x": 2}),
        json!([]),
    ] {
        let (status, answer) = ask(&app, Method::POST, "/admin/sessions/main/extend", Some(body)).await;
        assert_eq!((status, &answer["code"]), (StatusCode::BAD_REQUEST, &json!("bad_json")), "{answer}");
    }
    // What it then has is the longest of what there is, and no more than its greatest age leaves.
    for (body, ms, then) in [
        (json!({"by": "30m"}), 1_800_000, 1_800_000),
        (json!({"by_ms": 1000}), 1000, 1_800_000),
        (json!({"by": "10h"}), 36_000_000, 3_600_000),
    ] {
        let (_, extended) = ask(&app, Method::POST, "/admin/sessions/user:%3Cb%3E&%2F%22/extend", Some(body)).await;
        sleep(Duration::from_millis(1)).await;
        assert_eq!(extended["by_ms"], ms);
        let left = extended["expires_in_ms"].as_u64().unwrap();
        assert!((then - 1000..=then).contains(&left), "{extended}");
    }
}

#[actix::test]
async fn counts_are_by_phase_and_rule() {
    let registry = some().await;
    let app = app!(Admin::guarded(&registry, TOKEN));
    let _work = registry.send("hook:1", Work(secs(2)));
    let _closing = registry.close("hook:1");
    registry.close("hook:2").await.unwrap();
    let (_, stats) = ask(&app, Method::GET, "/admin/stats", None).await;
    assert_eq!(stats["live"], 10);
    assert_eq!(stats["by_phase"], json!({"active": 9, "draining": 1}));
    assert_eq!(stats["by_rule"], json!({"default": 1, "exclude main": 1, "rule 1: hook:*": 8}));
    assert_eq!(
        (&stats["opened"], &stats["ended"]["closed"], &stats["max_sessions"]),
        (&json!(11), &json!(1), &Value::Null)
    );
}

#[actix::test]
async fn keys_can_be_hidden() {
    let registry = some().await;
    let app = app!(Admin::guarded(&registry, TOKEN).hash_keys("a secret"));
    let (_, all) = ask(&app, Method::GET, "/admin/sessions?sort=key", None).await;
    assert!(!all.to_string().contains("user:"), "{all}");
    let shown: Vec<_> = keys(&all).into_iter().map(str::to_owned).collect();
    assert!(shown.is_sorted() && shown.iter().all(|key| key.len() == 16), "{shown:?}");
    let (_, again) = ask(
        &app!(Admin::guarded(&registry, TOKEN).hash_keys("a secret")),
        Method::GET,
        "/admin/sessions?sort=key",
        None,
    )
    .await;
    assert_eq!(keys(&again), shown);
    let (_, one) = ask(&app, Method::GET, &format!("/admin/sessions?match={}*", &shown[3][..8]), None).await;
    assert_eq!(keys(&one), [&*shown[3]]);
    assert_eq!(ask(&app, Method::GET, "/admin/sessions?match=user:*", None).await.1["matching"], 0);
    assert_eq!(ask(&app, Method::GET, "/admin/sessions/main", None).await.0, StatusCode::NOT_FOUND);
    let uri = format!("/admin/sessions/{}", shown[3]);
    assert_eq!(ask(&app, Method::GET, &uri, None).await.1["key"], *shown[3]);
    let extended = ask(&app, Method::POST, &format!("{uri}/extend"), Some(json!({"by_ms": 5}))).await;
    assert_eq!((extended.0, &extended.1["key"], &extended.1["by_ms"]), (StatusCode::OK, &json!(shown[3]), &json!(5)));
    assert_eq!(ask(&app, Method::DELETE, &uri, None).await.1["key"], *shown[3]);
    assert_eq!(registry.len(), 10);
}

#[actix::test]
async fn what_is_no_route_and_what_no_method_says_so() {
    let registry = some().await;
    let app = app!(Admin::guarded(&registry, TOKEN));
    assert_eq!(ask(&app, Method::GET, "/admin/nothing", None).await.1["code"], "no_route");
    let request = test::TestRequest::patch().uri("/admin/policy").to_request();
    let response = test::call_service(&app, request).await;
    assert_eq!(
        (response.status(), response.headers().get(header::ALLOW).unwrap()),
        (StatusCode::METHOD_NOT_ALLOWED, &"GET, HEAD, PUT".parse().unwrap())
    );
    for uri in ["/admin/", "/admin/page.js", "/admin/sessions", "/admin/sessions/main", "/admin/stats", "/admin/policy"]
    {
        assert_eq!(ask(&app, Method::HEAD, uri, None).await.0, StatusCode::OK, "{uri}");
    }
    // What goes wrong first, and what then helps.
    for (method, uri, says) in [
        (Method::GET, "/admin/sessions/hook:github:octo/repo", "write / in it as %2F"),
        (Method::GET, "/admin/sessions?limit=-1", "limit=-1"),
        (Method::DELETE, "/admin/sessions/main?wait=maybe", "wait=maybe"),
        (Method::GET, "/admin/sessions/%00", "byte"),
        (Method::DELETE, "/admin/sessions/%00", "byte"),
        (Method::POST, "/admin/sessions/main/extend", "Content-Type: application/json"),
        (Method::PUT, "/admin/policy", "Content-Type: application/json"),
    ] {
        let body = ask(&app, method, uri, None).await.1;
        assert!(body["detail"].as_str().unwrap().contains(says), "{uri}: {body}");
    }
    registry.shutdown(secs(1)).await.unwrap();
    drop(registry);
    let (status, body) = ask(&app, Method::GET, "/admin/sessions", None).await;
    assert_eq!((status, &body["code"]), (StatusCode::SERVICE_UNAVAILABLE, &json!("shutting_down")));
}
