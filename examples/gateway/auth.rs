//! Who may do what: the bearer token of `/metrics`, the signature of a webhook.

use std::fmt;
use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::header::{self, HeaderMap};
use actix_web::{FromRequest, HttpRequest, web};
use hmac::{Hmac, Mac};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::app::Gateway;
use super::errors::GatewayError;

/// A token or a shared secret. `Debug` does not show it, so that it reaches no log.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub(crate) struct Secret(String);

impl Secret {
    pub(crate) fn new(value: String) -> Self {
        Self(value)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// For whoever does the comparing.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// Compares in constant time. The digests are compared, not the strings, so that not even the length leaks.
    fn is(&self, given: &str) -> bool {
        Sha256::digest(&self.0).ct_eq(&Sha256::digest(given)).into()
    }

    /// Whether `signature` is this secret's `X-Hub-Signature-256` of `body`: `sha256=` and 64 hex digits.
    fn signed(&self, signature: &str, body: &[u8]) -> bool {
        let Some(expected) = signature.strip_prefix("sha256=").and_then(unhex) else { return false };
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.0.as_bytes()) else { return false };
        mac.update(body);
        mac.verify_slice(&expected).is_ok()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Proof that the caller is an operator: a handler that takes it cannot be reached without.
#[derive(Debug)]
pub(crate) struct Admin(());

impl FromRequest for Admin {
    type Error = GatewayError;
    type Future = Ready<Result<Self, GatewayError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let token = request
            .app_data::<web::Data<Gateway>>()
            .ok_or(GatewayError::Unauthorized)
            .map(|gateway| gateway.config.server.admin_token.as_ref());
        ready(match token {
            Ok(None) => Ok(Self(())),
            Ok(Some(token)) if bearer(request.headers()).is_some_and(|given| token.is(given)) => Ok(Self(())),
            Ok(Some(_)) | Err(_) => Err(GatewayError::Unauthorized),
        })
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Checks a webhook before a byte of it is parsed. Without a secret for its source there is nothing to check.
pub(crate) fn check_signature(secret: Option<&Secret>, headers: &HeaderMap, body: &[u8]) -> Result<(), GatewayError> {
    let Some(secret) = secret else { return Ok(()) };
    let signature = headers.get("X-Hub-Signature-256").ok_or(GatewayError::SignatureMissing)?;
    match signature.to_str() {
        Ok(signature) if secret.signed(signature, body) => Ok(()),
        _ => Err(GatewayError::SignatureWrong),
    }
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let digits: Vec<u8> = text.chars().map(|c| c.to_digit(16).map(|d| d as u8)).collect::<Option<_>>()?;
    let mut bytes = [0; 32];
    if digits.len() != 2 * bytes.len() {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = pair[0] << 4 | pair[1];
    }
    Some(bytes)
}
