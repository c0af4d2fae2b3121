//! What a socket is told when it is closed, and before.

use std::{borrow::Cow, time::Duration};

use actix_ws::CloseCode;
use bytestring::ByteString;
use serde::Serialize;

use crate::EndReason;

/// Why a socket is closed by this side: told as an event, and in the close frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Goodbye {
    pub(super) code: CloseCode,
    pub(super) reason: Cow<'static, str>,
    pub(super) message: Cow<'static, str>,
}

/// The longest text of a close frame (RFC 6455, section 5.5: 125 bytes with the code).
const CLOSE_TEXT: usize = 123;

impl Goodbye {
    pub(super) const FAILED: Self =
        Self::fixed(CloseCode::Error, "failed", "the session failed; connect again for a new one");
    pub(super) const TOO_SLOW: Self = Self::fixed(
        CloseCode::Policy,
        "too_slow",
        "this socket does not read as fast as the session speaks; connect again",
    );
    pub(super) const TOO_MANY: Self = Self::fixed(
        CloseCode::Again,
        "too_many_sockets",
        "the session has as many sockets as it may have; close one, or connect again later",
    );
    pub(super) const SILENT: Self =
        Self::fixed(CloseCode::Away, "silent", "nothing came from this socket, not even a pong; connect again");
    pub(super) const TOO_LARGE: Self =
        Self::fixed(CloseCode::Size, "too_large", "a message was larger than allowed; send shorter ones");
    pub(super) const NOT_UTF8: Self = Self::fixed(CloseCode::Invalid, "not_utf8", "a text frame was not UTF-8");
    pub(super) const BROKEN: Self =
        Self::fixed(CloseCode::Protocol, "protocol_error", "a frame broke the WebSocket protocol");
    const MADE_ROOM: Self =
        Self::fixed(CloseCode::Again, "evicted", "the session made room for others; connect again later");

    const fn fixed(code: CloseCode, reason: &'static str, message: &'static str) -> Self {
        Self { code, reason: Cow::Borrowed(reason), message: Cow::Borrowed(message) }
    }

    /// One of your own: `reason` is for programs, `message` for people.
    #[must_use]
    pub fn new(code: CloseCode, reason: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, reason: reason.into(), message: message.into() }
    }

    /// What the sockets of a session are told when it ends; `None`: when it leaves memory for a store.
    #[must_use]
    pub fn of(end: Option<EndReason>) -> Self {
        let Some(reason) = end else { return Self::MADE_ROOM };
        let (code, message) = match reason {
            EndReason::IdleTimeout => (CloseCode::Away, "nobody said anything for too long; connect again to go on"),
            EndReason::MaxAge => (CloseCode::Away, "the session reached its greatest age; connect again for a new one"),
            EndReason::Shutdown => (CloseCode::Away, "the gateway shuts down; connect again when it is back"),
            EndReason::Closed => (CloseCode::Away, "the operator ended the session; connect again for a new one"),
            EndReason::Stopped => (CloseCode::Normal, "the session is over"),
            EndReason::Evicted => return Self::MADE_ROOM,
            EndReason::Stuck => (CloseCode::Error, "the session was stuck; connect again for a new one"),
            // Where no hook runs that could ask.
            EndReason::Panicked | EndReason::Aborted => return Self::FAILED,
        };
        Self::fixed(code, reason.as_str(), message)
    }

    /// In a word.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// What fits into a close frame.
    pub(super) fn close_text(&self) -> String {
        let mut text = self.message.as_ref();
        while text.len() > CLOSE_TEXT {
            let shorter = text.char_indices().next_back().map_or(0, |(at, _)| at);
            text = &text[..shorter];
        }
        text.to_owned()
    }

    pub(super) fn notice(&self) -> ByteString {
        Notice::Closed { reason: &self.reason, message: &self.message }.to_json()
    }
}

/// What is said to the peer beside what the session says.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum Notice<'a> {
    Warning { reason: EndReason, remaining_ms: u64, message: String },
    Draining { reason: EndReason, message: String },
    Closed { reason: &'a str, message: &'a str },
}

impl Notice<'_> {
    pub(super) fn warning(reason: EndReason, remaining: Duration) -> Self {
        let remaining_ms = u64::try_from(remaining.as_millis()).unwrap_or(u64::MAX);
        let spoken = spoken(remaining);
        let message = match reason {
            EndReason::IdleTimeout => format!("this session ends in {spoken} unless somebody says something"),
            _ => format!("this session ends in {spoken} whatever is said ({reason}); connect again for a new one"),
        };
        Self::Warning { reason, remaining_ms, message }
    }

    /// `left`: how long the work under way has, if there is an end to it.
    pub(super) fn draining(reason: EndReason, left: Option<Duration>) -> Self {
        let time = left.map_or_else(String::new, |left| format!(", for up to {}", spoken(left)));
        Self::Draining {
            reason,
            message: format!("this session is ending; replies under way are finished first{time}"),
        }
    }

    pub(super) fn to_json(&self) -> ByteString {
        // These types hold nothing that JSON cannot; were that to change, the client sees an empty object.
        serde_json::to_string(self).unwrap_or_else(|_| "{}".into()).into()
    }
}

/// To a tenth of a second: nobody wants to read "14s 998ms".
fn spoken(duration: Duration) -> humantime::FormattedDuration {
    let tenths = duration.as_millis().saturating_add(50) / 100;
    humantime::format_duration(Duration::from_millis(
        u64::try_from(tenths).unwrap_or(u64::MAX / 100).saturating_mul(100),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_fits_into_a_close_frame() {
        for reason in EndReason::ALL {
            let goodbye = Goodbye::of(Some(*reason));
            assert_eq!(goodbye.close_text(), goodbye.message, "{reason}");
        }
        for goodbye in [Goodbye::TOO_SLOW, Goodbye::TOO_MANY, Goodbye::SILENT, Goodbye::TOO_LARGE, Goodbye::of(None)] {
            assert_eq!(goodbye.close_text(), goodbye.message);
        }
        let long = Goodbye::new(CloseCode::Normal, "long", "ä".repeat(100));
        assert_eq!(long.close_text().len(), 122);
    }
}
