//! One user's chat: its sockets, its turns, its slow replies. State only; `session.rs` makes it an actor.

use std::collections::VecDeque;
use std::time::Duration;

use actix_ws::CloseCode;
use session_actors::web::socket::{Frame, Goodbye, SocketId, Sockets};
use session_actors::{EndReason, NotSaved};

use super::config::Config;
use super::conversation::{Conversation, Turn};
use super::protocol::{ClientFrame, FrameError, ServerEvent};

/// A socket said something and wants a reply that takes `think` to make.
#[derive(Debug)]
pub(crate) struct Say {
    pub(crate) socket: SocketId,
    pub(crate) text: String,
    pub(crate) think: Duration,
}

#[derive(Debug)]
pub(crate) struct ChatSession {
    pub(crate) sockets: Sockets,
    conversation: Conversation,
    /// What is told when it is kept, and how much of it has been.
    outbox: VecDeque<ServerEvent>,
    told: u64,
    thinking: usize,
    max_thinking: usize,
    max_think: Duration,
}

impl ChatSession {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            sockets: Sockets::new().at_most(config.chat.sockets_per_session),
            conversation: Conversation::default(),
            outbox: VecDeque::new(),
            told: 0,
            thinking: 0,
            max_thinking: config.chat.slow_replies,
            max_think: config.limits.max_work,
        }
    }

    pub(crate) fn conversation(&self) -> &Conversation {
        &self.conversation
    }

    pub(crate) fn resume(&mut self, conversation: Conversation) {
        self.conversation = conversation;
    }

    /// A socket is in. `welcome` is made from the number of sockets, and of turns, and the last of these.
    pub(crate) fn welcome(
        &mut self,
        socket: SocketId,
        welcome: impl FnOnce(SocketId, usize, (u64, Vec<Turn>)) -> ServerEvent,
    ) {
        let sockets = self.sockets.len();
        let others: Vec<_> = self.sockets.ids().filter(|id| *id != socket).collect();
        for other in others {
            self.tell(other, &ServerEvent::SocketJoined { socket, sockets });
        }
        self.tell(socket, &welcome(socket, sockets, (self.conversation.turns(), self.conversation.last())));
    }

    /// A socket has left.
    pub(crate) fn gone(&mut self, socket: SocketId, why: &'static str) {
        self.broadcast(&ServerEvent::SocketLeft { socket, sockets: self.sockets.len(), why });
    }

    /// What a frame says, unless it is none that is taken, which its socket is told.
    pub(crate) fn read(&mut self, socket: SocketId, frame: Frame) -> Option<Say> {
        let Frame::Text(text) = frame else {
            let goodbye = "this chat takes text frames; binary ones it does not";
            self.sockets.close(socket, Goodbye::new(CloseCode::Unsupported, "not_text", goodbye));
            return None;
        };
        let say = ClientFrame::parse(&text).and_then(|ClientFrame { say: text, think_ms }| {
            let think = Duration::from_millis(think_ms);
            if think > self.max_think {
                let message = format!("a reply may take {:?} at most: ask for less", self.max_think);
                return Err(FrameError { error: "too_slow_a_reply", message });
            }
            Ok(Say { socket, text, think })
        });
        say.map_err(|error| self.tell(socket, &ServerEvent::Error(error))).ok()
    }

    /// What was said is to be told. The answer is the turn that now waits for its reply, if it is to have one.
    pub(crate) fn hear(&mut self, say: &Say) -> Option<u64> {
        let slow = !say.think.is_zero();
        if slow && self.thinking >= self.max_thinking {
            let message = format!("{} slow replies are under way: wait for one of them", self.thinking);
            self.tell(say.socket, &ServerEvent::Error(FrameError { error: "too_many_slow_replies", message }));
            return None;
        }
        let turn = self.conversation.hear(&say.text);
        self.outbox.push_back(ServerEvent::Said { turn, socket: say.socket, text: say.text.clone() });
        if slow {
            self.thinking += 1;
            self.outbox.push_back(ServerEvent::Thinking { turn, think_ms: say.think.as_millis() as u64 });
        }
        Some(turn)
    }

    /// The reply of a turn is ready.
    pub(crate) fn reply(&mut self, turn: u64, say: &Say) {
        if !say.think.is_zero() {
            self.thinking -= 1;
        }
        let text = format!("you said: {}", say.text);
        self.conversation.reply(turn, &text);
        self.outbox.push_back(ServerEvent::Reply { turn, text });
    }

    /// All that is to be told so far, for [`tell_until`](Self::tell_until).
    pub(crate) fn written(&self) -> u64 {
        self.told + self.outbox.len() as u64
    }

    /// Tells everybody what was written so far: it is kept, or nobody is to rely on it.
    pub(crate) fn tell_until(&mut self, written: u64, kept: Result<(), NotSaved>) {
        // Those behind it may have told it already.
        let ready = written.saturating_sub(self.told) as usize;
        let events: Vec<_> = self.outbox.drain(..ready.min(self.outbox.len())).collect();
        self.told = self.told.max(written);
        match kept {
            Ok(()) => events.iter().for_each(|event| self.broadcast(event)),
            Err(_) if events.is_empty() => {}
            Err(error) => self.broadcast(&ServerEvent::Error(FrameError::not_saved(&error))),
        }
    }

    /// The session is over: every socket is told why, behind all it has been told before.
    pub(crate) fn end(&mut self, reason: Option<EndReason>) {
        if self.thinking > 0 {
            let message = format!("slow replies that were not ready in time and will not come: {}", self.thinking);
            self.broadcast(&ServerEvent::Error(FrameError { error: "replies_cut", message }));
        }
        self.sockets.end(reason);
    }

    fn broadcast(&mut self, event: &ServerEvent) {
        self.sockets.broadcast(event.to_json());
    }

    fn tell(&mut self, to: SocketId, event: &ServerEvent) {
        self.sockets.send(to, event.to_json());
    }
}
