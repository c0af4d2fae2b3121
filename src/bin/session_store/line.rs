//! A line of an export: a session, or what was set aside.

use std::time::SystemTime;

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};
use session_actors::{
    SessionKey,
    store::{Aside, Record},
};

/// Told apart by what it has beside the key.
#[derive(Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) key: SessionKey,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) record: Option<Record>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) set_aside: Option<SetAside>,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct SetAside {
    #[serde(with = "humantime_serde")]
    at: SystemTime,
    why: String,
    /// What there was, if it is text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    /// What there was, if it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
}

impl SetAside {
    pub(crate) fn of(aside: &Aside) -> Self {
        let (text, base64) = match std::str::from_utf8(&aside.bytes) {
            Ok(text) => (Some(text.to_owned()), None),
            Err(_) => (None, Some(BASE64_STANDARD.encode(&aside.bytes))),
        };
        Self { at: aside.at, why: aside.why.clone(), text, base64 }
    }

    pub(crate) fn into_aside(self, key: SessionKey) -> Result<Aside, String> {
        let bytes = match (self.text, self.base64) {
            (Some(text), None) => text.into_bytes(),
            (None, Some(base64)) => BASE64_STANDARD.decode(base64).map_err(|error| format!("base64: {error}"))?,
            _ => return Err("what was set aside has either text or base64".into()),
        };
        Ok(Aside::new(key, self.at, self.why, bytes))
    }
}
