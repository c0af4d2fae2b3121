//! Messages that are for one incarnation, and for no other.
//!
//! As the cell of a waiting caller, this is known only to the sender and needed in the envelope, which is packed in the
//! middle of the send, on its thread.

use std::cell::Cell;

thread_local! {
    static BOUND: Cell<bool> = const { Cell::new(false) };
}

/// What is sent inside of `send`, by address and without waiting for a reply (`do_send`, `try_send`), is for the session
/// that has the address now and for no other: if it ends before it takes the message, the message goes with it. No
/// successor is opened for it, none that is there gets it, and it does not count as dropped.
///
/// For messages that only make sense to whoever has been told something before, such as that a connection is gone. All
/// others open their key again if they come too late: nothing that was accepted is lost.
///
/// ```
/// # use actix::prelude::*;
/// # use session_actors::{Session, SessionContext};
/// # struct Chat; impl Actor for Chat { type Context = SessionContext<Self>; } impl Session for Chat {}
/// # #[derive(Message)] #[rtype(result = "()")] struct Disconnected;
/// # impl Handler<Disconnected> for Chat { type Result = (); fn handle(&mut self, _: Disconnected, _: &mut Self::Context) {} }
/// # fn disconnect(session: Addr<Chat>) {
/// session_actors::without_successor(|| session.do_send(Disconnected));
/// # }
/// ```
pub fn without_successor<T>(send: impl FnOnce() -> T) -> T {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            let _ = BOUND.try_with(|bound| bound.set(self.0));
        }
    }
    let _restore = Restore(BOUND.try_with(|bound| bound.replace(true)).unwrap_or(false));
    send()
}

/// Whether what is being packed is for one incarnation only.
#[inline]
pub(super) fn is_bound() -> bool {
    BOUND.try_with(Cell::get).unwrap_or(false)
}
