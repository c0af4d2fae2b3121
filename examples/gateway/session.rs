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
use session_actors::{Checkpoint, EndReason, Persistent, Session, SessionContext, SessionKey, Warning};
use tokio::time::{Instant, sleep};

use super::chat_session::{ChatSession, Join, JoinRefused, Leave, Say};
use super::config::ChatConfig;
use super::conversation::Conversation;
use super::hook_session::{Deliver, HookSession, HookView, NotAHook};
use super::keys;
use super::protocol::ServerEvent;

#[derive(Debug)]
pub(crate) enum GatewaySession {
    Hook(HookSession),
    Chat(ChatSession),
}

/// Where a socket sends what it hears. It stays with one incarnation: the session's end is the socket's end.
pub(crate) type SessionAddr = Addr<GatewaySession>;

impl GatewaySession {
    /// The registry's factory. Routes make keys by `keys` alone, so the prefix tells the kind.
    pub(crate) fn factory(chat: Arc<ChatConfig>) -> impl Fn(&SessionKey) -> Self {
        move |key| {
            if key.as_str().starts_with(keys::HOOK) {
                Self::Hook(HookSession::default())
            } else {
                Self::Chat(ChatSession::new(&chat))
            }
        }
    }

    /// Tells the sockets what has happened in the chat so far; where a crash must forget nothing that somebody has seen,
    /// once that is on disk. The reply of a message is held back for that by itself; what goes to a socket is not.
    fn publish(&mut self, ctx: &mut SessionContext<Self>) -> ResponseActFuture<Self, ()> {
        let written = self.chat().map_or(0, |chat| chat.written());
        if ctx.limits().checkpoint != Checkpoint::Always {
            self.told(ctx, |chat| chat.tell_until(written, Ok(())));
            return Box::pin(fut::ready(()));
        }
        let saved = ctx.checkpoint().into_actor(self);
        Box::pin(saved.map(move |saved, session, ctx| {
            session.told(ctx, |chat| chat.tell_until(written, saved));
        }))
    }

    /// Whatever is told may lose a socket, and sockets keep a session in memory.
    fn told<T>(&mut self, ctx: &mut SessionContext<Self>, tell: impl FnOnce(&mut ChatSession) -> T) -> Option<T> {
        let chat = self.chat()?;
        let told = tell(chat);
        ctx.set_resident(chat.has_sockets());
        Some(told)
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
            // With sockets it leaves memory only to make room.
            chat.end(ctx.end_reason().unwrap_or(EndReason::Evicted));
        }
    }
}

impl Session for GatewaySession {
    fn warned(&mut self, warning: Warning, ctx: &mut SessionContext<Self>) {
        self.told(ctx, |chat| chat.broadcast(&ServerEvent::warning(warning.reason, warning.remaining)));
    }

    fn draining(&mut self, reason: EndReason, ctx: &mut SessionContext<Self>) {
        let hard_end = ctx.expires_at();
        if let Some(chat) = self.chat() {
            let left = hard_end.map(|at| at.saturating_duration_since(Instant::now()));
            chat.broadcast(&ServerEvent::draining(reason, left));
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

impl Handler<Join> for GatewaySession {
    type Result = Result<SessionAddr, JoinRefused>;

    fn handle(&mut self, Join { socket }: Join, ctx: &mut Self::Context) -> Self::Result {
        let (key, id, limits) = (ctx.key().clone(), ctx.id(), ctx.limits());
        let welcome =
            |socket, sockets, (turns, last)| ServerEvent::Joined { key, id, socket, sockets, turns, last, limits };
        self.told(ctx, |chat| chat.join(socket, welcome)).ok_or(JoinRefused::NotAChat)??;
        Ok(ctx.address())
    }
}

impl Handler<Say> for GatewaySession {
    type Result = ResponseActFuture<Self, ()>;

    fn handle(&mut self, say: Say, ctx: &mut Self::Context) -> Self::Result {
        let Some(turn) = self.told(ctx, |chat| chat.hear(&say)).flatten() else {
            return Box::pin(fut::ready(()));
        };
        if say.think.is_zero() {
            self.told(ctx, |chat| chat.reply(turn, &say));
            return self.publish(ctx);
        }
        let think = say.think;
        let thought = self.publish(ctx).then(move |(), session, _| busy_for(think).into_actor(session));
        Box::pin(thought.then(move |(), session, ctx| {
            session.told(ctx, |chat| chat.reply(turn, &say));
            session.publish(ctx)
        }))
    }
}

impl Handler<Leave> for GatewaySession {
    type Result = ();

    fn handle(&mut self, leave: Leave, ctx: &mut Self::Context) {
        ctx.passive();
        self.told(ctx, |chat| chat.leave(&leave));
    }
}

/// What a real gateway would do here: call a model, a database, another service.
async fn busy_for(time: Duration) {
    if !time.is_zero() {
        sleep(time).await;
    }
}
