//! One turn of the actor: waits, leftovers, mail and spawned items, in actix's order.
//!
//! The order of actix's own context, which users rely on: the most recent `wait` first, and while
//! one runs nothing else does; then the mailbox; then every spawned item, in the order they were
//! spawned, each once; a `wait` that one of them stages comes before the rest. What differs: one
//! budget bounds a turn, so that a session under a flood of mail, or one that notifies itself,
//! yields to its neighbours, and what a pass spawns is polled once instead of polling everything
//! again.

use std::{
    mem,
    pin::Pin,
    task::{Context, Poll},
};

use actix::{
    AsyncContext, SpawnHandle,
    dev::{Envelope, EnvelopeProxy},
};
use futures_core::Stream;

use super::{
    items::{Staged, Work},
    panics::drop_quietly,
    task::{Body, Ran},
    traits::Session,
};

/// How a pass over the items ended.
enum Pass {
    Done,
    /// An item staged a `wait`, or cancelled others: from the top again.
    Again,
    /// The budget ran out before everything new was polled.
    OutOfBudget,
}

impl<A: Session> Body<A> {
    /// Runs the actor until it has nothing to do or the budget is used up.
    pub(super) fn run(&mut self, cx: &mut Context<'_>, budget: &mut usize) -> Ran {
        self.merge();
        loop {
            if self.poll_waits(cx).is_pending() || self.ctx.is_stopping() {
                return Ran { mailbox_empty: false, more: false };
            }
            let mailbox_empty = self.take_mail(cx, budget);
            self.merge();
            if !self.waits.is_empty() {
                continue;
            }
            match self.poll_items(cx, budget) {
                Pass::Again => continue,
                Pass::Done => {
                    return Ran { mailbox_empty, more: *budget == 0 };
                }
                Pass::OutOfBudget => {
                    return Ran { mailbox_empty, more: true };
                }
            }
        }
    }

    /// Runs the waits, the most recent first. Pending while one of them is.
    fn poll_waits(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while !self.ctx.is_stopping() {
            let Some(last) = self.waits.len().checked_sub(1) else {
                return Poll::Ready(());
            };
            let work = self.waits[last].work;
            self.ctx.set_origin(work);
            let polled = self.waits[last].poll(&mut self.act, &mut self.ctx, cx);
            self.ctx.set_origin(Work::Clockwork);
            if polled.is_pending() {
                if self.ctx.is_stopping() {
                    // As in actix: a stop ends the wait.
                    break;
                }
                return Poll::Pending;
            }
            let done = self.waits.remove(last);
            self.ctx.end_wait(work);
            drop(done);
            self.merge();
        }
        Poll::Ready(())
    }

    /// Handles leftovers, then mail. True if there was no more.
    fn take_mail(&mut self, cx: &mut Context<'_>, budget: &mut usize) -> bool {
        while !self.ctx.waiting() {
            if *budget == 0 {
                return false;
            }
            // Taken at the last moment before an idle end that was called off.
            if self.taken.is_none() {
                self.taken = match self.leftovers.pop_front() {
                    Some(parcel) => Some(Envelope::with_proxy(parcel)),
                    None => match Pin::new(&mut self.ctx.mailbox).poll_next(cx) {
                        Poll::Ready(envelope) => envelope,
                        Poll::Pending => None,
                    },
                };
            }
            // Handled in its place: a panic must not drop it while unwinding.
            let Some(envelope) = self.taken.as_mut() else {
                return true;
            };
            *budget -= 1;
            envelope.handle(&mut self.act, &mut self.ctx);
            self.taken = None;
        }
        false
    }

    /// Polls every item once, and what they spawn as long as the budget lasts.
    fn poll_items(&mut self, cx: &mut Context<'_>, budget: &mut usize) -> Pass {
        let mut index = 0;
        // Those at or beyond it were spawned during this pass.
        let mut old = self.items.len();
        while index < self.items.len() && !self.ctx.is_stopping() {
            if index >= old {
                if *budget == 0 {
                    return Pass::OutOfBudget;
                }
                *budget -= 1;
            }
            let item = &mut self.items[index];
            let work = item.work;
            self.ctx.current = item.handle;
            self.ctx.set_origin(work);
            let polled = item.poll(&mut self.act, &mut self.ctx, cx);
            self.ctx.set_origin(Work::Clockwork);
            self.ctx.current = SpawnHandle::default();
            if polled.is_ready() {
                let done = self.items.swap_remove(index);
                old = old.min(self.items.len());
                self.ctx.end_work(work);
                drop(done);
            }
            let cancelled = self.merge();
            if !self.waits.is_empty() && !self.ctx.is_stopping() {
                if polled.is_pending() && index + 1 < self.items.len() {
                    // To the end of the line, or it could keep the others waiting for ever.
                    let last = self.items.len() - 1;
                    self.items.swap(index, last);
                }
                return Pass::Again;
            }
            if cancelled {
                // The list has moved under the index.
                if *budget == 0 {
                    return Pass::OutOfBudget;
                }
                *budget -= 1;
                return Pass::Again;
            }
            if polled.is_pending() {
                index += 1;
            }
        }
        Pass::Done
    }

    /// Carries out what handlers staged. True if running items were removed.
    fn merge(&mut self) -> bool {
        if self.ctx.staged.is_empty() {
            return false;
        }
        let mut removed = Vec::new();
        let mut staged = mem::take(&mut self.ctx.staged);
        for staged in staged.drain(..) {
            match staged {
                Staged::Spawn(item) => self.items.push(item),
                Staged::Wait(item) => self.waits.push(item),
                Staged::Cancel(handle) => {
                    if let Some(index) = self.items.iter().position(|item| item.handle == handle) {
                        removed.push(self.items.swap_remove(index));
                    }
                }
            }
        }
        // Its buffer serves again.
        self.ctx.staged = staged;
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
