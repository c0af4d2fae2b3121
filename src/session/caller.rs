//! How somebody who waits for a reply learns why none comes.
//!
//! A reply channel can only be dropped; it carries no reason. `SessionRegistry::send` therefore
//! puts a small cell beside it, which travels with the message into the envelope and on into the
//! piece of work that makes the reply. Whoever drops the message or the work unserved writes the
//! reason into the cell *before* the reply sender is dropped, so that the caller, who looks only
//! after the channel has closed, always finds it.
//!
//! The reason comes from the scope around the drop ([`because`]): the places that end a session
//! know why, the value that is dropped does not.

use std::{
    cell::{Cell, RefCell},
    sync::{Arc, OnceLock},
};

use crate::{error::Unserved, event::EndReason};

thread_local! {
    /// Set around one `AddressSender::send`, taken by `pack`, which runs inside of it.
    static SENDING: Cell<Option<Caller>> = const { Cell::new(None) };
    /// Why what is being dropped right now goes unserved.
    static BECAUSE: RefCell<Option<Unserved>> = const { RefCell::new(None) };
}

/// The waiting caller's cell.
#[derive(Debug, Clone, Default)]
pub(crate) struct Caller(Arc<OnceLock<Unserved>>);

impl Caller {
    /// Runs `send` so that the message packed inside of it carries this cell.
    pub(crate) fn around<T>(&self, send: impl FnOnce() -> T) -> T {
        let _ = SENDING.try_with(|sending| sending.set(Some(self.clone())));
        let sent = send();
        // Not packed when the mailbox was full.
        let _ = SENDING.try_with(Cell::take);
        sent
    }

    /// The cell of the send that is going on, if it is one that wants to know.
    pub(crate) fn current() -> Option<Caller> {
        SENDING.try_with(Cell::take).ok().flatten()
    }

    /// Tells the caller; the first reason stays.
    pub(crate) fn tell(&self, why: Unserved) {
        let _ = self.0.set(why);
    }

    /// Tells the caller the reason of the scope around this drop, if there is one.
    pub(crate) fn tell_unserved(&self) {
        let why = BECAUSE.try_with(|why| why.borrow().clone()).ok().flatten();
        if let Some(why) = why {
            self.tell(why);
        }
    }

    /// What the caller was told; a reply sender dropped without a word means that the handler
    /// itself let it go.
    pub(crate) fn heard(&self) -> Unserved {
        self.0.get().cloned().unwrap_or(Unserved::ReplyDropped)
    }
}

/// Inside of a `Drop` that runs because a session has ended, of its actor or of what that holds: why it ended. `None`
/// elsewhere.
///
/// For what has to say goodbye whether or not the actor has a [`stopped`](actix::Actor::stopped) that does.
pub fn dropped_by() -> Option<EndReason> {
    BECAUSE
        .try_with(|why| match &*why.borrow() {
            Some(Unserved::Ended { reason, panic: None }) => Some(*reason),
            Some(Unserved::Ended { panic: Some(_), .. }) => Some(EndReason::Panicked),
            _ => None,
        })
        .ok()
        .flatten()
}

/// Runs `drop` so that every message and reply that goes unserved inside of it is told `why`.
pub(crate) fn because<T>(why: Unserved, drop: impl FnOnce() -> T) -> T {
    struct Restore(Option<Unserved>);
    impl Drop for Restore {
        fn drop(&mut self) {
            let outer = self.0.take();
            let _ = BECAUSE.try_with(|cell| cell.replace(outer));
        }
    }
    let outer = BECAUSE.try_with(|cell| cell.replace(Some(why))).ok().flatten();
    let _restore = Restore(outer);
    drop()
}
