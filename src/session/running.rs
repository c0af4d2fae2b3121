//! One turn of the actor: waits, leftovers, mail and spawned items, in actix's order.
//!
//! The order of actix's own context, which users rely on: the most recent `wait` first, and while
//! one runs nothing else does; then the mailbox; then every spawned item, in the order they were
//! spawned until one is done, whose place the last one takes; a `wait` that one of them stages
//! comes before the rest; what a pass spawns comes after it, and after the mail that has come. What
//! differs: one budget bounds a turn, so that a session under a flood of mail, or one that notifies
//! itself, yields to its neighbours, and what a pass spawns is polled without polling everything
//! again.

use std::{
    collections::VecDeque,
    mem,
    pin::Pin,
    task::{Context, Poll},
};

use actix::{
    SpawnHandle,
    dev::{Envelope, EnvelopeProxy},
};
use futures_core::Stream;

use super::{
    items::{Item, Staged, Work},
    panics::drop_quietly,
    parcel::Parcel,
    task::{Body, Ran},
    traits::Session,
};

/// How a pass over the items ended.
enum Pass {
    Done,
    /// An item staged a `wait`, or cancelled others, or the budget is spent: from the top again.
    Again,
}

/// What a session has to run besides its mail; most have nothing of it.
pub(super) struct Agenda<A: Session> {
    pub(super) waits: Vec<Item<A>>,
    pub(super) items: Vec<Item<A>>,
    /// Mail of the predecessor's, handled before the session's own.
    pub(super) leftovers: VecDeque<Parcel<A>>,
    /// Taken out of the mailbox by an earlier poll, at the last moment before an end: comes first.
    pub(super) taken: Option<Envelope<A>>,
}

impl<A: Session> Default for Agenda<A> {
    fn default() -> Self {
        Self { waits: Vec::new(), items: Vec::new(), leftovers: VecDeque::new(), taken: None }
    }
}

/// How many more steps this poll may take.
#[derive(Debug)]
pub(super) struct Budget(usize);

impl Budget {
    /// Enough that a queue of ordinary length is handled in one go, little enough that the
    /// neighbours wait microseconds; as many messages as actix's own mailbox gives at a time.
    pub(super) fn new() -> Self {
        Self(256)
    }

    /// Takes a step, if there is one left.
    pub(super) fn step(&mut self) -> bool {
        let left = self.0 > 0;
        self.0 -= usize::from(left);
        left
    }

    /// The last one was taken for nothing.
    fn return_step(&mut self) {
        self.0 += 1;
    }

    /// What one item may handle in one poll.
    const OF_AN_ITEM: u8 = 128;

    /// Takes all that is left.
    fn spend(&mut self) {
        self.0 = 0;
    }

    pub(super) fn is_spent(&self) -> bool {
        self.0 == 0
    }
}

impl<A: Session> Body<A> {
    /// Runs the actor until it has nothing to do or the budget is spent.
    pub(super) fn run(&mut self, cx: &mut Context<'_>, budget: &mut Budget, taken: &mut Option<Envelope<A>>) -> Ran {
        self.merge();
        // Each item that there is now is polled once for nothing; every further poll is a step.
        let mut free = self.agenda.as_ref().map_or(0, |agenda| agenda.items.len());
        // The items before it have had their turn.
        let mut from = 0;
        loop {
            if self.poll_waits(cx, budget).is_pending() || self.ctx.is_stopping() {
                return Ran { mailbox_empty: false, more: budget.is_spent() };
            }
            let mailbox_empty = self.take_mail(cx, budget, taken);
            if self.merge_urgent() {
                from = 0;
            }
            if self.has_waits() {
                from = 0;
                continue;
            }
            match self.poll_items(cx, budget, &mut free, from) {
                Pass::Done if !self.ctx.has_staged() || self.ctx.is_stopping() => {
                    return Ran { mailbox_empty, more: budget.is_spent() };
                }
                // A step, or an item that waits for what is ready already would go on for ever.
                _ if !budget.step() => return Ran { mailbox_empty, more: true },
                Pass::Again => from = 0,
                Pass::Done => {
                    // Mail comes first, then what is new.
                    from = self.agenda.as_ref().map_or(0, |agenda| agenda.items.len());
                    if self.merge() {
                        from = 0;
                    }
                }
            }
        }
    }

    #[inline]
    fn has_waits(&self) -> bool {
        self.agenda.as_ref().is_some_and(|agenda| !agenda.waits.is_empty())
    }

    /// Runs the waits, the most recent first. Pending while one of them is.
    fn poll_waits(&mut self, cx: &mut Context<'_>, budget: &mut Budget) -> Poll<()> {
        while !self.ctx.is_stopping() {
            let Some(wait) = self.agenda.as_mut().and_then(|agenda| agenda.waits.last_mut()) else {
                return Poll::Ready(());
            };
            if !budget.step() {
                return Poll::Pending;
            }
            let work = wait.work;
            self.ctx.set_origin(work);
            let polled = wait.poll(&mut self.act, &mut self.ctx, cx);
            self.ctx.set_origin(Work::Clockwork);
            if polled.is_pending() {
                if self.ctx.is_stopping() {
                    // As in actix: a stop ends the wait.
                    break;
                }
                return Poll::Pending;
            }
            let done = self.agenda.as_mut().and_then(|agenda| agenda.waits.pop());
            self.ctx.end_wait(work);
            drop(done);
            self.merge();
        }
        Poll::Ready(())
    }

    /// Handles leftovers, then mail. True if there was no more.
    #[inline(always)]
    pub(super) fn take_mail(
        &mut self,
        cx: &mut Context<'_>,
        budget: &mut Budget,
        taken: &mut Option<Envelope<A>>,
    ) -> bool {
        while self.ctx.waits == 0 && !self.ctx.is_stopping() {
            if !budget.step() {
                return false;
            }
            // It is there already if it was taken at the last moment before an idle end. Handled in its place: a panic
            // must not drop it while unwinding.
            let envelope = match &mut *taken {
                Some(taken) => taken,
                none => {
                    let leftover = self.agenda.as_mut().and_then(|agenda| agenda.leftovers.pop_front());
                    let next = match leftover {
                        Some(parcel) => Envelope::with_proxy(parcel),
                        None => match Pin::new(&mut self.ctx.mailbox).poll_next(cx) {
                            Poll::Ready(Some(envelope)) => envelope,
                            Poll::Ready(None) | Poll::Pending => {
                                budget.return_step();
                                return true;
                            }
                        },
                    };
                    none.insert(next)
                }
            };
            envelope.handle(&mut self.act, &mut self.ctx);
            *taken = None;
        }
        false
    }

    /// Polls every item once, from one on. What they spawn stays staged.
    fn poll_items(&mut self, cx: &mut Context<'_>, budget: &mut Budget, free: &mut usize, from: usize) -> Pass {
        let mut index = from;
        while !self.ctx.is_stopping() {
            let Some(item) = self.agenda.as_mut().and_then(|agenda| agenda.items.get_mut(index)) else {
                break;
            };
            // By number, not by place: one that is done is replaced by the last, which may be new.
            if *free > 0 {
                *free -= 1;
            } else if !budget.step() {
                return Pass::Again;
            }
            let work = item.work;
            self.ctx.set_current(item.handle);
            self.ctx.set_origin(work);
            self.ctx.be_patient(Budget::OF_AN_ITEM);
            let polled = item.poll(&mut self.act, &mut self.ctx, cx);
            if self.ctx.was_impatient() {
                // It has more, and has not left a waker.
                budget.spend();
            }
            self.ctx.set_origin(Work::Clockwork);
            self.ctx.set_current(SpawnHandle::default());
            if polled.is_ready() {
                let Some(agenda) = self.agenda.as_mut() else { break };
                let done = agenda.items.swap_remove(index);
                self.ctx.end_work(work);
                drop(done);
            }
            let cancelled = self.merge_urgent();
            if self.has_waits() && !self.ctx.is_stopping() {
                if let (Poll::Pending, Some(agenda)) = (polled, self.agenda.as_mut()) {
                    // To the end of the line, or it could keep the others waiting for ever.
                    let last = agenda.items.len() - 1;
                    agenda.items.swap(index.min(last), last);
                }
                return Pass::Again;
            }
            if cancelled {
                // The list has moved under the index.
                return Pass::Again;
            }
            if polled.is_pending() {
                index += 1;
            }
        }
        Pass::Done
    }

    /// Carries out what handlers staged, if some of it cannot wait until the items have had their turn.
    fn merge_urgent(&mut self) -> bool {
        (self.ctx.waits > 0 || self.ctx.has_cancelled()) && self.merge()
    }

    /// Carries out what handlers staged. True if running items were removed.
    #[inline]
    fn merge(&mut self) -> bool {
        self.ctx.has_staged() && self.merge_staged()
    }

    fn merge_staged(&mut self) -> bool {
        let agenda = self.agenda.get_or_insert_default();
        let mut removed = Vec::new();
        let mut staged = mem::take(&mut self.ctx.extras().staged);
        for staged in staged.drain(..) {
            match staged {
                Staged::Spawn(item) => agenda.items.push(item),
                Staged::Wait(item) => agenda.waits.push(item),
                Staged::Cancel(handle) => {
                    if let Some(index) = agenda.items.iter().position(|item| item.handle == handle) {
                        removed.push(agenda.items.swap_remove(index));
                    }
                }
            }
        }
        self.ctx.extras().cancelled = false;
        // Its buffer serves again.
        self.ctx.extras().staged = staged;
        let cancelled = !removed.is_empty();
        let mut panic = None;
        for item in removed {
            self.ctx.end_work(item.work);
            // One at a time and caught, so that none is dropped while unwinding from another.
            panic = drop_quietly(item).or(panic);
        }
        if let Some(panic) = panic {
            std::panic::resume_unwind(Box::new(panic));
        }
        cancelled
    }
}
