//! How a session is saved, and when it leaves memory for the store.
//!
//! Nothing of it blocks: the state is taken between two turns, the store writes it on a thread of its own, and its answer
//! is a wish that wakes the session. One save at a time; what happens meanwhile is in the next, however many messages
//! that is. With `checkpoint = "always"` replies are held until the save that is behind them is confirmed.
//!
//! To leave memory is what an idle end is, but for the last step: the session goes when what the store has confirmed is what
//! it would save now, and nobody has come.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use actix::dev::Envelope;
use futures_core::Stream;
use parking_lot::Mutex;

use super::{
    caller::Caller,
    context::SessionContext,
    items::Work,
    lifecycle::{Load, earlier},
    panics::quietly,
    task::Body,
    traits::Session,
    vitals::VitalPhase,
    wishes::Wishes,
};
use crate::{
    checkpoint::Checkpoint,
    error::Unserved,
    event::{EndReason, StoreTask},
    keeping::{Figures, Keeper, Snapshot},
    moment::Moment,
    policy::Mode,
};

/// After the first failure; doubled with each, up to the longest.
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LONGEST_RETRY: Duration = Duration::from_secs(30);
/// A session whose own clockwork changes its state again and again is not saved more often than that to leave memory.
const LEAST_REST: Duration = Duration::from_secs(1);

/// What a session knows about its record in the store.
#[derive(Default)]
pub(super) struct Saving {
    /// There may be one.
    pub(super) stored: bool,
    /// It has left memory for it.
    pub(super) passivated: bool,
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
    held: Vec<Held>,
}

/// Tells one state of a session from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    snapshot: u64,
    handled: u64,
    last_activity: Moment,
}

type Outcome = Arc<Mutex<Option<Result<(), String>>>>;

struct InFlight {
    outcome: Outcome,
    mark: Mark,
    /// When it is given up on.
    until: Moment,
    /// It was.
    overdue: bool,
    /// Replies that leave when it is confirmed.
    held: Vec<Held>,
}

/// A reply that waits until the state behind it is on disk.
pub(super) struct Held {
    deliver: Box<dyn FnOnce()>,
    caller: Option<Caller>,
    /// How long it waits; set when it is first looked at.
    until: Option<Moment>,
}

impl Held {
    pub(super) fn new(deliver: Box<dyn FnOnce()>, caller: Option<Caller>) -> Self {
        Self { deliver, caller, until: None }
    }

    pub(super) fn deliver(self) {
        // It wakes who waits, and drops the reply if nobody does.
        let _ = quietly(self.deliver);
    }

    pub(super) fn fail(self, error: &str) {
        if let Some(caller) = &self.caller {
            caller.tell(Unserved::NotSaved { error: error.to_owned() });
        }
        let _ = quietly(|| drop(self.deliver));
    }
}

impl Saving {
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

    /// Whether replies wait until they are saved.
    #[inline]
    pub(super) fn holds_replies(&self) -> bool {
        self.locals.keeps && self.ruling.limits.checkpoint == Checkpoint::Always
    }

    /// Keeps a reply that is made until what is behind it is saved.
    pub(super) fn hold_reply(&mut self, held: Held) {
        // Keeps the session busy, and is no activity of its own.
        self.begin_work(Work::Passive);
        self.saving().held.push(held);
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

    /// Its limits have changed, which are in its record.
    pub(super) fn forget_saved(&mut self) {
        if let Some(saving) = self.extras.as_mut().and_then(|extras| extras.saving.as_mut()) {
            saving.saved = None;
        }
    }

    /// What there is to say about it in its record. A session that is busy is active at this moment.
    pub(super) fn figures(&self, now: Moment, busy: bool) -> Figures {
        let noted = self.lifecycle.last_activity().max(self.vitals.last_activity());
        Figures {
            opened: self.vitals.opened(),
            last_activity: if busy { noted.max(now) } else { noted },
            handled: self.vitals.handled(),
            limits: self.extras.as_ref().and_then(|extras| extras.own_limits.clone()),
        }
    }
}

impl<A: Session> Body<A> {
    fn saving(&self) -> Option<&Saving> {
        self.ctx.extras.as_ref().and_then(|extras| extras.saving.as_deref())
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
            if !leaves && !self.wants_save(now) || self.waits_for_store(now) {
                return Kept::Rest;
            }
            let Some((snapshot, mark)) = self.look(now) else { return Kept::Rest };
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
            self.save(now, load.busy, snapshot, mark);
            // A store in memory has answered by now.
            if !self.hear_store(now) {
                return Kept::Rest;
            }
        }
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
        let save_at = saving.and_then(|saving| {
            let dirty = match self.ctx.ruling.limits.checkpoint {
                Checkpoint::Every(interval) => saving.dirty_since.and_then(|since| since.checked_add(interval)),
                Checkpoint::Always => saving.dirty_since,
                Checkpoint::End => None,
            };
            let asked = (saving.asked || saving.evicted || !saving.held.is_empty()).then_some(Moment::of_nanos(0));
            earlier(dirty, asked)
        });
        let load = self.ctx.load(true);
        let leave_at = if load.at_rest && self.may_leave() { self.leaves_at() } else { None };
        let retry = saving.and_then(|saving| saving.retry_at);
        let at = earlier(save_at, leave_at).map(|at| retry.map_or(at, |retry| retry.max(at)));
        earlier(at, gives_up)
    }

    /// When it leaves memory if nothing happens. Not while it is granted more time at its idle deadline: the record
    /// could not tell.
    fn leaves_at(&self) -> Option<Moment> {
        let after = self.ctx.ruling.limits.passivate_after?;
        let at = self.ctx.lifecycle.last_activity().checked_add(after)?;
        Some(self.ctx.lifecycle.extended().map_or(at, |until| until.max(at)))
    }

    fn may_leave(&self) -> bool {
        let leftovers = self.agenda.as_ref().is_some_and(|agenda| !agenda.leftovers.is_empty());
        !leftovers && !self.ctx.lifecycle.is_draining() && self.ctx.hub().mode() == Mode::Enforce
    }

    fn is_evicted(&self) -> bool {
        self.saving().is_some_and(|saving| saving.evicted)
    }

    /// It was asked to make room, and cannot: somebody else is asked.
    fn spare_if(&mut self, cannot: bool) {
        if cannot && self.is_evicted() {
            self.ctx.saving().evicted = false;
            self.ctx.hub().spare(&self.ctx.vitals);
        }
    }

    fn wants_save(&mut self, now: Moment) -> bool {
        let checkpoint = self.ctx.ruling.limits.checkpoint;
        let saving = self.ctx.saving();
        saving.asked
            || !saving.held.is_empty()
            || saving.dirty_since.is_some_and(|since| match checkpoint {
                Checkpoint::End => false,
                Checkpoint::Every(interval) => since.checked_add(interval).is_some_and(|at| at <= now),
                Checkpoint::Always => true,
            })
    }

    fn waits_for_store(&mut self, now: Moment) -> bool {
        let timeout = self.keeper().map_or(Duration::ZERO, Keeper::timeout);
        let until = now.checked_add(timeout);
        let saving = self.ctx.saving();
        for held in &mut saving.held {
            held.until = held.until.or(until);
        }
        saving.in_flight.is_some() || saving.retry_at.is_some_and(|at| now < at)
    }

    /// What it would save now.
    fn look(&mut self, now: Moment) -> Option<(Snapshot, Mark)> {
        match self.keeper()?.snapshot(&self.act) {
            Ok(snapshot) => {
                let mark = Mark {
                    snapshot: snapshot.mark(),
                    handled: self.ctx.vitals.handled(),
                    last_activity: self.ctx.lifecycle.last_activity(),
                };
                Some((snapshot, mark))
            }
            Err(error) => {
                self.failed(now, &error);
                None
            }
        }
    }

    fn save(&mut self, now: Moment, busy: bool, snapshot: Snapshot, mark: Mark) {
        let outcome = Outcome::default();
        let (told, vitals) = (Arc::clone(&outcome), Arc::clone(&self.ctx.vitals));
        let done = move |result| {
            *told.lock() = Some(result);
            vitals.wish(Wishes::SAVED);
        };
        let figures = self.ctx.figures(now, busy);
        let timeout = self.keeper().map_or(Duration::ZERO, Keeper::timeout);
        let saving = self.ctx.saving();
        let held = std::mem::take(&mut saving.held);
        saving.stored = true;
        saving.asked = false;
        saving.dirty_since = None;
        let until = now.checked_add(timeout).unwrap_or(Moment::LAST);
        saving.in_flight = Some(InFlight { outcome, mark, until, overdue: false, held });
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
                let error = "the store has not answered in time";
                self.not_saved(held, error);
                self.spare_if(true);
                self.ctx.hub().store_failed(self.ctx.vitals.key(), self.ctx.vitals.id(), StoreTask::Save, error);
                false
            }
            Some(Ok(())) => {
                let Some(InFlight { mark, held, .. }) = saving.in_flight.take() else { return false };
                saving.saved = Some(mark);
                saving.failures = 0;
                saving.retry_at = None;
                self.saved(held);
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
        self.spare_if(true);
        self.ctx.hub().store_failed(self.ctx.vitals.key(), self.ctx.vitals.id(), StoreTask::Save, error);
        self.give_up(now);
    }

    /// Replies that have waited too long.
    fn give_up(&mut self, now: Moment) {
        let over: Vec<_> =
            self.ctx.saving().held.extract_if(.., |held| held.until.is_some_and(|until| until <= now)).collect();
        self.not_saved(over, "the store could not save it in time");
    }

    /// What is on disk is what there is.
    fn is_current(&mut self) {
        let saving = self.ctx.saving();
        saving.asked = false;
        saving.dirty_since = None;
        let held = std::mem::take(&mut saving.held);
        self.saved(held);
    }

    fn saved(&mut self, held: Vec<Held>) {
        for held in held {
            held.deliver();
            self.ctx.end_work(Work::Passive);
        }
    }

    fn not_saved(&mut self, held: Vec<Held>, error: &str) {
        for held in held {
            held.fail(error);
            self.ctx.end_work(Work::Passive);
        }
    }

    /// Leaves the directory for the store, unless somebody has come at the last moment.
    fn go(&mut self, cx: &mut Context<'_>, taken: &mut Option<Envelope<A>>) -> Kept {
        let ctx = &mut self.ctx;
        if ctx.activity || ctx.is_stopping() || ctx.vitals.holds().has_counted_end() {
            return Kept::Rest;
        }
        // As before an idle end: see there.
        let (mailbox, locals, vitals) = (&mut ctx.mailbox, &ctx.locals, &ctx.vitals);
        let known = ctx.lifecycle.last_activity();
        let route = locals.hub.directory.leave_if(vitals, || {
            if let Poll::Ready(Some(envelope)) = Pin::new(mailbox).poll_next(cx) {
                *taken = Some(envelope);
                return false;
            }
            vitals.last_activity() <= known && !vitals.holds().has_counted_end() && vitals.holds().alive() == 0
        });
        let Some(route) = route else {
            return if taken.is_some() { Kept::Again } else { Kept::Rest };
        };
        drop(route);
        ctx.vitals.set_phase(VitalPhase::Draining);
        // Whoever is not served after this is told so; but its mail goes to the session that comes back.
        ctx.lifecycle.drain(EndReason::Shutdown, None);
        ctx.saving().passivated = true;
        Kept::Left
    }
}
