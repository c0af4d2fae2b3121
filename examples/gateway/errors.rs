//! Every way a request can fail that is the gateway's own: its status, its code, and what the caller is to do about it.
//! What sessions do not do is answered by `session_actors::web`, in the same form.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpResponse, ResponseError};
use session_actors::web::Problem;
use session_actors::{InvalidKey, OpenError, SendError};

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum GatewayError {
    #[error("this path names no session: {0}")]
    BadPath(&'static str),
    #[error("the query is not understood: {0}")]
    BadQuery(String),
    #[error("the body is not JSON: {0}; send one JSON document (GitHub: choose the content type application/json)")]
    BadJson(#[source] serde_json::Error),
    #[error("the body broke off before its end: send it again")]
    BodyBroken,
    #[error("the body took longer than {} to arrive: send it again, faster", humantime::format_duration(*.0))]
    BodyTimeout(Duration),
    #[error("the body is larger than {limit} bytes: send less, or raise limits.body_bytes")]
    TooLarge { limit: usize },
    #[error("this source must sign: send X-Hub-Signature-256 (GitHub: set the webhook's secret)")]
    SignatureMissing,
    #[error(
        "X-Hub-Signature-256 does not fit body and secret: use the same secret here and at the sender, and the form \
             sha256=<64 hexadecimal digits>"
    )]
    SignatureWrong,
    #[error("there is no such route: try /health, /admin/, /metrics, /hooks/{{source}}/{{id}} or /ws/{{user}}")]
    NoRoute,
    #[error("this route takes no such method: use {allow}")]
    WrongMethod { allow: &'static str },
    #[error("the gateway is shutting down: come back when it is up again")]
    ShuttingDown,
    #[error("the session failed on this request: see the event \"ended\" of /admin/events for why")]
    Failed,
    #[error(transparent)]
    Session(Problem),
}

impl GatewayError {
    fn kind(&self) -> (StatusCode, &'static str) {
        match self {
            Self::BadPath(_) => (StatusCode::BAD_REQUEST, "bad_key"),
            Self::BadQuery(_) => (StatusCode::BAD_REQUEST, "bad_query"),
            Self::BadJson(_) => (StatusCode::BAD_REQUEST, "bad_json"),
            Self::BodyBroken => (StatusCode::BAD_REQUEST, "body_broken"),
            Self::BodyTimeout(_) => (StatusCode::REQUEST_TIMEOUT, "body_timeout"),
            Self::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
            Self::SignatureMissing => (StatusCode::UNAUTHORIZED, "signature_missing"),
            Self::SignatureWrong => (StatusCode::UNAUTHORIZED, "signature_wrong"),
            Self::NoRoute => (StatusCode::NOT_FOUND, "no_route"),
            Self::WrongMethod { .. } => (StatusCode::METHOD_NOT_ALLOWED, "wrong_method"),
            Self::ShuttingDown => (StatusCode::SERVICE_UNAVAILABLE, "shutting_down"),
            Self::Failed => (StatusCode::INTERNAL_SERVER_ERROR, "failed"),
            Self::Session(problem) => (problem.status_code(), problem.code()),
        }
    }
}

impl ResponseError for GatewayError {
    fn status_code(&self) -> StatusCode {
        self.kind().0
    }

    fn error_response(&self) -> HttpResponse {
        if let Self::Session(problem) = self {
            return problem.error_response();
        }
        let (status, code) = self.kind();
        let problem = Problem::new(status, code, self.to_string());
        match self {
            Self::WrongMethod { allow } => problem.header(header::ALLOW, HeaderValue::from_static(allow)),
            _ => problem,
        }
        .error_response()
    }
}

impl From<InvalidKey> for GatewayError {
    fn from(error: InvalidKey) -> Self {
        Self::Session(error.into())
    }
}

impl From<OpenError> for GatewayError {
    fn from(error: OpenError) -> Self {
        Self::Session(error.into())
    }
}

impl<M> From<SendError<M>> for GatewayError {
    fn from(error: SendError<M>) -> Self {
        Self::Session(error.into())
    }
}
