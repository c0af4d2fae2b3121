//! The session actor: a webhook conversation or a chat, by its key.
//!
//! One actor type, so there is one registry: `/sessions` is one list, `max_sessions` one cap, `/events` one sequence of
//! ids that a client can resume from, and one shutdown drains all. The kinds differ in state, and `Policy` gives them
//! different limits by key.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use session_actors::{EndReason, Session, SessionContext, SessionKey, Warning};
use tokio::time::{Instant, sleep};

use super::chat_session::{ChatSession, Join, JoinRefused, Leave, Say};
use super::config::ChatConfig;
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
            chat.end(ctx.end_reason().unwrap_or(EndReason::Stopped));
        }
    }
}

impl Session for GatewaySession {
    fn warned(&mut self, warning: Warning, _: &mut SessionContext<Self>) {
        if let Some(chat) = self.chat() {
            chat.broadcast(&ServerEvent::warning(warning.reason, warning.remaining));
        }
    }

    fn draining(&mut self, reason: EndReason, ctx: &mut SessionContext<Self>) {
        let hard_end = ctx.expires_at();
        if let Some(chat) = self.chat() {
            let left = hard_end.map(|at| at.saturating_duration_since(Instant::now()));
            chat.broadcast(&ServerEvent::draining(reason, left));
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
        self.chat().ok_or(JoinRefused::NotAChat)?.join(socket, |socket, sockets, turns| ServerEvent::Joined {
            key,
            id,
            socket,
            sockets,
            turns,
            limits,
        })?;
        Ok(ctx.address())
    }
}

impl Handler<Say> for GatewaySession {
    type Result = ResponseActFuture<Self, ()>;

    fn handle(&mut self, say: Say, _: &mut Self::Context) -> Self::Result {
        let turn = self.chat().and_then(|chat| chat.hear(&say));
        let think = if turn.is_some() { say.think } else { Duration::ZERO };
        Box::pin(busy_for(think).into_actor(self).map(move |(), session, _| {
            if let (Some(turn), Some(chat)) = (turn, session.chat()) {
                chat.reply(turn, &say);
            }
        }))
    }
}

impl Handler<Leave> for GatewaySession {
    type Result = ();

    fn handle(&mut self, leave: Leave, ctx: &mut Self::Context) {
        ctx.passive();
        if let Some(chat) = self.chat() {
            chat.leave(&leave);
        }
    }
}

/// What a real gateway would do here: call a model, a database, another service.
async fn busy_for(time: Duration) {
    if !time.is_zero() {
        sleep(time).await;
    }
}
