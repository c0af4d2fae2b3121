//! Who may.

use std::{
    future::{Ready, ready},
    net::IpAddr,
};

use actix_web::{
    FromRequest, HttpRequest,
    dev::Payload,
    http::{StatusCode, header},
};

use super::Admin;
use crate::{
    OpenError, Session,
    web::{Bearer, Problem},
};

/// What is asked of a caller.
#[derive(Clone)]
pub(super) enum Door {
    Token(Bearer),
    /// That it calls the gateway by a number, or `localhost`. A page anywhere can have its own name lead to this machine
    /// (DNS rebinding), and then its scripts may read what is answered; with a number it cannot.
    Number,
    /// Nothing: somebody else does.
    Open,
}

impl Door {
    fn check(&self, request: &HttpRequest) -> Result<(), Problem> {
        match self {
            Self::Token(token) => token.check(request),
            Self::Number => {
                let host = request.headers().get(header::HOST).map(|host| String::from_utf8_lossy(host.as_bytes()));
                if host.as_deref().is_none_or(is_no_name) { Ok(()) } else { Err(by_name()) }
            }
            Self::Open => Ok(()),
        }
    }
}

/// Whether a `Host` is `localhost` or an address.
fn is_no_name(host: &str) -> bool {
    let host = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok()
}

fn by_name() -> Problem {
    let detail = "without a token these routes answer to an address or to localhost, not to a name: those who run the \
                  gateway can set a token, or say that another guard stands before them (behind_a_guard)";
    Problem::new(StatusCode::FORBIDDEN, "host_refused", detail)
}

/// Proof that the caller may: a handler that takes it cannot be reached without.
pub(super) struct Operator<A: Session>(pub(super) Admin<A>);

impl<A: Session> FromRequest for Operator<A> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        // Its scope has it.
        let Some(admin) = request.app_data::<Admin<A>>() else { return ready(Err(OpenError::ShuttingDown.into())) };
        ready(admin.0.door.check(request).map(|()| Self(admin.clone())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_told_from_a_name() {
        for number in ["127.0.0.1", "127.0.0.1:8080", "[::1]", "[::1]:8080", "localhost", "LOCALHOST:80", "10.1.2.3:1"]
        {
            assert!(is_no_name(number), "{number}");
        }
        for name in
            ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "localhost.evil.example:1", "", "[x]"]
        {
            assert!(!is_no_name(name), "{name}");
        }
    }
}
