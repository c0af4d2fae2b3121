//! Who waits for the end of which session.

use std::collections::HashMap;

use tokio::sync::oneshot::Sender;

use crate::event::Ended;

/// The address of its vitals, which those who wait and the end itself keep where they are. Not the session's id: that
/// of one that is being restored is not known yet.
pub(super) type Incarnation = usize;

/// Those who want to know how a session ends, until it does. Senders go in and out, but none is used or dropped in
/// here: that is foreign code (it wakes the receiver, or drops its waker), and this lives under the lock.
#[derive(Default)]
pub(super) struct Waiters {
    /// No empty lists.
    by_session: HashMap<Incarnation, Vec<Sender<Ended>>, ahash::RandomState>,
}

impl Waiters {
    /// Adds one, and gives back those of the same session that have stopped waiting.
    ///
    /// Callers with a timeout would pile up in a session that takes long to end. Looking for them only when the list is
    /// about to grow makes that cheap.
    #[must_use = "a sender must be dropped outside of the lock"]
    pub(super) fn add(&mut self, session: Incarnation, waiter: Sender<Ended>) -> Vec<Sender<Ended>> {
        let waiters = self.by_session.entry(session).or_default();
        let gone = if waiters.len() == waiters.capacity() {
            waiters.extract_if(.., |waiter| waiter.is_closed()).collect()
        } else {
            Vec::new()
        };
        waiters.push(waiter);
        gone
    }

    /// All that wait for this session, because it is over.
    #[must_use = "a sender must be used outside of the lock"]
    pub(super) fn take(&mut self, session: Incarnation) -> Vec<Sender<Ended>> {
        // Nobody waits for most ends, which are those of limits.
        if self.by_session.is_empty() {
            return Vec::new();
        }
        self.by_session.remove(&session).unwrap_or_default()
    }

    #[cfg(test)]
    pub(super) fn of(&self, session: Incarnation) -> usize {
        self.by_session.get(&session).map_or(0, Vec::len)
    }

    #[cfg(test)]
    pub(super) fn sessions(&self) -> usize {
        self.by_session.len()
    }
}
