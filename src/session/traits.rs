//! What an actor may add to being a session.

use std::{any::Any, time::Duration};

use actix::Actor;
use serde::Serialize;

use super::context::SessionContext;
use crate::event::EndReason;

/// An actor that is a session: its context ends it by the limits of the registry's policy.
///
/// Every hook has a default, so `impl Session for Chat {}` is enough. Hooks are called by the
/// session's own task between messages, also while the actor is blocked in `ctx.wait`. A panic in
/// one ends the session as [`EndReason::Panicked`].
///
/// actix's own hooks keep their meaning: `started` before the first message, then, at the end,
/// `stopping` and `stopped`, each exactly once (neither after a panic). `Running::Continue` is
/// honoured only for the session's own `ctx.stop()`. That no address is left never ends a session.
/// [`SessionContext::end_reason`] tells `stopping` and `stopped` why.
pub trait Session: Actor<Context = SessionContext<Self>> {
    /// The idle deadline has passed. [`Expiry::Extend`] keeps the session for that much longer;
    /// activity after it counts as usual, and an extension never shortens the ordinary deadline.
    ///
    /// Not called for `max_age`, which cannot be vetoed, nor in observe mode.
    fn expiring(&mut self, ctx: &mut SessionContext<Self>) -> Expiry {
        let _ = ctx;
        Expiry::End
    }

    /// The session will end `warning.remaining` from now unless something happens. Called once
    /// per approach to a deadline, `warn_before` ahead of it.
    fn warned(&mut self, warning: Warning, ctx: &mut SessionContext<Self>) {
        let _ = (warning, ctx);
    }

    /// Whether `message`, which the session leaves unhandled at its end, is of no use to another one. Then no successor is
    /// opened for it, none that is there gets it, and it does not count as dropped. All others go to the key's next session:
    /// nothing that was accepted is lost.
    ///
    /// For what only makes sense to whoever was told something before, such as that a connection has gone. Asked at the end,
    /// for each message that is left, on any thread. A panic counts as no.
    ///
    /// Defaults to false; with the feature `web`, to whether it says that a socket has left (`SocketEvent::is_moot`).
    fn is_moot(message: &dyn Any) -> bool {
        #[cfg(feature = "web")]
        {
            message.downcast_ref().is_some_and(crate::web::socket::SocketEvent::is_moot)
        }
        #[cfg(not(feature = "web"))]
        {
            let _ = message;
            false
        }
    }

    /// The session has left the directory and drains: what is in its mailbox and in flight goes
    /// on, and once it is at rest, or `drain_timeout` later, it ends. Not called when there is
    /// nothing to wait for; what has to be done at every end (but after a panic) belongs in
    /// `stopped`.
    fn draining(&mut self, reason: EndReason, ctx: &mut SessionContext<Self>) {
        let _ = (reason, ctx);
    }
}

/// The answer of [`Session::expiring`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// Let it end.
    End,
    /// Keep it for this much longer, counted from now. Zero is the same as `End`.
    Extend(Duration),
}

/// What [`Session::warned`] is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Warning {
    /// Which deadline is near: `IdleTimeout` or `MaxAge`.
    pub reason: EndReason,
    /// How long from now until it.
    pub remaining: Duration,
}
