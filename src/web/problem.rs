//! Why a request failed, as its answer.

use std::{fmt, time::Duration};

use actix_web::{
    HttpResponse, ResponseError,
    http::{
        StatusCode,
        header::{self, HeaderName, HeaderValue},
    },
};
use serde::Serialize;

/// When there is nothing to go by, a caller may come back after this long.
const COME_BACK: Duration = Duration::from_secs(5);

/// Why a request failed, as problem details (RFC 9457): an answer of the type `application/problem+json`.
///
/// ```json
/// {"type": "about:blank", "title": "Service Unavailable", "status": 503, "code": "at_capacity", "detail": "all 100 …"}
/// ```
///
/// `title` and `status` are the status; `code` is a word for programs, which does not change; `detail` says to people
/// what happened and what to do. A 503 has `Retry-After`, in whole seconds: 5 unless something better is known.
#[derive(Debug, Clone)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    retry_after: Option<Duration>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// As it is written.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = Problem)]
pub(super) struct Body<'a> {
    /// `about:blank`: the problem is told by `status` and `code`.
    #[serde(rename = "type")]
    kind: &'a str,
    /// The words of the status.
    title: &'a str,
    status: u16,
    /// For programs.
    code: &'a str,
    /// For people.
    detail: &'a str,
}

impl Problem {
    /// A problem: for handlers of your own that answer as this crate does.
    #[must_use]
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        let retry_after = (status == StatusCode::SERVICE_UNAVAILABLE).then_some(COME_BACK);
        Self { status, code, detail: detail.into(), retry_after, headers: Vec::new() }
    }

    /// When to come back. Rounded up to whole seconds, and at least one.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// One more header of the answer.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The word for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// What is said to people.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for Problem {}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status);
        if let Some(after) = self.retry_after {
            // Rounded up: whoever comes back on time must not come back too early.
            let seconds = after.as_millis().div_ceil(1000).max(1);
            response.insert_header((header::RETRY_AFTER, seconds.to_string()));
        }
        for (name, value) in &self.headers {
            response.insert_header((name.clone(), value.clone()));
        }
        response.insert_header((header::CONTENT_TYPE, "application/problem+json"));
        response.json(Body {
            kind: "about:blank",
            title: self.status.canonical_reason().unwrap_or_default(),
            status: self.status.as_u16(),
            code: self.code,
            detail: &self.detail,
        })
    }
}
