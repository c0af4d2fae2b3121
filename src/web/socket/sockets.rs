//! The sockets that a session has.

use actix::{AsyncContext, Handler};
use tokio::time::Instant;

use super::{
    Frame, Goodbye, Heard, Socket, SocketEvent, SocketId,
    event::{Outgoing, Sent},
    goodbye::Notice,
};
use crate::{EndReason, Session, SessionContext, Warning, dropped_by};

/// The sockets that a session has, in the order in which they joined: a field of its actor.
#[derive(Debug)]
pub struct Sockets {
    all: Vec<Socket>,
    most: usize,
}

impl Default for Sockets {
    fn default() -> Self {
        Self { all: Vec::new(), most: 16 }
    }
}

/// Of an actor without a [`stopped`](actix::Actor::stopped) that has said goodbye, or that panicked.
impl Drop for Sockets {
    fn drop(&mut self) {
        if let Some(reason) = dropped_by() {
            self.end(Some(reason));
        }
    }
}

impl Sockets {
    /// None, and up to 16 at a time.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many there may be at a time; another is told to come back later.
    #[must_use]
    pub fn at_most(mut self, sockets: usize) -> Self {
        self.most = sockets;
        self
    }

    /// Takes note of what has happened to a socket, and says what it was. A socket that leaves is no activity; while there
    /// is one, the session [stays in memory](SessionContext::set_resident).
    pub fn hear<A>(&mut self, event: SocketEvent, ctx: &mut SessionContext<A>) -> Heard
    where
        A: Session + Handler<SocketEvent>,
    {
        let heard = match event {
            SocketEvent::Frame(id, frame) if self.has(id) => return Heard::Frame(id, frame),
            SocketEvent::Frame(id, _) => {
                ctx.passive();
                Heard::Late(id)
            }
            SocketEvent::Left(id, why) => {
                ctx.passive();
                self.all.retain(|socket| socket.id() != id);
                Heard::Left(id, why)
            }
            SocketEvent::Joined(mut socket) => {
                let id = socket.id();
                if self.all.len() >= self.most {
                    ctx.passive();
                    socket.close(Goodbye::TOO_MANY, false);
                    Heard::Refused(id)
                } else if socket.accept(ctx.address().recipient()) {
                    self.all.push(socket);
                    Heard::Joined(id)
                } else {
                    ctx.passive();
                    Heard::Left(id, "gone")
                }
            }
        };
        ctx.set_resident(!self.all.is_empty());
        heard
    }

    /// Sends to one of them. False if it is none of the session's, has gone, or is let go because it does not keep up:
    /// [`Heard::Left`] follows then.
    pub fn send(&mut self, to: SocketId, frame: impl Into<Frame>) -> bool {
        let Some(at) = self.all.iter().position(|socket| socket.id() == to) else { return false };
        let sent = self.all[at].send(Outgoing::Frame(frame.into()));
        if sent == Sent::TooSlow {
            self.all.remove(at);
        }
        sent == Sent::Queued
    }

    /// Sends to all of them. Those that do not keep up are let go: [`Heard::Left`] follows for each.
    pub fn broadcast(&mut self, frame: impl Into<Frame>) {
        self.tell(Outgoing::Frame(frame.into()));
    }

    /// Tells all of them that the end is near: for [`Session::warned`].
    pub fn warn(&mut self, warning: &Warning) {
        self.tell(Outgoing::Notice(Notice::warning(warning.reason, warning.remaining).to_json()));
    }

    /// Tells all of them that the session is ending, and finishes first what it has begun: for [`Session::draining`].
    pub fn drain<A: Session>(&mut self, reason: EndReason, ctx: &SessionContext<A>) {
        let left = ctx.expires_at().map(|at| at.saturating_duration_since(Instant::now()));
        self.tell(Outgoing::Notice(Notice::draining(reason, left).to_json()));
    }

    /// Tells all of them why it has ended, behind all they were told before, and lets them go: for
    /// [`Actor::stopped`](actix::Actor::stopped), with [`SessionContext::end_reason`]. Without it that is done when the
    /// actor is dropped.
    pub fn end(&mut self, reason: Option<EndReason>) {
        for socket in self.all.drain(..) {
            socket.close(Goodbye::of(reason), true);
        }
    }

    /// Closes one of them, for a reason of your own, behind all it was told before. False if it is none of the session's.
    /// [`Heard::Left`] follows.
    pub fn close(&mut self, id: SocketId, goodbye: Goodbye) -> bool {
        let Some(at) = self.all.iter().position(|socket| socket.id() == id) else { return false };
        self.all.remove(at).close(goodbye, false);
        true
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    fn has(&self, id: SocketId) -> bool {
        self.all.iter().any(|socket| socket.id() == id)
    }

    /// Their names, in the order in which they joined.
    pub fn ids(&self) -> impl ExactSizeIterator<Item = SocketId> + '_ {
        self.all.iter().map(Socket::id)
    }

    fn tell(&mut self, outgoing: Outgoing) {
        self.all.retain_mut(|socket| socket.send(outgoing.clone()) != Sent::TooSlow);
    }
}
