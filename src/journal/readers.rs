//! Who reads the journal, and who of them sleeps.

use std::{collections::HashMap, task::Waker};

/// The watches of a journal. Wakers go in and out, but are neither cloned, nor woken, nor dropped in here: that is
/// foreign code, and this lives under the lock.
#[derive(Default)]
pub(super) struct Readers {
    count: usize,
    entered: u64,
    lagged: u64,
    /// The readers that have read everything and want to be woken.
    parked: HashMap<ReaderId, Waker>,
}

/// Tells one reader from the others, for as long as the journal lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ReaderId(u64);

impl Readers {
    #[must_use = "a reader must leave again"]
    pub(super) fn enter(&mut self) -> ReaderId {
        self.count += 1;
        self.entered += 1;
        ReaderId(self.entered)
    }

    #[must_use = "a waker must be dropped outside of the lock"]
    pub(super) fn leave(&mut self, reader: ReaderId) -> Option<Waker> {
        self.count -= 1;
        self.parked.remove(&reader)
    }

    /// Keeps the waker for the next event, and gives back the one it replaces: a reader that is polled again may have
    /// moved to another task.
    #[must_use = "a waker must be dropped outside of the lock"]
    pub(super) fn park(&mut self, reader: ReaderId, waker: Waker) -> Option<Waker> {
        self.parked.insert(reader, waker)
    }

    /// All wakers, to be woken outside of the lock. Costs nothing if nobody sleeps.
    #[must_use = "a waker must be woken outside of the lock"]
    pub(super) fn unpark(&mut self) -> Vec<Waker> {
        // Drained, not taken, so that the table is not allocated anew for each event.
        self.parked.drain().map(|(_, waker)| waker).collect()
    }

    pub(super) fn note_lag(&mut self) {
        self.lagged += 1;
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn lagged(&self) -> u64 {
        self.lagged
    }
}
