//! A token that whoever asks has to know.

use std::fmt;

use actix_web::{
    HttpRequest,
    http::{
        StatusCode,
        header::{self, HeaderMap, HeaderValue},
    },
};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::Problem;

/// A bearer token ([RFC 6750]), for routes that are not for everybody: [`admin`](super::admin) has one, and so may yours.
///
/// Keeps the token's SHA-256 digest, and compares digests in constant time, so that an answer that comes sooner or later
/// tells neither how much of a guess was right nor how long the token is.
///
/// ```
/// use actix_web::{HttpRequest, HttpResponse, web};
/// use session_actors::web::{Bearer, Problem};
///
/// async fn numbers(request: HttpRequest, token: web::Data<Bearer>) -> Result<HttpResponse, Problem> {
///     token.check(&request)?;
///     Ok(HttpResponse::Ok().body("42"))
/// }
/// ```
///
/// [RFC 6750]: https://www.rfc-editor.org/rfc/rfc6750
#[derive(Clone)]
pub struct Bearer(Option<[u8; 32]>);

impl Bearer {
    /// An empty token lets nobody in.
    #[must_use]
    pub fn new(token: &str) -> Self {
        Self((!token.is_empty()).then(|| Sha256::digest(token).into()))
    }

    /// Whether this request comes with `Authorization: Bearer` and the token.
    ///
    /// # Errors
    ///
    /// 401 with the code `unauthorized` and `WWW-Authenticate`; with `invalid_token` and `error="invalid_token"` in it if
    /// there is a token and it is another.
    pub fn check(&self, request: &HttpRequest) -> Result<(), Problem> {
        match given(request.headers()) {
            Some(given) if self.is(given) => Ok(()),
            Some(_) => Err(refused(
                "invalid_token",
                "that is not the token of this route",
                "Bearer realm=\"sessions\", error=\"invalid_token\"",
            )),
            None => Err(refused(
                "unauthorized",
                "this route wants the operator's token: send Authorization: Bearer and the token",
                "Bearer realm=\"sessions\"",
            )),
        }
    }

    fn is(&self, given: &str) -> bool {
        let given: [u8; 32] = Sha256::digest(given).into();
        self.0.is_some_and(|token| token.ct_eq(&given).into())
    }
}

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bearer(..)")
    }
}

fn given(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

fn refused(code: &'static str, detail: &str, challenge: &'static str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, code, detail)
        .header(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
}
