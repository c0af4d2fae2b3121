//! The session actor: a webhook conversation or a chat, by its key.
//!
//! One actor type, so there is one registry: `/sessions` is one list, `max_sessions` one cap, `/events` one sequence of
//! ids that a client can resume from, and one shutdown drains all. The kinds differ in state, and `Policy` gives them
//! different limits by key.
//!
//! It is kept in a store: what a hook has counted, and what was said in a chat. Sockets are not: while it has some, a chat
//! stays in memory.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use serde::{Deserialize, Serialize};
use session_actors::web::socket::{Heard, SocketEvent};
use session_actors::{Checkpoint, EndReason, Persistent, Session, SessionContext, SessionKey, Warning};
use tokio::time::sleep;

use super::chat_session::{ChatSession, Say};
use super::config::Config;
use super::conversation::Conversation;
use super::hook_session::{Deliver, HookSession, HookView, NotAHook};
use super::keys;
use super::protocol::ServerEvent;

#[derive(Debug)]
pub(crate) enum GatewaySession {
    Hook(HookSession),
    Chat(ChatSession),
}

impl GatewaySession {
    /// The registry's factory. Routes make keys by `keys` alone, so the prefix tells the kind.
    pub(crate) fn factory(config: Arc<Config>) -> impl Fn(&SessionKey) -> Self {
        move |key| {
            if key.as_str().starts_with(keys::HOOK) {
                Self::Hook(HookSession::default())
            } else {
                Self::Chat(ChatSession::new(&config))
            }
        }
    }

    /// Tells the sockets what has happened in the chat so far; where a crash must forget nothing that somebody has seen,
    /// once that is on disk. The reply of a message is held back for that by itself; what goes to a socket is not.
    fn publish(&mut self, ctx: &mut SessionContext<Self>) -> ResponseActFuture<Self, ()> {
        let Some(chat) = self.chat() else { return Box::pin(fut::ready(())) };
        let written = chat.written();
        if ctx.limits().checkpoint != Checkpoint::Always {
            chat.tell_until(written, Ok(()));
            return Box::pin(fut::ready(()));
        }
        let saved = ctx.checkpoint().into_actor(self);
        Box::pin(saved.map(move |saved, session, _| {
            if let Some(chat) = session.chat() {
                chat.tell_until(written, saved);
            }
        }))
    }

    fn say(&mut self, say: Say, ctx: &mut SessionContext<Self>) -> ResponseActFuture<Self, ()> {
        let Some(chat) = self.chat() else { return Box::pin(fut::ready(())) };
        let Some(turn) = chat.hear(&say) else { return Box::pin(fut::ready(())) };
        if say.think.is_zero() {
            chat.reply(turn, &say);
            return self.publish(ctx);
        }
        let think = say.think;
        let thought = self.publish(ctx).then(move |(), session, _| busy_for(think).into_actor(session));
        Box::pin(thought.then(move |(), session, ctx| {
            if let Some(chat) = session.chat() {
                chat.reply(turn, &say);
            }
            session.publish(ctx)
        }))
    }

    fn chat(&mut self) -> Option<&mut ChatSession> {
        match self {
            Self::Chat(chat) => Some(chat),
            Self::Hook(_) => None,
        }
    }
}

impl Actor for GatewaySession {
    type Context = SessionContext<Self>;

    /// Runs at every end but a panic; the sockets of a panicked session see their queue end instead.
    fn stopped(&mut self, ctx: &mut Self::Context) {
        if let Some(chat) = self.chat() {
            chat.end(ctx.end_reason());
        }
    }
}

impl Session for GatewaySession {
    fn warned(&mut self, warning: Warning, _: &mut SessionContext<Self>) {
        if let Some(chat) = self.chat() {
            chat.sockets.warn(&warning);
        }
    }

    fn draining(&mut self, reason: EndReason, ctx: &mut SessionContext<Self>) {
        if let Some(chat) = self.chat() {
            chat.sockets.drain(reason, ctx);
        }
    }
}

/// What is kept of a session.
#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Kept {
    Hook(HookSession),
    Chat(Conversation),
}

impl Persistent for GatewaySession {
    type State = Kept;

    fn state(&self) -> Kept {
        match self {
            Self::Hook(hook) => Kept::Hook(hook.clone()),
            Self::Chat(chat) => Kept::Chat(chat.conversation().clone()),
        }
    }

    fn restore(&mut self, kept: Kept) {
        match (self, kept) {
            (Self::Hook(hook), Kept::Hook(kept)) => *hook = kept,
            (Self::Chat(chat), Kept::Chat(kept)) => chat.resume(kept),
            // A panic refuses the session and sets its record aside, which says why.
            _ => panic!("what is kept is of the other kind of session"),
        }
    }
}

impl Handler<Deliver> for GatewaySession {
    type Result = ResponseActFuture<Self, Result<HookView, NotAHook>>;

    /// The work is the session's: while it runs the session is not idle, and at shutdown it is waited for.
    fn handle(&mut self, Deliver { delivery, work }: Deliver, _: &mut Self::Context) -> Self::Result {
        Box::pin(busy_for(work).into_actor(self).map(|(), session, ctx| match session {
            Self::Hook(hook) => Ok(hook.take(delivery, (ctx.key().clone(), ctx.id(), ctx.limits()))),
            Self::Chat(_) => Err(NotAHook),
        }))
    }
}

impl Handler<SocketEvent> for GatewaySession {
    type Result = ResponseActFuture<Self, ()>;

    fn handle(&mut self, event: SocketEvent, ctx: &mut Self::Context) -> Self::Result {
        let (key, id, limits) = (ctx.key().clone(), ctx.id(), ctx.limits());
        if let Some(chat) = self.chat() {
            match chat.sockets.hear(event, ctx) {
                Heard::Joined(socket) => chat.welcome(socket, |socket, sockets, (turns, last)| ServerEvent::Joined {
                    key,
                    id,
                    socket,
                    sockets,
                    turns,
                    last,
                    limits,
                }),
                Heard::Left(socket, why) => chat.gone(socket, why),
                Heard::Frame(socket, frame) => {
                    if let Some(say) = chat.read(socket, frame) {
                        return self.say(say, ctx);
                    }
                }
                _ => {}
            }
        }
        Box::pin(fut::ready(()))
    }
}

/// What a real gateway would do here: call a model, a database, another service.
async fn busy_for(time: Duration) {
    if !time.is_zero() {
        sleep(time).await;
    }
}
