//! How a session is saved, and when it leaves memory for the store.
//!
//! Nothing of it blocks: the state is taken between two turns, the store writes it on a thread of its own, and its answer
//! is a wish that wakes the session. One save at a time; what happens meanwhile is in the next, however many messages
//! that is. With `checkpoint = "always"` replies are held until the save that is behind them is confirmed.
//!
//! It leaves memory (`leaving.rs`) when what the store has confirmed is what it would save now.

use std::{sync::Arc, task::Context, time::Duration};

use actix::dev::Envelope;

use super::{
    held::Held,
    items::Work,
    lifecycle::{Load, earlier},
    saved::{InFlight, Mark, Outcome, Saving},
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

/// What came of looking after the store.
pub(super) enum Kept {
    Rest,
    /// A message has come at the last moment.
    Again,
    /// It has left the directory, for the store.
    Left,
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
        saving.asked = false;
        let dirty_since = saving.dirty_since.take();
        let until = now.checked_add(timeout).unwrap_or(Moment::LAST);
        saving.in_flight =
            Some(InFlight { outcome, mark, dirty_since, asked: now, until, overdue: false, outdated: false, held });
        if let Some(keeper) = self.keeper() {
            keeper.save(self.ctx.hub(), &self.ctx.vitals, snapshot, figures, done);
        }
    }

    /// What the store has answered, or that it does not. True if the last save is over.
    fn hear_store(&mut self, now: Moment) -> bool {
        let hub = Arc::clone(self.ctx.hub());
        let saving = self.ctx.saving();
        let Some(in_flight) = saving.in_flight.as_mut() else {
            self.give_up(now);
            return false;
        };
        if now >= in_flight.until
            && let Some(keeper) = &hub.keeper
        {
            // While it works for others, its turn will come.
            in_flight.until = hub.clock.moment(keeper.patience(hub.clock.instant(in_flight.asked)));
        }
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
                saving.stored = true;
                saving.saved = Some(mark).filter(|_| !outdated);
                saving.failures = 0;
                saving.error = None;
                saving.retry_at = None;
                self.release(held, Ok(()));
                true
            }
            Some(Err(error)) => {
                let Some(InFlight { dirty_since, mut held, .. }) = saving.in_flight.take() else { return false };
                held.append(&mut saving.held);
                saving.held = held;
                // As if it had not been tried: a checkpoint does not become due anew.
                saving.dirty_since = dirty_since.or(saving.dirty_since).or(Some(now));
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
        saving.error = Some(error.into());
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
        if over.is_empty() {
            return;
        }
        let error = match &self.ctx.saving().error {
            Some(error) => format!("the store could not save it in time: {error}"),
            None => "the store could not save it in time".to_owned(),
        };
        self.release(over, Err(&error));
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
