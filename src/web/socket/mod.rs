//! WebSockets of sessions.
//!
//! A socket is attached to a session in one line, [`Named::attach`](super::Named::attach), and the session's actor hears
//! of it by one message, [`SocketEvent`]. It keeps its sockets in a [`Sockets`], which
//!
//! * keeps a session in memory while it has sockets, where sessions are stored;
//! * has a bounded queue for each: a socket that does not read as fast as the session speaks is let go, with a reason,
//!   and neither the session nor the other sockets wait for it;
//! * tells them of the warning before an end, of the drain, and at last why it ended, with a close code that says whether
//!   to come back.
//!
//! Every frame is a message to the session, and so counts as activity; pings, pongs and a socket's leaving do not. If the
//! session's mailbox is full, the socket is not read until there is room: its peer has to wait.
//!
//! ```
//! use actix::prelude::*;
//! use actix_web::{HttpRequest, HttpResponse, web};
//! use session_actors::{
//!     EndReason, Session, SessionContext, Warning,
//!     web::{Named, Problem, socket::{Frame, Heard, SocketEvent, SocketOptions, Sockets}},
//! };
//!
//! #[derive(Default)]
//! struct Chat { sockets: Sockets }
//!
//! impl Actor for Chat {
//!     type Context = SessionContext<Self>;
//!     fn stopped(&mut self, ctx: &mut Self::Context) { self.sockets.end(ctx.end_reason()); }
//! }
//!
//! impl Session for Chat {
//!     fn warned(&mut self, warning: Warning, _: &mut SessionContext<Self>) { self.sockets.warn(&warning); }
//!     fn draining(&mut self, reason: EndReason, ctx: &mut SessionContext<Self>) { self.sockets.drain(reason, ctx); }
//! }
//!
//! impl Handler<SocketEvent> for Chat {
//!     type Result = ();
//!     fn handle(&mut self, event: SocketEvent, ctx: &mut Self::Context) {
//!         if let Heard::Frame(_, Frame::Text(text)) = self.sockets.hear(event, ctx) {
//!             self.sockets.broadcast(format!("somebody said: {text}"));
//!         }
//!     }
//! }
//!
//! async fn chat(request: HttpRequest, body: web::Payload, session: Named<Chat>) -> Result<HttpResponse, Problem> {
//!     session.attach(&request, body, &SocketOptions::new()).await
//! }
//! ```
//!
//! # What a client is told
//!
//! Beside what the session says, JSON in text frames (unless [`SocketOptions::without_notices`]):
//!
//! ```json
//! {"event": "warning", "reason": "idle_timeout", "remaining_ms": 60000, "message": "this session ends in 1m unless …"}
//! {"event": "draining", "reason": "shutdown", "message": "this session is ending; …"}
//! {"event": "closed", "reason": "idle_timeout", "message": "nobody said anything for too long; connect again …"}
//! ```
//!
//! and then the close frame, with the same message:
//!
//! | code | why |
//! |---|---|
//! | 1000 | the session stopped itself |
//! | 1001 | it was idle, too old or closed, or the gateway shuts down; or nothing came from the socket, not even a pong |
//! | 1008 | the socket did not read as fast as the session spoke |
//! | 1011 | the session failed, or was stuck |
//! | 1013 | the session made room for others, or has too many sockets: come back later |
//! | 1002, 1007, 1009 | a frame broke the protocol, was not UTF-8, was too large |

mod attach;
mod bridge;
mod event;
mod frame_guard;
mod goodbye;
mod options;
mod sockets;

pub use self::{
    event::{Frame, Heard, Socket, SocketEvent, SocketId},
    goodbye::Goodbye,
    options::SocketOptions,
    sockets::Sockets,
};
