//! Errors as answers: the status, problem details, and when to come back.

use std::time::Duration;

use actix_web::{
    ResponseError,
    body::to_bytes,
    http::{StatusCode, header},
};
use serde_json::{Value, json};
use session_actors::{
    CloseError, EndReason, InvalidKey, NotSaved, OpenError, PolicyError, SendError, SessionKey, Unserved, web::Problem,
};

/// The status, the body and `Retry-After` of an error.
async fn answer(error: &dyn ResponseError) -> (u16, Value, Option<String>) {
    let response = error.error_response();
    assert_eq!(response.status(), error.status_code());
    assert_eq!(response.headers().get(header::CONTENT_TYPE).unwrap(), "application/problem+json");
    let retry = response.headers().get(header::RETRY_AFTER).map(|after| after.to_str().unwrap().to_owned());
    let status = response.status().as_u16();
    let body: Value = serde_json::from_slice(&to_bytes(response.into_body()).await.unwrap()).unwrap();
    assert_eq!(body["type"], "about:blank");
    assert_eq!(body["status"], status);
    assert_eq!(body["title"], StatusCode::from_u16(status).unwrap().canonical_reason().unwrap());
    (status, body, retry)
}

#[actix::test]
async fn every_error_has_its_status_and_its_word() {
    let ended = |reason, panic: Option<&str>| Unserved::Ended { reason, panic: panic.map(str::to_owned) };
    let error = || "/var/lib/secret.redb: torn page".to_owned();
    let cases: Vec<(Box<dyn ResponseError>, u16, &str)> = vec![
        (Box::new(InvalidKey::Empty), 400, "bad_key"),
        (Box::new(OpenError::InvalidKey(InvalidKey::Empty)), 400, "bad_key"),
        (Box::new(OpenError::AtCapacity { limit: 3, retry_after: None }), 503, "at_capacity"),
        (Box::new(OpenError::ShuttingDown), 503, "shutting_down"),
        (Box::new(OpenError::NoHost), 503, "shutting_down"),
        (Box::new(SendError::Full { message: () }), 503, "busy"),
        (Box::new(SendError::Refused { cause: OpenError::ShuttingDown, message: () }), 503, "shutting_down"),
        (Box::new(SendError::<()>::Unserved { cause: Unserved::NoRoom }), 503, "ended_first"),
        (Box::new(ended(EndReason::IdleTimeout, None)), 503, "ended_first"),
        (Box::new(ended(EndReason::Panicked, Some("secret"))), 500, "failed"),
        (Box::new(Unserved::StartFailed { panic: "secret".into() }), 500, "failed"),
        (Box::new(Unserved::ReplyPanicked { panic: "secret".into() }), 500, "failed"),
        (Box::new(Unserved::ReplyDropped), 500, "failed"),
        (Box::new(Unserved::HostGone), 503, "shutting_down"),
        (Box::new(Unserved::NotRestored { error: error() }), 503, "not_restored"),
        (Box::new(Unserved::NotSaved { error: error() }), 503, "not_saved"),
        (Box::new(CloseError::NotFound), 404, "no_session"),
        (Box::new(CloseError::Store { error: error() }), 503, "not_closed"),
        (Box::new(CloseError::NoHost), 503, "shutting_down"),
        (Box::new(NotSaved::Ended), 503, "not_saved"),
        (Box::new(PolicyError::ZeroSessions), 422, "bad_policy"),
    ];
    for (error, status, code) in cases {
        let (got, body, retry) = answer(&*error).await;
        assert_eq!((got, &body["code"]), (status, &json!(code)), "{error:?}");
        assert_eq!(retry.as_deref(), (status == 503).then_some("5"), "{error:?}");
        // What went wrong inside is not told outside.
        assert!(!body.to_string().contains("secret"), "{body}");
        assert!(body["detail"].as_str().unwrap().len() > 10);
    }
}

#[actix::test]
async fn who_comes_back_on_time_does_not_come_too_early() {
    for (after, seconds) in [(0, "1"), (999, "1"), (1000, "1"), (1001, "2"), (61_200, "62")] {
        let error = OpenError::AtCapacity { limit: 3, retry_after: Some(Duration::from_millis(after)) };
        assert_eq!(answer(&error).await.2.as_deref(), Some(seconds));
    }
}

#[actix::test]
async fn a_gateway_answers_its_own_problems_in_the_same_way() {
    let (status, body, retry) = answer(&Problem::new(StatusCode::IM_A_TEAPOT, "teapot", "short and stout")).await;
    assert_eq!((status, &body["code"], &body["detail"]), (418, &json!("teapot"), &json!("short and stout")));
    assert_eq!(retry, None);
    let key = SessionKey::new("x".repeat(600)).unwrap_err();
    assert!(answer(&Problem::from(key)).await.1["detail"].as_str().unwrap().contains("600 bytes"));
}
