//! What goes over a chat's WebSocket: text frames in, JSON events out.
//!
//! In: plain text is said to everybody; `/slow 5 text` asks for a reply that takes five seconds; the same as JSON is
//! `{"say": "text", "think_ms": 5000}`. Out: one JSON object a frame, told apart by its field `event`; among them
//! `warning`, `draining` and `closed`, which `session_actors::web::socket` says.

use serde::{Deserialize, Serialize};
use session_actors::web::socket::SocketId;
use session_actors::{EffectiveLimits, NotSaved, SessionId, SessionKey};

use super::conversation::Turn;

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
    Error(FrameError),
}

impl ServerEvent {
    pub(crate) fn to_json(&self) -> String {
        // These types hold nothing that JSON cannot; were that to change, the client sees an empty object.
        serde_json::to_string(self).unwrap_or_else(|_| "{}".into())
    }
}
