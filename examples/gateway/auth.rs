//! Secrets, and the signature of a webhook.

use std::fmt;

use actix_web::http::header::HeaderMap;
use hmac::{Hmac, Mac};
use serde::Deserialize;
use sha2::Sha256;

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
