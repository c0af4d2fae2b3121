//! The loop that runs one session: it owns the actor and its context.
//!
//! Nearly every poll has to do with mail alone: see `plain.rs`, which does that and nothing else, or hands over what is left.
//! Ground rules of any other, in this order, and why:
//!
//! 1. The actor runs: waits, leftovers, mail, spawned items, all from one budget, so that a flood
//!    yields to the neighbours. Then the replies in the making, which no wait holds up.
//! 2. What happened is noted, with at most one look at the clock (one more if a plain turn came before).
//! 3. Is the alarm due? It has rung, which was taken with the wishes; or by that same instant, if the clock
//!    was read, as it is in a flood, where the alarms of the thread ring late. A message does not touch it.
//! 4. The lifecycle decides by that instant. Hooks are called right here, also while the actor is
//!    blocked in `ctx.wait`; what they spawn is run before the task rests.
//!
//! A panic anywhere in 1 to 4 is caught at one place, with everything of the user's still in the
//! task's fields, or beside the place where it is caught, so that nothing is dropped while unwinding; `ending.rs` drops it piece by piece.
//!
//! A registry may have a million sessions, and then what a message costs is how many lines of
//! memory it has to fetch. So fields are in the order of their use (`repr(C)`): first what every
//! message needs, in `Body`, in the context, in the lifecycle.

use std::{
    future::Future,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use actix::{Running, dev::Envelope};
use tokio::task::{coop::has_budget_remaining, yield_now};

use super::{
    context::{SessionContext, State},
    deciding::Decision,
    ending::{End, finish},
    inside,
    panics::panic_message,
    parcel::Parcel,
    running::{Agenda, Budget},
    span::SessionSpan,
    traits::Session,
};
use crate::{event::EndReason, moment::Moment};

/// A running session, as a future.
pub(crate) struct SessionTask<A: Session> {
    /// `None` once it has ended.
    body: Option<Body<A>>,
}

/// Nothing in it is pinned in place.
impl<A: Session> Unpin for SessionTask<A> {}

impl<A: Session> Drop for SessionTask<A> {
    /// Dropped before its end: the arbiter has stopped, or somebody aborted the task.
    fn drop(&mut self) {
        if let Some(body) = self.body.take() {
            finish(body, End::aborted());
        }
    }
}

/// Everything a session is made of.
#[repr(C)]
pub(super) struct Body<A: Session> {
    pub(super) act: A,
    pub(super) span: SessionSpan,
    /// Boxed on first use.
    pub(super) agenda: Option<Box<Agenda<A>>>,
    pub(super) started: bool,
    /// `stopping` has been called for this end.
    pub(super) asked_to_stop: bool,
    /// An end that was asked for from outside, to be begun.
    pub(super) forced: Option<EndReason>,
    /// The runtime's budget was used up before the replies had their turn: they come first now.
    replies_first: bool,
    /// The budget was spent in the middle of a decision, or a plain turn has found that something is to be decided.
    pub(super) undecided: bool,
    /// The mailbox has been seen empty once.
    pub(super) seen_empty: bool,
    /// The last turn spent its budget: this one is timed.
    flooded: bool,
    /// As far as the last turn could tell, the next has to do with mail alone.
    pub(super) plain: bool,
    pub(super) ctx: SessionContext<A>,
}

/// What the actor's turn left.
pub(super) struct Ran {
    /// The mailbox was seen empty, and no leftover waits.
    pub(super) mailbox_empty: bool,
    /// The budget ran out.
    pub(super) more: bool,
}

/// What the task does after a poll.
enum Turn {
    Rest {
        /// Whether there is more to do at once.
        again: Again,
        /// Look again by then, if something has moved nearer.
        wake_at: Option<Moment>,
    },
    End(End),
}

/// When the task is polled next, apart from wakers and the alarm.
enum Again {
    No,
    /// The budget was spent: at once, behind the neighbours.
    Soon,
    /// And that took long. Tasks that wake each other have many turns (61 of a `LocalSet`) before the runtime looks at
    /// timers and sockets again; of this one's, each of them would be late by all of those. So the timers come first.
    BehindTimers,
}

/// Of a turn that has spent its budget. A flood of messages that each take less than a microsecond stays below, and
/// 61 turns that do are some milliseconds.
const LONG: Duration = Duration::from_micros(64);

impl<A: Session> SessionTask<A> {
    pub(crate) fn new(act: A, span: SessionSpan, ctx: SessionContext<A>, leftovers: Vec<Parcel<A>>) -> Self {
        let agenda =
            (!leftovers.is_empty()).then(|| Box::new(Agenda { leftovers: leftovers.into(), ..Agenda::default() }));
        Self {
            body: Some(Body {
                act,
                span,
                agenda,
                started: false,
                asked_to_stop: false,
                forced: None,
                replies_first: false,
                undecided: false,
                seen_empty: false,
                flooded: false,
                plain: false,
                ctx,
            }),
        }
    }
}

impl<A: Session> Future for SessionTask<A> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let Some(body) = this.body.as_mut() else {
            return Poll::Ready(());
        };
        let _inside = inside::enter(Arc::as_ptr(body.ctx.hub()).cast());
        let span = body.span.clone();
        let _entered = span.enter();
        if !body.started {
            body.ctx.vitals.wake_with(cx.waker());
        }

        // Outside of what may unwind, or a message that panics would be dropped meanwhile.
        let mut taken = body.agenda.as_mut().and_then(|agenda| agenda.taken.take());
        let turn = catch_unwind(AssertUnwindSafe(|| {
            let mut budget = Budget::new();
            let plain = body.plain_turn(cx, &mut budget, &mut taken);
            (!plain).then(|| body.turn(cx, budget, &mut taken))
        }));
        if taken.is_some() {
            body.agenda.get_or_insert_default().taken = taken;
        }
        let end = match turn {
            Ok(None) => return Poll::Pending,
            Ok(Some(Turn::Rest { again, wake_at })) => {
                body.plain = body.is_plain();
                if let Some(deadline) = wake_at
                    && body.is_nearer(deadline)
                {
                    body.ctx.locals.alarms.set(&body.ctx.vitals, deadline);
                }
                match again {
                    Again::No => {}
                    Again::Soon => cx.waker().wake_by_ref(),
                    // Wakes the task when the driver has had its turn.
                    Again::BehindTimers => drop(pin!(yield_now()).poll(cx)),
                }
                return Poll::Pending;
            }
            Ok(Some(Turn::End(end))) => end,
            Err(payload) => End::panicked(panic_message(payload)),
        };
        if let Some(body) = this.body.take() {
            finish(body, end);
        }
        Poll::Ready(())
    }
}

impl<A: Session> Body<A> {
    /// `taken` is what was taken out of the mailbox: being handled, or next to be.
    #[inline(never)]
    fn turn(&mut self, cx: &mut Context<'_>, mut budget: Budget, taken: &mut Option<Envelope<A>>) -> Turn {
        // Whether something may be due although nothing happened.
        let mut due = mem::take(&mut self.undecided);
        let mut now = None;
        let begun = mem::take(&mut self.flooded).then(|| self.ctx.locals.clock.now());
        if !self.started {
            self.started = true;
            due = true;
            self.act.started(&mut self.ctx);
        }
        if self.ctx.message_handled {
            // In the plain turn before this: what was asked for meanwhile comes after it.
            due |= self.note(&mut None);
        }
        due |= self.take_wishes();
        // Of their own: a flood of the actor's must not stand between replies and their callers.
        let mut of_replies = Budget::new();
        let first = mem::take(&mut self.replies_first);
        if first {
            self.poll_replies(cx, &mut of_replies);
        }
        loop {
            let Ran { mailbox_empty, mut more } = self.run(cx, &mut budget, taken);
            self.seen_empty |= mailbox_empty;
            let unfinished = self.poll_replies(cx, &mut of_replies);
            // Not twice in a row, or replies that never rest would shut out the items in turn.
            self.replies_first = unfinished && !first;
            more |= unfinished;
            if self.ctx.is_stopping() {
                match self.stop_itself() {
                    Some(end) => return Turn::End(end),
                    // It changed its mind; what it spawned meanwhile has to run.
                    None if budget.step() => continue,
                    None => more = true,
                }
            }
            due |= self.note(&mut now);
            if more {
                // In a flood the timer is late: it fires when the runtime gets to it.
                now.get_or_insert_with(|| self.ctx.locals.clock.now());
            }
            due |= self.alarm_is_due(now);
            if !(due || self.ctx.lifecycle.is_draining()) {
                return Turn::Rest { again: self.again(more, begun, now), wake_at: None };
            }
            let moment = *now.get_or_insert_with(|| self.ctx.locals.clock.now());
            match self.decide(moment, mailbox_empty, cx, taken) {
                Decision::Rest => return Turn::Rest { again: self.again(more, begun, now), wake_at: self.wake_at() },
                Decision::Again if budget.step() => {
                    due = true;
                    // The hooks may have taken their time.
                    now = None;
                }
                // The hooks have had their share: the neighbours first, then it is decided again.
                Decision::Again => {
                    self.undecided = true;
                    return Turn::Rest { again: self.again(true, begun, now), wake_at: self.wake_at() };
                }
                Decision::End(end) => return Turn::End(end),
            }
        }
    }

    /// `more`: the budget of a turn that began at `begun`, if it was timed, is spent.
    fn again(&mut self, more: bool, begun: Option<Moment>, now: Option<Moment>) -> Again {
        self.flooded = more;
        match (more, begun, now) {
            (false, ..) => Again::No,
            (true, Some(begun), Some(now)) if now.saturating_since(begun) >= LONG => Again::BehindTimers,
            (true, ..) => Again::Soon,
        }
    }

    /// The next turn goes on with what this one could not finish.
    pub(super) fn has_unfinished_turn(&self) -> bool {
        self.undecided || self.replies_first || self.flooded || self.forced.is_some()
    }

    /// Whether the alarm, as it is set, would come too late.
    fn is_nearer(&self, deadline: Moment) -> bool {
        self.ctx.vitals.alarm().is_none_or(|at| deadline < at)
    }

    /// Finished replies. True if the budget ran out.
    #[inline]
    fn poll_replies(&mut self, cx: &mut Context<'_>, budget: &mut Budget) -> bool {
        self.ctx.extras.is_some() && self.poll_some_replies(cx, budget)
    }

    fn poll_some_replies(&mut self, cx: &mut Context<'_>, budget: &mut Budget) -> bool {
        loop {
            let Some(extras) = self.ctx.extras.as_mut().filter(|extras| !extras.replies.is_empty()) else {
                return false;
            };
            // Without budget of the runtime's, whatever they wait for would answer that it is not ready yet.
            if budget.is_spent() || !has_budget_remaining() {
                return true;
            }
            let Some(mut made) = extras.replies.poll_done(cx) else {
                return false;
            };
            budget.step();
            if let Some(held) = made.held.take() {
                self.ctx.hold_back(held);
            }
            made.log(self.span.is_off().then(|| self.ctx.vitals.key()));
            self.ctx.end_work(made.work);
        }
    }

    /// The session's own `ctx.stop()` or `ctx.terminate()`.
    fn stop_itself(&mut self) -> Option<End> {
        let draining = self.ctx.lifecycle.end_reason();
        if self.ctx.state == State::Stopping && !self.asked_to_stop {
            let answer = self.act.stopping(&mut self.ctx);
            if answer == Running::Continue && draining.is_none() && self.ctx.state != State::Stopped {
                self.ctx.state = State::Running;
                return None;
            }
        }
        self.asked_to_stop = true;
        if draining.is_none() {
            self.leave();
            self.ctx.lifecycle.drain(EndReason::Stopped, None);
        }
        Some(End::stopped(draining.unwrap_or(EndReason::Stopped)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Idle(#[allow(dead_code)] [u64; 2]);

    impl actix::Actor for Idle {
        type Context = SessionContext<Self>;
    }

    impl Session for Idle {}

    /// With tokio's own 104 bytes this task still fits into two of the 128-byte steps that tokio allocates tasks in;
    /// one byte more costs every session another step.
    #[test]
    fn a_task_with_two_words_of_state_takes_two_steps_of_memory() {
        assert!(size_of::<SessionTask<Idle>>() <= 152, "{} bytes", size_of::<SessionTask<Idle>>());
    }
}
