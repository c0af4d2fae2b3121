//! Every way a request can fail: its status, its code, and what the caller is to do about it.

use std::time::Duration;

use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, ResponseError};
use serde_json::json;
use session_actors::{InvalidEventId, InvalidKey, OpenError, SendError, Unserved};

/// When there is nothing to go by, a caller may come back after this long.
const COME_BACK: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum GatewayError {
    #[error(transparent)]
    BadKey(#[from] InvalidKey),
    #[error("this path names no session: {0}")]
    BadPath(&'static str),
    #[error("the query is not understood: {0}")]
    BadQuery(String),
    #[error("the body is not JSON: {0}; send one JSON document (GitHub: choose the content type application/json)")]
    BadJson(#[source] serde_json::Error),
    #[error("Last-Event-ID is not understood: {0}; send back an id that /events gave, or none")]
    BadEventId(#[source] InvalidEventId),
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
    #[error("this route wants the admin token: send Authorization: Bearer and the value of server.admin_token")]
    Unauthorized,
    #[error("a page of {origin} may not open a socket here: add it to chat.allowed_origins")]
    OriginRefused { origin: String },
    #[error(
        "no session {key:?} is in memory: see GET /sessions for those that are; one that rests in the store is not listed, and its next message brings it back"
    )]
    NoSession { key: String },
    #[error(
        "there is no such route: try /health, /sessions, /events, /metrics, /hooks/{{source}}/{{id}} or /ws/{{user}}"
    )]
    NoRoute,
    #[error("this route takes no such method: use {allow}")]
    WrongMethod { allow: &'static str },
    #[error("this is a WebSocket ({0}): connect with a WebSocket client")]
    NoUpgrade(String),
    #[error("the session has {limit} sockets already: close one, or raise chat.sockets_per_session")]
    TooManySockets { limit: usize },
    #[error("all {limit} sessions are taken: come back later, or raise sessions.max_sessions")]
    AtCapacity { limit: usize, retry_after: Option<Duration> },
    #[error("the gateway is shutting down: come back when it is up again")]
    ShuttingDown,
    #[error("the session has too many messages waiting: send this one again later")]
    Busy,
    #[error("the session ended before it could answer ({0}): send it again, and a new session takes it")]
    EndedFirst(&'static str),
    #[error(
        "the session cannot be had from the store: {0}; send it again later. A record that cannot be read has been set aside, and a new session begins then"
    )]
    NotRestored(String),
    #[error("whether the session has ended could not be made sure: {0}; end it again later")]
    NotClosed(String),
    #[error("it was taken, but may be forgotten: {0}; send it again later")]
    NotSaved(String),
    #[error("the session failed on this request: see the event \"ended\" or \"start_failed\" of /events for why")]
    Failed,
}

impl GatewayError {
    fn kind(&self) -> (StatusCode, &'static str) {
        match self {
            Self::BadKey(_) | Self::BadPath(_) => (StatusCode::BAD_REQUEST, "bad_key"),
            Self::BadQuery(_) => (StatusCode::BAD_REQUEST, "bad_query"),
            Self::BadJson(_) => (StatusCode::BAD_REQUEST, "bad_json"),
            Self::BadEventId(_) => (StatusCode::BAD_REQUEST, "bad_event_id"),
            Self::BodyBroken => (StatusCode::BAD_REQUEST, "body_broken"),
            Self::BodyTimeout(_) => (StatusCode::REQUEST_TIMEOUT, "body_timeout"),
            Self::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
            Self::SignatureMissing => (StatusCode::UNAUTHORIZED, "signature_missing"),
            Self::SignatureWrong => (StatusCode::UNAUTHORIZED, "signature_wrong"),
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized"),
            Self::OriginRefused { .. } => (StatusCode::FORBIDDEN, "origin_refused"),
            Self::NoSession { .. } => (StatusCode::NOT_FOUND, "no_session"),
            Self::NoRoute => (StatusCode::NOT_FOUND, "no_route"),
            Self::WrongMethod { .. } => (StatusCode::METHOD_NOT_ALLOWED, "wrong_method"),
            Self::NoUpgrade(_) => (StatusCode::UPGRADE_REQUIRED, "no_upgrade"),
            Self::TooManySockets { .. } => (StatusCode::TOO_MANY_REQUESTS, "too_many_sockets"),
            Self::AtCapacity { .. } => (StatusCode::SERVICE_UNAVAILABLE, "at_capacity"),
            Self::ShuttingDown => (StatusCode::SERVICE_UNAVAILABLE, "shutting_down"),
            Self::Busy => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
            Self::EndedFirst(_) => (StatusCode::SERVICE_UNAVAILABLE, "ended_first"),
            Self::NotRestored(_) => (StatusCode::SERVICE_UNAVAILABLE, "not_restored"),
            Self::NotClosed(_) => (StatusCode::SERVICE_UNAVAILABLE, "not_closed"),
            Self::NotSaved(_) => (StatusCode::SERVICE_UNAVAILABLE, "not_saved"),
            Self::Failed => (StatusCode::INTERNAL_SERVER_ERROR, "failed"),
        }
    }

    fn retry_after(&self) -> Duration {
        match self {
            Self::AtCapacity { retry_after: Some(after), .. } => *after,
            _ => COME_BACK,
        }
    }
}

impl ResponseError for GatewayError {
    fn status_code(&self) -> StatusCode {
        self.kind().0
    }

    fn error_response(&self) -> HttpResponse {
        let (status, code) = self.kind();
        let mut response = HttpResponse::build(status);
        match self {
            _ if status == StatusCode::SERVICE_UNAVAILABLE => {
                // Whole seconds, rounded up: whoever comes back on time must not come back too early.
                let seconds = self.retry_after().as_millis().div_ceil(1000).max(1);
                response.insert_header((header::RETRY_AFTER, seconds.to_string()));
            }
            Self::Unauthorized => {
                response.insert_header((header::WWW_AUTHENTICATE, "Bearer realm=\"gateway\""));
            }
            Self::NoUpgrade(_) => {
                response.insert_header((header::UPGRADE, "websocket"));
            }
            Self::WrongMethod { allow } => {
                response.insert_header((header::ALLOW, *allow));
            }
            _ => {}
        }
        response.json(json!({ "error": code, "message": self.to_string() }))
    }
}

impl From<OpenError> for GatewayError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::InvalidKey(error) => Self::BadKey(error),
            OpenError::AtCapacity { limit, retry_after } => Self::AtCapacity { limit, retry_after },
            // Without a thread to run sessions the gateway is on its way out too.
            _ => Self::ShuttingDown,
        }
    }
}

impl<M> From<SendError<M>> for GatewayError {
    fn from(error: SendError<M>) -> Self {
        match error {
            SendError::Refused { cause, .. } => cause.into(),
            SendError::Full { .. } => Self::Busy,
            SendError::Unserved { cause } => match cause {
                Unserved::Ended { reason, panic: None } => Self::EndedFirst(reason.as_str()),
                Unserved::NoRoom => Self::EndedFirst("there was no room for it"),
                Unserved::NotRestored { error } => Self::NotRestored(error),
                Unserved::NotSaved { error } => Self::NotSaved(error),
                Unserved::HostGone => Self::ShuttingDown,
                _ => Self::Failed,
            },
            _ => Self::Failed,
        }
    }
}
