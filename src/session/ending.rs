//! The end of a session, in the order that lets nothing slip away.
//!
//! It is out of the directory by now, or goes out first. Then, and why in this order:
//!
//! 1. `stopping` and `stopped`, never after a panic, on an actor whose mailbox is still open.
//! 2. What is in flight is counted, then the context and the actor are dropped, each piece caught
//!    by itself; callers who still wait are told why by the scope around it.
//! 3. The mailbox closes; what was still in it is collected. Where sessions are kept in a store, it is told; the rest
//!    waits for its answer (`farewell.rs`).
//! 4. Under the entry lock: is there a successor, or must one be made for the leftovers?
//! 5. `Ended` is published.
//! 6. The entry is released: the successor starts with the leftovers and inherits the slot, or the
//!    slot is freed.
//! 7. Whoever waits for the end is told, and finds all of that done; the messages that nobody will
//!    handle are dropped, and their callers told.
//!
//! From 4 on it is `parting.rs`. Until 6 the key is marked as ending, so a successor can neither start nor publish before.

use std::{
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use super::{
    caller::because,
    context::{SessionContext, State},
    detached,
    farewell::Farewell,
    held::Held,
    items::Work,
    panics::{drop_quietly, panic_message},
    parcel::collect,
    parting::Parting,
    running::Agenda,
    span::SessionSpan,
    task::Body,
    traits::Session,
};
use crate::{
    capacity::Permit,
    error::Unserved,
    event::{EndReason, Ended},
    moment::Moment,
};

/// How a session comes to its end.
#[derive(Debug)]
pub(super) struct End {
    pub(super) reason: EndReason,
    pub(super) panic: Option<String>,
    /// Replies made outside of the context are cut too. Where the actor ends by itself they go on
    /// without it, as they would in actix.
    cut_replies: bool,
    /// The thread is being torn down: there is no runtime any more.
    pub(super) aborted: bool,
    /// It leaves memory for the store, which has it.
    pub(super) passivated: bool,
}

impl End {
    /// At rest, or `hard`: cut by the limits.
    pub(super) fn new(reason: EndReason, hard: bool) -> Self {
        Self { reason, panic: None, cut_replies: hard, aborted: false, passivated: false }
    }

    /// The session's own `ctx.stop()`.
    pub(super) fn stopped(reason: EndReason) -> Self {
        Self::new(reason, false)
    }

    pub(super) fn panicked(panic: String) -> Self {
        Self { panic: Some(panic), ..Self::new(EndReason::Panicked, false) }
    }

    /// The arbiter goes away, and everything on it.
    pub(super) fn aborted() -> Self {
        Self { aborted: true, ..Self::new(EndReason::Aborted, true) }
    }

    /// At rest, and the store has it.
    pub(super) fn passivated() -> Self {
        Self { passivated: true, ..Self::new(EndReason::Shutdown, false) }
    }

    /// Keeps the first panic; it outranks every other reason.
    fn note_panic(&mut self, panic: Option<String>) {
        if let Some(panic) = panic {
            self.reason = EndReason::Panicked;
            self.panic.get_or_insert(panic);
        }
    }

    pub(super) fn unserved(&self) -> Unserved {
        Unserved::Ended { reason: self.reason, panic: self.panic.clone() }
    }
}

/// Ends the session. Never panics, whatever the user's code does.
pub(super) fn finish<A: Session>(mut body: Body<A>, mut end: End) {
    // The slot it has had since it started. First, so that it is free again whatever comes.
    let permit = Permit::new(Arc::clone(body.ctx.hub()));
    body.ctx.locals.alarms.unset(&body.ctx.vitals);
    // A panic or an abort comes here straight away.
    if body.ctx.lifecycle.end_reason().is_none() {
        body.leave();
        body.ctx.lifecycle.drain(end.reason, None);
    }
    let farewell = if body.ctx.locals.keeps { Farewell::of(&mut body, &end) } else { Farewell::nothing() };
    last_hooks(&mut body, &mut end);
    let (parting, span, held) = dismantle(body, permit, end, farewell.held);
    farewell.store.settle(parting, span, held);
}

/// Step 1.
fn last_hooks<A: Session>(body: &mut Body<A>, end: &mut End) {
    if end.panic.is_some() || std::thread::panicking() {
        return;
    }
    let hooks = catch_unwind(AssertUnwindSafe(|| {
        if !body.started {
            // As in actix: an actor that is dropped before its first turn has all of its life.
            body.started = true;
            body.act.started(&mut body.ctx);
        }
        if !body.asked_to_stop {
            body.ctx.state = State::Stopping;
            // Too late for `Running::Continue`.
            let _ = body.act.stopping(&mut body.ctx);
        }
        body.ctx.state = State::Stopped;
        body.act.stopped(&mut body.ctx);
    }));
    end.note_panic(hooks.err().map(panic_message));
}

impl<A: Session> Body<A> {
    /// How long it was idle. What the task has not noted yet counts as well: the message that
    /// stopped the session or made it panic, an `open` just before.
    fn idle(&self, now: Moment) -> Duration {
        let ctx = &self.ctx;
        if self.in_flight() > 0 || ctx.activity || ctx.origin() == Work::Counted {
            return Duration::ZERO;
        }
        let noted = ctx.lifecycle.last_activity().max(ctx.vitals.last_activity());
        now.saturating_since(noted)
    }
}

/// Steps 2 and 3.
fn dismantle<A: Session>(
    body: Body<A>,
    permit: Permit<A>,
    mut end: End,
    mut held: Vec<Held>,
) -> (Parting<A>, SessionSpan, Vec<Held>) {
    let now = body.ctx.locals.clock.now();
    // What is held is made; it is not cut.
    let in_flight = body.in_flight().saturating_sub(u32::try_from(held.len()).unwrap_or(u32::MAX));
    let idle = body.idle(now);
    let late = end.reason.is_deadline().then(|| body.ctx.vitals.late());
    let Body { act, ctx, agenda, span, seen_empty, .. } = body;
    let SessionContext { mailbox, vitals, locals, extras, .. } = ctx;
    let hub = Arc::clone(&locals.hub);
    let (staged, replies) = match extras {
        Some(mut extras) => (mem::take(&mut extras.staged), Some(mem::take(&mut extras.replies))),
        None => (Vec::new(), None),
    };
    let Agenda { waits, items, leftovers, taken } = agenda.map(|agenda| *agenda).unwrap_or_default();

    // Tracked replies that are not cut, though they were in flight.
    let mut not_cut = 0;
    because(end.unserved(), || {
        for item in waits.into_iter().chain(items) {
            end.note_panic(drop_quietly(item));
        }
        for staged in staged {
            end.note_panic(drop_quietly(staged));
        }
        end.note_panic(drop_quietly(act));
        let Some(mut replies) = replies.filter(|replies| !replies.is_empty()) else { return };
        // A thread that is being torn down has no runtime for them any more.
        if !end.aborted {
            not_cut += replies.last_look(vitals.key(), &mut held);
        }
        if end.cut_replies || replies.is_empty() {
            end.note_panic(drop_quietly(replies));
        } else {
            not_cut += replies.tracked();
            detached::run_on(replies, Arc::clone(&hub), vitals.key().clone(), end.unserved());
        }
    });

    let mut mail = Vec::new();
    because(end.unserved(), || {
        // In the order in which they came: one that was taken out but not handled, what the
        // predecessor left, what is in the mailbox.
        if taken.is_some() {
            mail.extend(collect(|| end.note_panic(drop_quietly(taken))));
        }
        mail.extend(leftovers);
        mail.extend(collect(|| end.note_panic(drop_quietly(mailbox))));
    });
    let ended = Ended {
        reason: end.reason,
        age: now.saturating_since(vitals.opened()),
        idle,
        late,
        handled: vitals.handled(),
        cut: in_flight.saturating_sub(not_cut),
        handed_over: 0,
        dropped: 0,
        panic: end.panic.clone(),
    };
    (Parting { now, vitals, hub, permit, mail, ended, end, seen_empty }, span, held)
}
