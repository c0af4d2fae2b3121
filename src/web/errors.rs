//! The errors of this crate as answers.
//!
//! What a caller is told is what it can act on. What went wrong inside (the words of a panic or of a store) is in the
//! events and in the log, for those who run the gateway, and not in the answer.

use std::fmt;

use actix_web::{HttpResponse, ResponseError, http::StatusCode};

use super::Problem;
use crate::{CloseError, InvalidKey, NotSaved, OpenError, PolicyError, SendError, Unserved};

const AWAY: StatusCode = StatusCode::SERVICE_UNAVAILABLE;

/// | error | status | `code` |
/// |---|---|---|
/// | any | 400 | `bad_key` |
impl From<&InvalidKey> for Problem {
    fn from(error: &InvalidKey) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_key", error.to_string())
    }
}

/// | error | status | `code` |
/// |---|---|---|
/// | `InvalidKey` | 400 | `bad_key` |
/// | `AtCapacity` | 503, with the estimate as `Retry-After` | `at_capacity` |
/// | `ShuttingDown`, `NoHost` | 503 | `shutting_down` |
impl From<&OpenError> for Problem {
    fn from(error: &OpenError) -> Self {
        match error {
            OpenError::InvalidKey(error) => error.into(),
            OpenError::AtCapacity { limit, retry_after } => {
                let problem =
                    Self::new(AWAY, "at_capacity", format!("all {limit} sessions are taken: come back later"));
                match retry_after {
                    Some(after) => problem.retry_after(*after),
                    None => problem,
                }
            }
            OpenError::ShuttingDown | OpenError::NoHost => shutting_down(),
        }
    }
}

fn shutting_down() -> Problem {
    Problem::new(AWAY, "shutting_down", "the gateway is shutting down: come back when it is up again")
}

fn failed() -> Problem {
    let detail = "the session failed on this request: those who run the gateway find why in its events";
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "failed", detail)
}

/// | error | status | `code` |
/// |---|---|---|
/// | `Ended`, but for a panic; `NoRoom` | 503 | `ended_first` |
/// | `HostGone` | 503 | `shutting_down` |
/// | `NotRestored` | 503 | `not_restored` |
/// | `NotSaved` | 503 | `not_saved` |
/// | `Ended` by a panic, `StartFailed`, `ReplyPanicked`, `ReplyDropped` | 500 | `failed` |
impl From<&Unserved> for Problem {
    fn from(error: &Unserved) -> Self {
        match error {
            Unserved::Ended { reason, panic: None } => {
                let detail = format!(
                    "the session ended before it could answer ({reason}): send it again, and a new session takes it"
                );
                Self::new(AWAY, "ended_first", detail)
            }
            Unserved::NoRoom => Self::new(AWAY, "ended_first", "there was no room for the session: come back later"),
            Unserved::HostGone => shutting_down(),
            Unserved::NotRestored { .. } => {
                Self::new(AWAY, "not_restored", "the session cannot be had from its store: send it again later")
            }
            Unserved::NotSaved { .. } => {
                Self::new(AWAY, "not_saved", "it was taken, and may be forgotten again: send it again later")
            }
            Unserved::Ended { .. }
            | Unserved::StartFailed { .. }
            | Unserved::ReplyPanicked { .. }
            | Unserved::ReplyDropped => failed(),
        }
    }
}

/// As [`OpenError`] and [`Unserved`] say; `Full` is a 503, `busy`.
impl<M> From<&SendError<M>> for Problem {
    fn from(error: &SendError<M>) -> Self {
        match error {
            SendError::Refused { cause, .. } => cause.into(),
            SendError::Full { .. } => {
                Self::new(AWAY, "busy", "the session has too many messages waiting: send this one again later")
            }
            SendError::Unserved { cause } => cause.into(),
        }
    }
}

/// | error | status | `code` |
/// |---|---|---|
/// | `NotFound` | 404 | `no_session` |
/// | `Store` | 503 | `not_closed` |
/// | `NoHost` | 503 | `shutting_down` |
impl From<&CloseError> for Problem {
    fn from(error: &CloseError) -> Self {
        match error {
            CloseError::NotFound => Self::new(StatusCode::NOT_FOUND, "no_session", "there is no session of this key"),
            CloseError::Store { .. } => {
                let detail = "whether the session has ended could not be made sure, because of its store: end it again \
                              later";
                Self::new(AWAY, "not_closed", detail)
            }
            CloseError::NoHost => shutting_down(),
        }
    }
}

/// A 503, `not_saved`.
impl From<&NotSaved> for Problem {
    fn from(_: &NotSaved) -> Self {
        Self::new(AWAY, "not_saved", "it was taken, and may be forgotten again: send it again later")
    }
}

/// A 422, `bad_policy`, with what is wrong.
impl From<&PolicyError> for Problem {
    fn from(error: &PolicyError) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "bad_policy", error.to_string())
    }
}

macro_rules! answers {
    ($($error:ty),*) => { $(
        impl ResponseError for $error {
            fn status_code(&self) -> StatusCode {
                Problem::from(self).status_code()
            }

            fn error_response(&self) -> HttpResponse {
                Problem::from(self).error_response()
            }
        }

        impl From<$error> for Problem {
            fn from(error: $error) -> Self {
                Self::from(&error)
            }
        }
    )* };
}

answers!(InvalidKey, OpenError, Unserved, CloseError, NotSaved, PolicyError);

impl<M> ResponseError for SendError<M>
where
    Self: fmt::Debug + fmt::Display,
{
    fn status_code(&self) -> StatusCode {
        Problem::from(self).status_code()
    }

    fn error_response(&self) -> HttpResponse {
        Problem::from(self).error_response()
    }
}

impl<M> From<SendError<M>> for Problem {
    fn from(error: SendError<M>) -> Self {
        Self::from(&error)
    }
}
