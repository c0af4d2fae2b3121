//! What all routes have in common: methods, and what is said to requests that are not understood.

use actix_web::{
    HttpRequest, HttpResponse, Route,
    error::{JsonPayloadError, QueryPayloadError},
    guard,
    http::{
        StatusCode,
        header::{ALLOW, HeaderValue},
    },
    web,
};

use crate::web::Problem;

/// A route that is read: by `GET`, and by `HEAD`, whose answer has no body.
pub(super) fn read() -> Route {
    web::route().guard(guard::Any(guard::Get()).or(guard::Head()))
}

/// What a resource answers to all other methods.
pub(super) fn only(allow: &'static str) -> Route {
    web::to(move || async move {
        let detail = format!("this route takes no such method: use {allow}");
        let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "wrong_method", detail);
        Err::<HttpResponse, _>(problem.header(ALLOW, HeaderValue::from_static(allow)))
    })
}

/// What is at no route. In most cases it is a key.
pub(super) fn nothing() -> Route {
    web::to(async |request: HttpRequest| {
        let detail = if request.path().contains("/sessions/") {
            "there is no such route: a key is one segment of the path, so write / in it as %2F"
        } else {
            "there is no such route: openapi.json has those there are"
        };
        Err::<HttpResponse, _>(Problem::new(StatusCode::NOT_FOUND, "no_route", detail))
    })
}

/// What a switch in a query is if it is left out and has to be on.
pub(super) fn yes() -> bool {
    true
}

pub(super) fn queries() -> web::QueryConfig {
    web::QueryConfig::default().error_handler(|error, request| {
        let why = match &error {
            QueryPayloadError::Deserialize(why) => why.to_string(),
            error => error.to_string(),
        };
        let detail = format!("the query {:?} is not understood: {why}", request.query_string());
        Problem::new(StatusCode::BAD_REQUEST, "bad_query", detail).into()
    })
}

pub(super) fn bodies() -> web::JsonConfig {
    web::JsonConfig::default().error_handler(|error, _| {
        let (status, detail) = match &error {
            JsonPayloadError::ContentType => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "this route wants JSON: send it with Content-Type: application/json".into(),
            ),
            JsonPayloadError::Deserialize(why) => {
                (StatusCode::BAD_REQUEST, format!("the body is not understood: {why}"))
            }
            JsonPayloadError::Overflow { .. } | JsonPayloadError::OverflowKnownLength { .. } => {
                (StatusCode::PAYLOAD_TOO_LARGE, error.to_string())
            }
            error => (StatusCode::BAD_REQUEST, error.to_string()),
        };
        Problem::new(status, "bad_json", detail).into()
    })
}
