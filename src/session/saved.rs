//! What a session knows about its record in the store, and what there is to say about it there.

use std::sync::Arc;

use parking_lot::Mutex;

use super::{context::SessionContext, held::Held, traits::Session};
use crate::{checkpoint::Checkpoint, keeping::Figures, moment::Moment};

/// What a session knows about its record in the store.
#[derive(Default)]
pub(super) struct Saving {
    /// There is one.
    pub(super) stored: bool,
    /// It has left memory for it.
    pub(super) passivated: bool,
    /// It does not leave memory by itself.
    pub(super) resident: bool,
    /// Until when it had put off its idle end, when it began to end: a shutdown is not its last day.
    pub(super) extended: Option<Moment>,
    /// The store has asked for it.
    pub(super) asked: bool,
    /// It is to make room for a newcomer.
    pub(super) evicted: bool,
    pub(super) in_flight: Option<InFlight>,
    /// What the store has confirmed last.
    pub(super) saved: Option<Mark>,
    /// When something may first have changed that is not being saved yet.
    pub(super) dirty_since: Option<Moment>,
    pub(super) failures: u32,
    /// Of the last of them.
    pub(super) error: Option<Box<str>>,
    /// Not before: a save after one that failed, or another attempt to leave.
    pub(super) retry_at: Option<Moment>,
    /// The activity after which it last tried to leave.
    pub(super) tried: Option<Moment>,
    /// Replies whose state is not being saved yet.
    pub(super) held: Vec<Held>,
}

/// Tells one state of a session from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) snapshot: u64,
    pub(super) handled: u64,
    pub(super) last_activity: Moment,
    pub(super) extended: Option<Moment>,
}

pub(super) type Outcome = Arc<Mutex<Option<Result<(), String>>>>;

/// A save that the store has not answered.
pub(super) struct InFlight {
    pub(super) outcome: Outcome,
    pub(super) mark: Mark,
    /// What it saves has waited for that since then.
    pub(super) dirty_since: Option<Moment>,
    pub(super) asked: Moment,
    /// When it is given up on, unless the store works for others meanwhile.
    pub(super) until: Moment,
    /// It was.
    pub(super) overdue: bool,
    /// Other limits hold by now.
    pub(super) outdated: bool,
    /// Replies that leave when it is confirmed.
    pub(super) held: Vec<Held>,
}

/// Whether the store has a record of a session that ends, also when its last answers come after the session.
#[derive(Clone, Default)]
pub(super) struct Recorded {
    known: bool,
    /// A save that it has not answered, or whose answer nobody has heard.
    pending: Option<Outcome>,
}

impl Recorded {
    /// As far as is known by now. An answer that never came is none.
    pub(super) fn is_certain(&self) -> bool {
        let saved = |outcome: &Outcome| outcome.lock().as_ref().is_some_and(Result::is_ok);
        self.known || self.pending.as_ref().is_some_and(saved)
    }

    pub(super) fn is_possible(&self) -> bool {
        let failed = |outcome: &Outcome| outcome.lock().as_ref().is_some_and(Result::is_err);
        self.known || self.pending.as_ref().is_some_and(|outcome| !failed(outcome))
    }
}

impl Saving {
    /// The last attempt to save it has failed, or is not answered.
    pub(super) fn fails(&self) -> bool {
        self.failures > 0 || self.in_flight.as_ref().is_some_and(|in_flight| in_flight.overdue)
    }

    /// Whether the store has, or may come to have, a record of it.
    pub(super) fn record(&self) -> Recorded {
        let pending = self.in_flight.as_ref().map(|in_flight| Arc::clone(&in_flight.outcome));
        Recorded { known: self.stored, pending }
    }

    /// How many wait, which count as work in flight, and are none of the session's own.
    pub(super) fn held_back(&self) -> usize {
        self.held.len() + self.in_flight.as_ref().map_or(0, |in_flight| in_flight.held.len())
    }

    /// All replies that wait, when the session ends.
    pub(super) fn take_held(&mut self) -> Vec<Held> {
        let mut held = self.in_flight.as_mut().map(|in_flight| std::mem::take(&mut in_flight.held)).unwrap_or_default();
        held.append(&mut self.held);
        held
    }
}

impl<A: Session> SessionContext<A> {
    pub(super) fn saving(&mut self) -> &mut Saving {
        self.extras().saving.get_or_insert_default()
    }

    /// The same, if there is something.
    pub(super) fn known_saving(&self) -> Option<&Saving> {
        self.extras.as_ref()?.saving.as_deref()
    }

    /// Something may have changed. True if that has to be decided on.
    pub(super) fn note_change(&mut self, now: Moment) -> bool {
        if self.ruling.limits.checkpoint == Checkpoint::End {
            // It is saved when it leaves, whatever has happened.
            return false;
        }
        let saving = self.saving();
        let news = saving.dirty_since.is_none();
        saving.dirty_since.get_or_insert(now);
        news
    }

    /// Its limits have changed, which are in its record. What is on its way to the store has the old ones.
    pub(super) fn forget_saved(&mut self) {
        if let Some(saving) = self.extras.as_mut().and_then(|extras| extras.saving.as_mut()) {
            saving.saved = None;
            if let Some(in_flight) = &mut saving.in_flight {
                in_flight.outdated = true;
            }
        }
    }

    /// Whether it is busy with more than replies that wait for the store; `holding`: holds are alive.
    pub(super) fn is_at_work(&self, holding: bool) -> bool {
        holding || (self.in_flight + self.waits) as usize > self.known_saving().map_or(0, Saving::held_back)
    }

    /// What there is to say about it in its record. A session that is busy is active at this moment.
    pub(super) fn figures(&self, now: Moment, busy: bool) -> Figures {
        let noted = self.lifecycle.last_activity().max(self.vitals.last_activity());
        Figures {
            opened: self.vitals.opened(),
            last_activity: if busy { noted.max(now) } else { noted },
            extended: self.lifecycle.extended().or_else(|| self.known_saving()?.extended),
            handled: self.vitals.handled(),
            limits: self.extras.as_ref().and_then(|extras| extras.own_limits.clone()),
        }
    }
}
