//! The session of a request.

use actix_web::{
    App, Error,
    http::{Method, StatusCode},
    test, web,
};
use serde_json::Value;
use session_actors::{
    Policy, SessionKey,
    web::{Live, Named, Opened, Problem, Sessions},
};

use crate::support::*;

async fn count(session: Opened<Chat>) -> Result<web::Json<u64>, Error> {
    Ok(web::Json(session.send(Count).await?))
}

async fn count_if_live(session: Live<Chat>) -> Result<web::Json<u64>, Error> {
    Ok(web::Json(session.send(Count).await?))
}

async fn name(session: Named<Chat>) -> web::Json<String> {
    web::Json(session.key().to_string())
}

async fn crash(session: Opened<Chat>) -> Result<web::Json<()>, Error> {
    Ok(web::Json(session.send(Crash).await?))
}

macro_rules! app {
    ($sessions:expr) => {
        test::init_service(
            App::new()
                .app_data($sessions)
                .route("/count/{user:.*}", web::post().to(count))
                .route("/live/{user}", web::post().to(count_if_live))
                .route("/name/{user}", web::get().to(name))
                .route("/crash/{user}", web::get().to(crash))
                .route("/header", web::post().to(count)),
        )
        .await
    };
}

#[actix::test]
async fn a_session_is_found_by_the_path() {
    let registry = registry(Policy::new(limits()));
    let app = app!(Sessions::by_path(&registry, "user").prefixed("user:"));
    for n in 1..=2 {
        assert_eq!(ask(&app, Method::POST, "/count/ada", None).await, (StatusCode::OK, n.into()));
    }
    assert_eq!(ask(&app, Method::POST, "/count/a%2Fb/c%20d", None).await, (StatusCode::OK, 1.into()));
    let keys: Vec<_> = registry.list().into_iter().map(|info| info.key.to_string()).collect();
    assert_eq!(keys, ["user:ada", "user:a/b/c d"]);
}

#[actix::test]
async fn looking_opens_nothing_and_naming_neither() {
    let registry = registry(Policy::new(limits()));
    let app = app!(Sessions::by_path(&registry, "user"));
    let (status, body) = ask(&app, Method::POST, "/live/ada", None).await;
    assert_eq!((status, &body["code"]), (StatusCode::NOT_FOUND, &Value::from("no_session")));
    assert_eq!(ask(&app, Method::GET, "/name/ada", None).await, (StatusCode::OK, "ada".into()));
    assert!(registry.is_empty());
    ask(&app, Method::POST, "/count/ada", None).await;
    assert_eq!(ask(&app, Method::POST, "/live/ada", None).await, (StatusCode::OK, 2.into()));
}

#[actix::test]
async fn a_session_is_found_by_a_header() {
    let registry = registry(Policy::new(limits()));
    let app = app!(Sessions::by_header(&registry, "Mcp-Session-Id"));
    let request = |ids: &[&str]| {
        ids.iter()
            .fold(test::TestRequest::post().uri("/header"), |request, id| {
                request.append_header(("mcp-session-id", *id))
            })
            .to_request()
    };
    assert_eq!(test::call_and_read_body(&app, request(&["abc"])).await, "1");
    assert!(registry.info("abc").is_some());
    for ids in [&[][..], &["abc", "def"]] {
        let response = test::call_service(&app, request(ids)).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        let body: Value = test::read_body_json(response).await;
        assert_eq!(body["detail"], "this route wants the header Mcp-Session-Id, once: it names the session");
    }
}

#[actix::test]
async fn a_session_is_found_by_a_function_or_refused_by_it() {
    let registry = registry(Policy::new(limits()));
    let app = app!(Sessions::by(&registry, |request| match request.query_string() {
        "" => Err(Problem::new(StatusCode::FORBIDDEN, "nobody", "say who you are")),
        who => Ok(SessionKey::new(who)?),
    }));
    assert_eq!(ask(&app, Method::POST, "/header?ada", None).await, (StatusCode::OK, 1.into()));
    assert_eq!(ask(&app, Method::POST, "/header", None).await.0, StatusCode::FORBIDDEN);
    let (status, body) = ask(&app, Method::POST, &format!("/header?{}", "x".repeat(513)), None).await;
    assert_eq!((status, &body["code"]), (StatusCode::BAD_REQUEST, &Value::from("bad_key")));
}

#[actix::test]
async fn what_is_no_key_is_refused() {
    let registry = registry(Policy::new(limits()));
    let app = app!(Sessions::by_path(&registry, "user"));
    for path in ["/count/%FF", "/count/%0A", "/count/"] {
        let (status, body) = ask(&app, Method::POST, path, None).await;
        assert_eq!((status, &body["code"]), (StatusCode::BAD_REQUEST, &Value::from("bad_key")), "{path}");
    }
    assert!(registry.is_empty());
}

#[actix::test]
async fn a_full_gateway_and_one_that_shuts_down_say_when_to_come_back() {
    let registry = registry(Policy::new(limits()).max_sessions(1));
    let app = app!(Sessions::by_path(&registry, "user"));
    ask(&app, Method::POST, "/count/ada", None).await;
    let request = test::TestRequest::post().uri("/count/bob").to_request();
    let response = test::call_service(&app, request).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    // The only session is due to be over in ten minutes.
    let after: u64 = response.headers().get("Retry-After").unwrap().to_str().unwrap().parse().unwrap();
    assert!((590..=600).contains(&after), "{after}");
    assert_eq!(test::read_body_json::<Value, _>(response).await["code"], "at_capacity");

    registry.shutdown(secs(1)).await.unwrap();
    assert_eq!(ask(&app, Method::POST, "/count/ada", None).await.1["code"], "shutting_down");
    drop(registry);
    assert_eq!(ask(&app, Method::POST, "/count/ada", None).await.1["code"], "shutting_down");
}

#[actix::test]
async fn a_panic_is_an_answer_that_tells_nothing_of_the_inside() {
    let registry = registry(Policy::new(limits()));
    let app = app!(Sessions::by_path(&registry, "user"));
    let (status, body) = ask(&app, Method::GET, "/crash/ada", None).await;
    assert_eq!((status, &body["code"]), (StatusCode::INTERNAL_SERVER_ERROR, &Value::from("failed")));
    assert!(!body.to_string().contains("secret"));
}

#[actix::test]
async fn a_route_that_is_not_set_up_says_so_to_those_who_can_mend_it() {
    let registry = registry(Policy::new(limits()));
    let app = test::init_service(App::new().route("/count/{user}", web::post().to(count))).await;
    assert_eq!(ask(&app, Method::POST, "/count/ada", None).await.1["code"], "misconfigured");
    let app = app!(Sessions::by_path(&registry, "usr"));
    assert_eq!(ask(&app, Method::POST, "/count/ada", None).await.1["code"], "misconfigured");
}

/// The app that a worker still has does not keep the registry open.
#[actix::test]
async fn the_last_handle_ends_the_registry_all_the_same() {
    let registry = registry(Policy::new(limits()));
    let sessions = Sessions::by_path(&registry, "user");
    let app = app!(sessions);
    ask(&app, Method::POST, "/count/ada", None).await;
    let mut watch = registry.watch();
    drop(registry);
    while watch.next().await.is_some() {}
    assert_eq!(ask(&app, Method::POST, "/count/ada", None).await.0, StatusCode::SERVICE_UNAVAILABLE);
}
