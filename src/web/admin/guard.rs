//! Who may.

use std::future::{Ready, ready};

use actix_web::{
    FromRequest, HttpRequest,
    dev::Payload,
    http::{
        StatusCode,
        header::{self, HeaderMap, HeaderValue},
    },
};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::Admin;
use crate::{Session, web::Problem};

/// The digest of a token: that is compared, so that not even its length leaks.
#[derive(Clone)]
pub(super) struct Token(Option<[u8; 32]>);

impl Token {
    pub(super) fn new(token: &str) -> Self {
        Self((!token.is_empty()).then(|| Sha256::digest(token).into()))
    }

    fn is(&self, given: &str) -> bool {
        let given: [u8; 32] = Sha256::digest(given).into();
        self.0.is_some_and(|token| token.ct_eq(&given).into())
    }
}

/// Proof that the caller may: a handler that takes it cannot be reached without.
pub(super) struct Operator<A: Session>(pub(super) Admin<A>);

impl<A: Session> FromRequest for Operator<A> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let Some(admin) = request.app_data::<Admin<A>>() else { return ready(Err(unauthorized())) };
        let may = match &admin.0.token {
            None => true,
            Some(token) => bearer(request.headers()).is_some_and(|given| token.is(given)),
        };
        ready(if may { Ok(Self(admin.clone())) } else { Err(unauthorized()) })
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn unauthorized() -> Problem {
    let detail = "this route wants the operator's token: send Authorization: Bearer and the token";
    Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
        .header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"sessions\""))
}
