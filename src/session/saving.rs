//! How a session is saved, and when it leaves memory for the store.
//!
//! Nothing of it blocks: the state is taken between two turns, the store writes it on a thread of its own, and its answer
//! is a wish that wakes the session. One save at a time; what happens meanwhile is in the next, however many messages
//! that is. With `checkpoint = "always"` replies are held until the save that is behind them is confirmed.
//!
//! It leaves memory (`leaving.rs`) when what the store has confirmed is what it would save now.

use std::{sync::Arc, task::Context, time::Duration};

use actix::dev::Envelope;
use parking_lot::Mutex;

use super::{
    context::SessionContext,
    held::Held,
    items::Work,
    lifecycle::{Load, earlier},
    task::Body,
    traits::Session,
    wishes::Wishes,
};
use crate::{
    checkpoint::Checkpoint,
    event::StoreTask,
    keeping::{Figures, Keeper, Snapshot},
    moment::Moment,
};

/// After the first failure; doubled with each, up to the longest.
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LONGEST_RETRY: Duration = Duration::from_secs(30);
/// A session whose own clockwork changes its state again and again is not saved more often than that to leave memory.
const LEAST_REST: Duration = Duration::from_secs(1);

/// What is said of a store that does not answer.
pub(super) const NO_ANSWER: &str = "the store has not answered in time";

/// What a session knows about its record in the store.
#[derive(Default)]
pub(super) struct Saving {
    /// There may be one.
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
    in_flight: Option<InFlight>,
    /// What the store has confirmed last.
    saved: Option<Mark>,
    /// When something may first have changed that is not being saved yet.
    dirty_since: Option<Moment>,
    failures: u32,
    /// Not before: a save after one that failed, or another attempt to leave.
    retry_at: Option<Moment>,
    /// The activity after which it last tried to leave.
    tried: Option<Moment>,
    /// Replies whose state is not being saved yet.
    pub(super) held: Vec<Held>,
}

/// Tells one state of a session from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    snapshot: u64,
    handled: u64,
    last_activity: Moment,
    extended: Option<Moment>,
}

type Outcome = Arc<Mutex<Option<Result<(), String>>>>;

struct InFlight {
    outcome: Outcome,
    mark: Mark,
    /// When it is given up on.
    until: Moment,
    /// It was.
    overdue: bool,
    /// Other limits hold by now.
    outdated: bool,
    /// Replies that leave when it is confirmed.
    held: Vec<Held>,
}

impl Saving {
    /// The last attempt to save it has failed, or is not answered.
    fn fails(&self) -> bool {
        self.failures > 0 || self.in_flight.as_ref().is_some_and(|in_flight| in_flight.overdue)
    }

    /// How many wait, which count as work in flight, and are none of the session's own.
    fn held_back(&self) -> usize {
        self.held.len() + self.in_flight.as_ref().map_or(0, |in_flight| in_flight.held.len())
    }

    /// All replies that wait, when the session ends.
    pub(super) fn take_held(&mut self) -> Vec<Held> {
        let mut held = self.in_flight.as_mut().map(|in_flight| std::mem::take(&mut in_flight.held)).unwrap_or_default();
        held.append(&mut self.held);
        held
    }
}

/// What came of looking after the store.
pub(super) enum Kept {
    Rest,
    /// A message has come at the last moment.
    Again,
    /// It has left the directory, for the store.
    Left,
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

impl<A: Session> Body<A> {
    pub(super) fn saving(&self) -> Option<&Saving> {
        self.ctx.known_saving()
    }

    fn keeper(&self) -> Option<&Keeper<A>> {
        self.ctx.locals.hub.keeper.as_ref()
    }

    /// Hears what the store has answered, saves what is to be saved, and leaves memory if it is time.
    pub(super) fn keep(
        &mut self,
        now: Moment,
        load: Load,
        cx: &mut Context<'_>,
        taken: &mut Option<Envelope<A>>,
    ) -> Kept {
        if self.saving().is_none() && self.leaves_at().is_none_or(|at| now < at) {
            return Kept::Rest;
        }
        self.hear_store(now);
        loop {
            let rests = load.at_rest && taken.is_none() && self.may_leave();
            self.spare_if(!rests);
            let leaves = rests && (self.is_evicted() || self.leaves_at().is_some_and(|at| at <= now));
            let wants_save = self.save_at().is_some_and(|at| at <= now);
            if !leaves && !wants_save || self.waits_for_store(now) {
                if self.saving().is_some_and(Saving::fails) {
                    self.spare_unsaved();
                }
                return Kept::Rest;
            }
            let figures = self.ctx.figures(now, self.is_at_work());
            let Some((snapshot, mark)) = self.look(now, &figures) else { return Kept::Rest };
            if self.ctx.saving().saved == Some(mark) {
                self.is_current();
                return if leaves { self.go(cx, taken) } else { Kept::Rest };
            }
            let tried = self.ctx.saving().tried;
            if leaves && !self.is_evicted() && tried == Some(mark.last_activity) {
                // Its own clockwork has changed it since.
                let after = self.ctx.ruling.limits.passivate_after.unwrap_or(LEAST_REST).max(LEAST_REST);
                let saving = self.ctx.saving();
                saving.tried = None;
                saving.retry_at = now.checked_add(after);
                return Kept::Rest;
            }
            if leaves {
                self.ctx.saving().tried = Some(mark.last_activity);
            }
            self.save(now, snapshot, figures, mark);
            // A store in memory has answered by now.
            if !self.hear_store(now) {
                return Kept::Rest;
            }
        }
    }

    pub(super) fn is_at_work(&self) -> bool {
        self.ctx.is_at_work(self.ctx.vitals.holds().alive() > 0)
    }

    /// When the task has to look after the store, if nothing wakes it.
    pub(super) fn keep_at(&self) -> Option<Moment> {
        if !self.ctx.locals.keeps {
            return None;
        }
        let saving = self.saving();
        let gives_up = saving.and_then(|saving| saving.held.iter().filter_map(|held| held.until).min());
        if let Some(in_flight) = saving.and_then(|saving| saving.in_flight.as_ref()) {
            let until = (!in_flight.overdue).then_some(in_flight.until);
            return earlier(until, gives_up);
        }
        let load = self.ctx.load(true);
        let leave_at = if load.at_rest && self.may_leave() { self.leaves_at() } else { None };
        let retry = saving.and_then(|saving| saving.retry_at);
        let at = earlier(self.save_at(), leave_at).map(|at| retry.map_or(at, |retry| retry.max(at)));
        earlier(at, gives_up)
    }

    /// When it is to be saved, apart from leaving memory.
    fn save_at(&self) -> Option<Moment> {
        let saving = self.saving()?;
        let dirty = match self.ctx.ruling.limits.checkpoint {
            Checkpoint::Every(interval) => saving.dirty_since.and_then(|since| since.checked_add(interval)),
            Checkpoint::Always => saving.dirty_since,
            Checkpoint::End => None,
        };
        let asked = (saving.asked || saving.evicted || !saving.held.is_empty()).then_some(Moment::of_nanos(0));
        earlier(dirty, asked)
    }

    fn waits_for_store(&mut self, now: Moment) -> bool {
        let timeout = self.keeper().map_or(Duration::ZERO, Keeper::timeout);
        let until = now.checked_add(timeout);
        let soon = now.checked_add(FIRST_RETRY);
        let saving = self.ctx.saving();
        for held in saving.held.iter_mut().filter(|held| held.until.is_none()) {
            held.until = until;
            // Somebody new waits for it: whatever has failed before, it is tried before long.
            saving.retry_at = saving.retry_at.map(|at| soon.map_or(at, |soon| soon.min(at)));
        }
        saving.in_flight.is_some() || saving.retry_at.is_some_and(|at| now < at)
    }

    /// What it would save now.
    fn look(&mut self, now: Moment, figures: &Figures) -> Option<(Snapshot, Mark)> {
        match self.keeper()?.snapshot(&self.act) {
            Ok(snapshot) => {
                let Figures { last_activity, extended, handled, .. } = *figures;
                let mark = Mark { snapshot: snapshot.mark(), handled, last_activity, extended };
                Some((snapshot, mark))
            }
            Err(error) => {
                self.failed(now, &error);
                None
            }
        }
    }

    fn save(&mut self, now: Moment, snapshot: Snapshot, figures: Figures, mark: Mark) {
        let outcome = Outcome::default();
        let (told, vitals) = (Arc::clone(&outcome), Arc::clone(&self.ctx.vitals));
        let done = move |result| {
            *told.lock() = Some(result);
            vitals.wish(Wishes::SAVED);
        };
        let timeout = self.keeper().map_or(Duration::ZERO, Keeper::timeout);
        let saving = self.ctx.saving();
        let held = std::mem::take(&mut saving.held);
        saving.stored = true;
        saving.asked = false;
        saving.dirty_since = None;
        let until = now.checked_add(timeout).unwrap_or(Moment::LAST);
        saving.in_flight = Some(InFlight { outcome, mark, until, overdue: false, outdated: false, held });
        if let Some(keeper) = self.keeper() {
            keeper.save(self.ctx.hub(), &self.ctx.vitals, snapshot, figures, done);
        }
    }

    /// What the store has answered, or that it does not. True if the last save is over.
    fn hear_store(&mut self, now: Moment) -> bool {
        let saving = self.ctx.saving();
        let Some(in_flight) = saving.in_flight.as_mut() else {
            self.give_up(now);
            return false;
        };
        let answer = in_flight.outcome.lock().take();
        match answer {
            None if in_flight.overdue || now < in_flight.until => {
                self.give_up(now);
                false
            }
            None => {
                in_flight.overdue = true;
                let held = std::mem::take(&mut in_flight.held);
                self.release(held, Err(NO_ANSWER));
                self.spare_unsaved();
                self.ctx.hub().store_failed(self.ctx.vitals.key(), self.ctx.vitals.id(), StoreTask::Save, NO_ANSWER);
                false
            }
            Some(Ok(())) => {
                let Some(InFlight { mark, outdated, held, .. }) = saving.in_flight.take() else { return false };
                saving.saved = Some(mark).filter(|_| !outdated);
                saving.failures = 0;
                saving.retry_at = None;
                self.release(held, Ok(()));
                true
            }
            Some(Err(error)) => {
                let Some(InFlight { mut held, .. }) = saving.in_flight.take() else { return false };
                held.append(&mut saving.held);
                saving.held = held;
                saving.dirty_since.get_or_insert(now);
                self.failed(now, &error);
                true
            }
        }
    }

    /// A save has failed: another one later.
    fn failed(&mut self, now: Moment, error: &str) {
        let saving = self.ctx.saving();
        let wait = FIRST_RETRY.saturating_mul(1 << saving.failures.min(16)).min(LONGEST_RETRY);
        saving.failures = saving.failures.saturating_add(1);
        saving.retry_at = now.checked_add(wait);
        saving.tried = None;
        self.spare_unsaved();
        self.ctx.hub().store_failed(self.ctx.vitals.key(), self.ctx.vitals.id(), StoreTask::Save, error);
        self.give_up(now);
    }

    /// Replies that have waited too long.
    fn give_up(&mut self, now: Moment) {
        let over: Vec<_> =
            self.ctx.saving().held.extract_if(.., |held| held.until.is_some_and(|until| until <= now)).collect();
        self.release(over, Err("the store could not save it in time"));
    }

    /// What is on disk is what there is.
    fn is_current(&mut self) {
        let saving = self.ctx.saving();
        saving.asked = false;
        saving.dirty_since = None;
        let held = std::mem::take(&mut saving.held);
        self.release(held, Ok(()));
    }

    fn release(&mut self, held: Vec<Held>, outcome: Result<(), &str>) {
        for held in held {
            held.release(outcome);
            self.ctx.end_work(Work::Passive);
        }
    }
}
