//! The reader's side of the journal: what a watch calls.

use std::{collections::VecDeque, sync::Arc, task::Waker};

use super::{Journal, ReaderId, State, history::Behind};
use crate::{
    event::{EventId, SessionEvent},
    session::vitals::Vitals,
    watch::{Snapshot, Watch},
};

/// What a reader's snapshots have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Detail {
    Sessions,
    /// Only how many there are, which costs nothing.
    Count,
}

/// What a reader found. Events themselves are put into its batch.
pub(crate) enum Read {
    /// There is at least one event in the batch.
    Events,
    /// The history does not reach back to where the reader was. It goes on after the snapshot.
    Lagged { missed: u64, live: LiveAt },
    /// Nothing new; the waker is kept and will be woken.
    Pending,
    /// Nothing new, and nothing will be.
    Closed,
}

/// The live set after a certain event: the part of a snapshot that has to be taken under the lock.
pub(crate) struct LiveAt {
    at: EventId,
    live: usize,
    /// None for a reader that only wants to know how many there are.
    sessions: Vec<Arc<Vitals>>,
}

impl LiveAt {
    pub(crate) fn at(&self) -> EventId {
        self.at
    }
}

impl Journal {
    /// How many events a reader gets each time it takes the lock: enough to make the lock cheap, few enough to hold it
    /// briefly.
    const BATCH: usize = 64;

    /// A stream of the live sessions and every event from now on; or, if `from` is given and the history reaches back
    /// to it, only of the events after it.
    pub(crate) fn watch(self: &Arc<Self>, from: Option<EventId>) -> Watch {
        self.watch_as(from, Detail::Sessions)
    }

    /// The same, but with so much in its snapshots.
    pub(crate) fn watch_as(self: &Arc<Self>, from: Option<EventId>, detail: Detail) -> Watch {
        let mut state = self.state.lock();
        let reader = state.readers.enter();
        let resumed = from.filter(|from| from.epoch() == self.epoch && state.history.reaches(from.sequence()));
        let (after, live) = match resumed {
            Some(from) => (from, None),
            None => {
                let live = self.live_now(&state, detail);
                (live.at(), Some(live))
            }
        };
        drop(state);
        // In this order, so that the reader leaves even if a session's vitals panic.
        let mut watch = Watch::new(Arc::clone(self), reader, after, detail);
        if let Some(live) = live {
            watch.begin_with(self.snapshot(live));
        }
        watch
    }

    /// Gives a reader what comes after `sequence`: into `batch`, which must be empty, if it is events.
    ///
    /// Looking and leaving the waker are one step, so that an event comes either before the look or finds the waker.
    pub(crate) fn read(
        &self,
        reader: ReaderId,
        sequence: u64,
        detail: Detail,
        batch: &mut VecDeque<Arc<SessionEvent>>,
        waker: &Waker,
    ) -> Read {
        // Cloning and dropping a waker is foreign code, so it happens outside of the lock, even where it turns out to
        // be for nothing.
        let waker = waker.clone();
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let (read, _replaced) = match state.history.after(sequence) {
            Ok(events) if events.len() > 0 => {
                batch.extend(events.take(Self::BATCH).cloned());
                (Read::Events, Some(waker))
            }
            Ok(_) if state.closed => (Read::Closed, Some(waker)),
            Ok(_) => (Read::Pending, state.readers.park(reader, waker)),
            Err(Behind { missed }) => {
                state.readers.note_lag();
                (Read::Lagged { missed, live: self.live_now(state, detail) }, Some(waker))
            }
        };
        drop(guard);
        read
    }

    /// Forgets a reader and its waker.
    pub(crate) fn leave(&self, reader: ReaderId) {
        // As a variable of its own, so that the waker is dropped after the lock is released.
        let waker = self.state.lock().readers.leave(reader);
        drop(waker);
    }

    fn live_now(&self, state: &State, detail: Detail) -> LiveAt {
        LiveAt {
            at: EventId::new(self.epoch, state.history.last()),
            live: state.live.len(),
            sessions: match detail {
                Detail::Sessions => state.live.to_vec(),
                Detail::Count => Vec::new(),
            },
        }
    }

    /// Completes a snapshot, outside of the lock: with many sessions this is most of the work.
    ///
    /// Which sessions are in it is of the moment of `at`; how they are is of now, a little later. The events in between
    /// follow, and say again what the infos may show already.
    pub(crate) fn snapshot(&self, live: LiveAt) -> Snapshot {
        let LiveAt { at, live, mut sessions } = live;
        let now = self.now();
        sessions.sort_unstable_by_key(|vitals| vitals.id());
        Snapshot { at, live, sessions: sessions.iter().map(|vitals| vitals.info(&self.clock, now)).collect() }
    }
}
