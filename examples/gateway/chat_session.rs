//! One user's chat: its sockets, its turns, its slow replies. State only; `session.rs` makes it an actor.

use std::collections::VecDeque;
use std::time::Duration;

use actix::Message;
use session_actors::{EndReason, NotSaved};

use super::config::ChatConfig;
use super::conversation::{Conversation, Turn};
use super::protocol::{Farewell, FrameError, ServerEvent, SocketId};
use super::session::SessionAddr;
use super::socket::{Lost, Outgoing, Socket};

/// A socket comes in. The answer has the address of the very session that took it.
#[derive(Message)]
#[rtype(result = "Result<SessionAddr, JoinRefused>")]
pub(crate) struct Join {
    pub(crate) socket: Socket,
}

#[derive(Debug)]
pub(crate) enum JoinRefused {
    TooManySockets { limit: usize },
    NotAChat,
}

/// A socket said something and wants a reply that takes `think` to make.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Say {
    pub(crate) socket: SocketId,
    pub(crate) text: String,
    pub(crate) think: Duration,
}

/// A socket is gone. This is no activity: a session that everybody left ends by its idle time.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Leave {
    pub(crate) socket: SocketId,
    pub(crate) why: &'static str,
}

#[derive(Debug)]
pub(crate) struct ChatSession {
    sockets: Vec<Socket>,
    conversation: Conversation,
    /// What is told when it is kept, and how much of it has been.
    outbox: VecDeque<ServerEvent>,
    told: u64,
    thinking: usize,
    max_sockets: usize,
    max_thinking: usize,
}

impl ChatSession {
    pub(crate) fn new(config: &ChatConfig) -> Self {
        Self {
            sockets: Vec::new(),
            conversation: Conversation::default(),
            outbox: VecDeque::new(),
            told: 0,
            thinking: 0,
            max_sockets: config.sockets_per_session,
            max_thinking: config.slow_replies,
        }
    }

    pub(crate) fn conversation(&self) -> &Conversation {
        &self.conversation
    }

    pub(crate) fn resume(&mut self, conversation: Conversation) {
        self.conversation = conversation;
    }

    pub(crate) fn has_sockets(&self) -> bool {
        !self.sockets.is_empty()
    }

    /// Takes a socket in, unless there are too many. `welcome` is made from the number of sockets, and of turns, and the
    /// last of these.
    pub(crate) fn join(
        &mut self,
        socket: Socket,
        welcome: impl FnOnce(SocketId, usize, (u64, Vec<Turn>)) -> ServerEvent,
    ) -> Result<(), JoinRefused> {
        self.sockets.retain(Socket::is_open);
        if self.sockets.len() >= self.max_sockets {
            return Err(JoinRefused::TooManySockets { limit: self.max_sockets });
        }
        let (id, sockets) = (socket.id, self.sockets.len() + 1);
        self.broadcast(&ServerEvent::SocketJoined { socket: id, sockets });
        let conversation = (self.conversation.turns(), self.conversation.last());
        if socket.send((&welcome(id, sockets, conversation)).into()).is_ok() {
            self.sockets.push(socket);
        }
        Ok(())
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

    pub(crate) fn leave(&mut self, leave: &Leave) {
        let before = self.sockets.len();
        self.sockets.retain(|socket| socket.id != leave.socket);
        // A socket that was let go for being slow has been announced already.
        if self.sockets.len() < before {
            let (socket, sockets) = (leave.socket, self.sockets.len());
            self.broadcast(&ServerEvent::SocketLeft { socket, sockets, why: leave.why });
        }
    }

    /// The session is over: every socket is told why, behind all it has been told before.
    pub(crate) fn end(&mut self, reason: EndReason) {
        if self.thinking > 0 {
            let message = format!("slow replies that were not ready in time and will not come: {}", self.thinking);
            self.broadcast(&ServerEvent::Error(FrameError { error: "replies_cut", message }));
        }
        for socket in self.sockets.drain(..) {
            socket.close(Farewell::ended(reason));
        }
    }

    /// Tells all sockets. Those that cannot keep up are let go, and the others are told of that in turn.
    pub(crate) fn broadcast(&mut self, event: &ServerEvent) {
        let outgoing = Outgoing::from(event);
        let mut lost = Vec::new();
        self.sockets.retain(|socket| match socket.send(outgoing.clone()) {
            Ok(()) => true,
            Err(Lost(why)) => {
                lost.push((socket.id, why));
                false
            }
        });
        // Ends because each round begins with fewer sockets.
        for (socket, why) in lost {
            self.broadcast(&ServerEvent::SocketLeft { socket, sockets: self.sockets.len(), why });
        }
    }

    fn tell(&mut self, to: SocketId, event: &ServerEvent) {
        let lost =
            self.sockets.iter().find(|socket| socket.id == to).and_then(|socket| socket.send(event.into()).err());
        if let Some(Lost(why)) = lost {
            self.leave(&Leave { socket: to, why });
        }
    }
}
