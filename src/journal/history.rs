//! The last events, by number.

use std::{collections::VecDeque, sync::Arc};

use crate::event::SessionEvent;

/// A ring of the last `capacity` events. Their sequences have no gaps, so a sequence is an index.
pub(super) struct History {
    events: VecDeque<Arc<SessionEvent>>,
    capacity: usize,
    /// The sequence of the newest event, whether or not it is still here; 0 before the first.
    last: u64,
}

/// The reader asked for events that are forgotten.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Behind {
    /// How many there have been since, up to the newest: what a reader that goes on after a fresh snapshot has not been
    /// told.
    pub(super) missed: u64,
}

impl History {
    pub(super) fn new(capacity: usize) -> Self {
        // Not allocated ahead: a large history is a limit, not a wish to have the memory used.
        Self { events: VecDeque::new(), capacity, last: 0 }
    }

    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// Whether every event after `sequence` is still here. `false` for a place in the future, which nobody can have
    /// been given.
    pub(super) fn reaches(&self, sequence: u64) -> bool {
        (self.forgotten()..=self.last).contains(&sequence)
    }

    /// Adds the next event, and gives back the one that is forgotten for it.
    #[must_use = "dropping an event is foreign code, which must not run under the lock"]
    pub(super) fn push(&mut self, event: Arc<SessionEvent>) -> Option<Arc<SessionEvent>> {
        debug_assert_eq!(event.id.sequence(), self.last + 1, "sequences have no gaps");
        self.last = event.id.sequence();
        if self.capacity == 0 {
            return Some(event);
        }
        // Out first, so that the ring does not grow beyond its capacity.
        let forgotten = if self.events.len() == self.capacity { self.events.pop_front() } else { None };
        self.events.push_back(event);
        forgotten
    }

    /// The events after `sequence`, oldest first.
    pub(super) fn after(&self, sequence: u64) -> Result<impl ExactSizeIterator<Item = &Arc<SessionEvent>>, Behind> {
        debug_assert!(sequence <= self.last, "a place in the future");
        let seen = sequence.checked_sub(self.forgotten()).ok_or(Behind { missed: self.last - sequence })?;
        // Fits: it is at most the length of the ring, for a place that is not in the future.
        let seen = usize::try_from(seen).unwrap_or(usize::MAX).min(self.events.len());
        Ok(self.events.range(seen..))
    }

    /// The sequence of the newest event that is no longer here.
    fn forgotten(&self) -> u64 {
        self.last - self.events.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::{
        event::{EventId, EventKind, SessionId},
        key::SessionKey,
    };

    fn filled(capacity: usize, events: u64) -> (History, Vec<u64>) {
        let mut history = History::new(capacity);
        let mut forgotten = Vec::new();
        for sequence in 1..=events {
            let event = SessionEvent {
                id: EventId::new(1, sequence),
                at: UNIX_EPOCH,
                key: SessionKey::new("a").unwrap(),
                session: SessionId::new(1),
                kind: EventKind::Extended { by: Duration::ZERO },
            };
            forgotten.extend(history.push(Arc::new(event)).map(|event| event.id.sequence()));
        }
        (history, forgotten)
    }

    fn after(history: &History, sequence: u64) -> Result<Vec<u64>, Behind> {
        Ok(history.after(sequence)?.map(|event| event.id.sequence()).collect())
    }

    #[test]
    fn an_empty_history_reaches_its_beginning_and_no_further() {
        let (history, _) = filled(4, 0);
        assert_eq!(after(&history, 0), Ok(vec![]));
        assert!(history.reaches(0));
        assert!(!history.reaches(1));
    }

    #[test]
    fn the_oldest_goes_when_it_is_full() {
        let (history, forgotten) = filled(3, 5);
        assert_eq!(forgotten, [1, 2]);
        assert_eq!(after(&history, 2), Ok(vec![3, 4, 5]));
        assert_eq!(after(&history, 4), Ok(vec![5]));
        assert_eq!(after(&history, 5), Ok(vec![]));
        assert!(history.reaches(2) && history.reaches(5) && !history.reaches(6));
    }

    #[test]
    fn who_is_behind_hears_how_far() {
        let (history, _) = filled(3, 5);
        assert_eq!(after(&history, 1), Err(Behind { missed: 4 }));
        assert_eq!(after(&history, 0), Err(Behind { missed: 5 }));
        assert!(!history.reaches(1));
    }

    #[test]
    fn a_history_of_nothing_still_counts() {
        let (history, forgotten) = filled(0, 2);
        assert_eq!(forgotten, [1, 2]);
        assert_eq!(history.last(), 2);
        assert_eq!(after(&history, 2), Ok(vec![]));
        assert_eq!(after(&history, 1), Err(Behind { missed: 1 }));
    }
}
