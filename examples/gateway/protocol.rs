//! What goes over a chat's WebSocket: text frames in, JSON events out.
//!
//! In: plain text is said to everybody; `/slow 5 text` asks for a reply that takes five seconds; the same as JSON is
//! `{"say": "text", "think_ms": 5000}`. Out: one JSON object a frame, told apart by its field `event`.

use std::time::Duration;

use actix_ws::CloseCode;
use serde::{Deserialize, Serialize};
use session_actors::{EffectiveLimits, EndReason, NotSaved, SessionId, SessionKey};

use super::conversation::Turn;

/// Names one socket, unique in the gateway for as long as it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct SocketId(pub(crate) u64);

/// A frame that the session is to hear.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClientFrame {
    pub(crate) say: String,
    #[serde(default)]
    pub(crate) think_ms: u64,
}

impl ClientFrame {
    pub(crate) fn parse(text: &str) -> Result<Self, FrameError> {
        let frame = match text.trim() {
            json if json.starts_with('{') => serde_json::from_str(json).map_err(|error| {
                let message = format!("{error}; write {{\"say\": \"hi\"}} or {{\"say\": \"hi\", \"think_ms\": 5000}}");
                FrameError { error: "bad_json", message }
            })?,
            command if command.starts_with('/') => Self::command(command)?,
            text => Self { say: text.into(), think_ms: 0 },
        };
        if frame.say.trim().is_empty() {
            let message = "nothing was said: send some text".into();
            return Err(FrameError { error: "empty", message });
        }
        Ok(frame)
    }

    fn command(text: &str) -> Result<Self, FrameError> {
        let mut words = text.splitn(3, char::is_whitespace);
        let seconds = match (words.next(), words.next()) {
            (Some("/slow"), Some(seconds)) => seconds.parse::<u64>().ok(),
            _ => None,
        };
        let Some(seconds) = seconds else {
            let message = "the one command is /slow SECONDS [TEXT]; to say a text that begins with '/', \
                           write {\"say\": \"/...\"}";
            return Err(FrameError { error: "bad_command", message: message.into() });
        };
        let say = words.next().unwrap_or("something slow").into();
        Ok(Self { say, think_ms: seconds.saturating_mul(1000) })
    }
}

/// Why a frame was not taken, and what to write instead. The socket stays open.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct FrameError {
    pub(crate) error: &'static str,
    pub(crate) message: String,
}

impl FrameError {
    pub(crate) fn not_saved(error: &NotSaved) -> Self {
        let message = format!("what was said last may be forgotten: {error}; say it again later");
        Self { error: "not_saved", message }
    }
}

/// What a client is told.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum ServerEvent {
    /// The first frame of every socket.
    Joined {
        key: SessionKey,
        id: SessionId,
        socket: SocketId,
        sockets: usize,
        turns: u64,
        /// The last of them, the oldest first; `reply` is null where it has not come.
        last: Vec<Turn>,
        limits: EffectiveLimits,
    },
    SocketJoined {
        socket: SocketId,
        sockets: usize,
    },
    SocketLeft {
        socket: SocketId,
        sockets: usize,
        why: &'static str,
    },
    Said {
        turn: u64,
        socket: SocketId,
        text: String,
    },
    /// A slow reply has begun; while it is being made the session does not end for being idle.
    Thinking {
        turn: u64,
        think_ms: u64,
    },
    Reply {
        turn: u64,
        text: String,
    },
    /// The session ends after `remaining_ms` unless the message says how to put it off.
    Warning {
        reason: EndReason,
        remaining_ms: u64,
        message: String,
    },
    /// The session is ending and finishes the replies under way first.
    Draining {
        reason: EndReason,
        message: String,
    },
    /// The last event of a socket; a close frame follows.
    Closed {
        reason: &'static str,
        message: &'static str,
    },
    Error(FrameError),
}

impl ServerEvent {
    pub(crate) fn warning(reason: EndReason, remaining: Duration) -> Self {
        let remaining_ms = remaining.as_millis() as u64;
        let spoken = spoken(remaining);
        let message = match reason {
            EndReason::IdleTimeout => format!("this session ends in {spoken} unless somebody says something"),
            _ => format!("this session ends in {spoken} whatever is said ({reason}); connect again for a new one"),
        };
        Self::Warning { reason, remaining_ms, message }
    }

    /// `left`: how long the replies under way have, if there is an end to it.
    pub(crate) fn draining(reason: EndReason, left: Option<Duration>) -> Self {
        let time = left.map_or_else(String::new, |left| format!(", for up to {}", spoken(left)));
        let message = format!("this session is ending; replies under way are finished first{time}");
        Self::Draining { reason, message }
    }

    pub(crate) fn to_json(&self) -> String {
        // These types hold nothing that JSON cannot; were that to change, the client sees an empty object.
        serde_json::to_string(self).unwrap_or_else(|_| "{}".into())
    }
}

/// To a tenth of a second: nobody wants to read "14s 998ms".
fn spoken(duration: Duration) -> humantime::FormattedDuration {
    humantime::format_duration(Duration::from_millis((duration.as_millis() as u64 + 50) / 100 * 100))
}

/// Why a socket is closed by this side: the last event, then the close code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Farewell {
    pub(crate) reason: &'static str,
    pub(crate) message: &'static str,
    pub(crate) code: CloseCode,
}

impl Farewell {
    /// The session's actor went away without a word: its handler panicked, or its thread ended. `/events` knows which.
    pub(crate) const FAILED: Self =
        Self { reason: "failed", message: "the session failed; connect again for a new one", code: CloseCode::Error };
    pub(crate) const TOO_SLOW: Self = Self {
        reason: "too_slow",
        message: "this socket does not read as fast as the session speaks; connect again",
        code: CloseCode::Policy,
    };
    pub(crate) const SILENT: Self = Self {
        reason: "silent",
        message: "nothing came from this socket, not even a pong; connect again",
        code: CloseCode::Away,
    };
    pub(crate) const TOO_LARGE: Self = Self {
        reason: "too_large",
        message: "a message was larger than limits.frame_bytes; send shorter ones",
        code: CloseCode::Size,
    };
    pub(crate) const NOT_TEXT: Self = Self {
        reason: "not_text",
        message: "this chat takes text frames; binary ones it does not",
        code: CloseCode::Unsupported,
    };
    pub(crate) const NOT_UTF8: Self =
        Self { reason: "not_utf8", message: "a text frame was not UTF-8", code: CloseCode::Invalid };
    pub(crate) const BROKEN: Self =
        Self { reason: "protocol_error", message: "a frame broke the WebSocket protocol", code: CloseCode::Protocol };

    /// What the sockets of a session are told when it ends.
    pub(crate) fn ended(reason: EndReason) -> Self {
        let (code, message) = match reason {
            EndReason::IdleTimeout => (CloseCode::Away, "nobody said anything for too long; connect again to go on"),
            EndReason::MaxAge => (CloseCode::Away, "the session reached its greatest age; connect again for a new one"),
            EndReason::Shutdown => (CloseCode::Away, "the gateway shuts down; connect again when it is back"),
            EndReason::Closed => (CloseCode::Away, "the operator ended the session; connect again for a new one"),
            EndReason::Stopped => (CloseCode::Normal, "the session is over"),
            EndReason::Evicted => (CloseCode::Again, "the session made room for others; connect again later"),
            EndReason::Stuck => (CloseCode::Error, "the session was stuck; connect again for a new one"),
            // Panicked and aborted, where no hook runs that could ask; and what a later version may add.
            _ => return Self::FAILED,
        };
        Self { reason: reason.as_str(), message, code }
    }

    pub(crate) fn event(&self) -> ServerEvent {
        ServerEvent::Closed { reason: self.reason, message: self.message }
    }
}
