//! What becomes of a session after a poll: carries out what its lifecycle says.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use actix::dev::Envelope;
use futures_core::Stream;

use super::{
    ending::End,
    lifecycle::{Action, Load, earlier},
    saving::Kept,
    task::Body,
    traits::{Expiry, Session, Warning},
    vitals::{VitalPhase, Vitals},
};
use crate::{event::EndReason, event::EventKind, moment::Moment};

/// What the task does next.
pub(super) enum Decision {
    Rest,
    /// A hook was called: run what it spawned, then decide again.
    Again,
    End(End),
}

impl<A: Session> Body<A> {
    /// Does whatever is due at `now`.
    pub(super) fn decide(
        &mut self,
        now: Moment,
        mailbox_empty: bool,
        cx: &mut Context<'_>,
        taken: &mut Option<Envelope<A>>,
    ) -> Decision {
        // It may have come while this turn decided, and then the session does not depart.
        if self.ctx.vitals.has_grant() {
            self.extend_as_granted();
        }
        // Whoever opened the key has touched it there.
        self.ctx.lifecycle.activity(self.ctx.vitals.last_activity());
        let mut load = self.ctx.load(mailbox_empty);
        let mut again = false;
        if let Some(reason) = self.forced.take() {
            let until = match reason {
                // The shutdown's own timeout stands in for `drain_timeout`.
                EndReason::Shutdown => self.ctx.hub().shutdown.deadline().map(|at| self.ctx.hub().clock.moment(at)),
                _ => self.drain_until(now),
            };
            again |= self.begin_drain(now, reason, until, load);
        }
        while !again {
            let limits = self.ctx.ruling.limits;
            match self.ctx.lifecycle.next(now, load, &limits) {
                Action::Rest => break,
                Action::Warn { reason, remaining } => {
                    self.ctx.vitals.set_warned();
                    self.publish(now, EventKind::Warned { reason, remaining });
                    let warning = Warning { reason, remaining };
                    self.act.warned(warning, &mut self.ctx);
                    again = true;
                }
                Action::WouldEnd { reason, busy } => {
                    self.publish(now, EventKind::WouldEnd { reason, busy });
                }
                // The budget was spent before the mailbox was seen empty: what is in it comes first.
                Action::Consult if !mailbox_empty && !self.ctx.lifecycle.is_too_old(now, &limits) => break,
                // Nobody calls off max age.
                Action::Consult if !mailbox_empty => {
                    self.note_lateness(now, self.ctx.lifecycle.due_at(EndReason::MaxAge, load, &limits));
                    again = self.begin_drain(now, EndReason::MaxAge, self.drain_until(now), load);
                }
                Action::Consult => {
                    let due = self.ctx.lifecycle.due_at(EndReason::IdleTimeout, load, &limits);
                    again = !self.goes_idle(now, cx, taken);
                    if !again {
                        self.note_lateness(now, due);
                        // The hook may have begun something, a goodbye: it has until the end of the drain.
                        load = self.ctx.load(true);
                        again = self.announce_drain(now, EndReason::IdleTimeout, load);
                    }
                }
                Action::Drain { reason } => {
                    let until = match reason {
                        // Its work has had its time.
                        EndReason::Stuck => Some(now),
                        _ => self.drain_until(now),
                    };
                    self.note_lateness(now, self.ctx.lifecycle.due_at(reason, load, &limits));
                    again = self.begin_drain(now, reason, until, load);
                }
                // What the last piece of work sent to its own session came after the look at the mailbox.
                Action::End { hard: false, .. } if self.mail_has_come(cx, taken) => again = true,
                Action::End { reason, hard } => return Decision::End(End::new(reason, hard)),
            }
        }
        if again {
            return Decision::Again;
        }
        if self.ctx.locals.keeps {
            match self.keep(now, load, cx, taken) {
                // What was held back has left: that has to be noted, and may have been the last there was to wait for.
                Kept::Rest if self.ctx.progress => return Decision::Again,
                Kept::Rest => {}
                Kept::Again => return Decision::Again,
                Kept::Left => return Decision::End(End::passivated()),
            }
        }
        let lifecycle = &self.ctx.lifecycle;
        let fixed = lifecycle.fixed_end(&self.ctx.ruling.limits);
        self.ctx.vitals.set_expiry(fixed, lifecycle.extended());
        Decision::Rest
    }

    /// It begins to end because of what was due then.
    fn note_lateness(&self, now: Moment, due: Option<Moment>) {
        self.ctx.vitals.set_due(due, now);
    }

    /// The idle deadline has passed: asks the session, then leaves the directory unless somebody
    /// came in at the last moment. True if it has left.
    fn goes_idle(&mut self, now: Moment, cx: &mut Context<'_>, taken: &mut Option<Envelope<A>>) -> bool {
        match self.act.expiring(&mut self.ctx) {
            Expiry::Extend(by) if !by.is_zero() => {
                self.ctx.lifecycle.extend(now, by);
                if self.ctx.locals.keeps {
                    self.ctx.note_change(now);
                }
                self.publish(now, EventKind::Extended { by });
                return false;
            }
            Expiry::Extend(_) | Expiry::End => {}
        }
        if taken.is_some() || self.has_leftovers() || !self.departs(cx, taken, |_| true) {
            return false;
        }
        let until = self.drain_until(now);
        self.ctx.lifecycle.drain(EndReason::IdleTimeout, until);
        self.ctx.holding = self.ctx.vitals.holds().alive() > 0;
        true
    }

    /// Mail of its predecessor's waits.
    pub(super) fn has_leftovers(&self) -> bool {
        self.agenda.as_ref().is_some_and(|agenda| !agenda.leftovers.is_empty())
    }

    /// Leaves the directory at rest, unless somebody has come in at the last moment, or `may` says no under the lock.
    pub(super) fn departs(
        &mut self,
        cx: &mut Context<'_>,
        taken: &mut Option<Envelope<A>>,
        may: impl FnOnce(&Vitals) -> bool,
    ) -> bool {
        let ctx = &mut self.ctx;
        // A hook may have touched the session, stopped it, or ended a piece of work.
        if ctx.activity || ctx.is_stopping() || ctx.vitals.holds().has_counted_end() {
            return false;
        }
        // Under the entry lock nobody can come in through the registry, so what is seen now is
        // final; who holds an `Addr` may still send, and that mail goes to the successor.
        let (mailbox, locals, vitals) = (&mut ctx.mailbox, &ctx.locals, &ctx.vitals);
        let known = ctx.lifecycle.last_activity();
        let route = locals.hub.directory.leave_if(vitals, || {
            if let Poll::Ready(Some(envelope)) = Pin::new(mailbox).poll_next(cx) {
                *taken = Some(envelope);
                return false;
            }
            vitals.last_activity() <= known && !vitals.holds().has_counted_end() && !vitals.has_grant() && may(vitals)
        });
        let Some(route) = route else { return false };
        drop(route);
        self.ctx.vitals.set_phase(VitalPhase::Draining);
        true
    }

    /// Takes a message out of the mailbox, to be handled next, if there is one.
    fn mail_has_come(&mut self, cx: &mut Context<'_>, taken: &mut Option<Envelope<A>>) -> bool {
        if taken.is_none()
            && let Poll::Ready(envelope) = Pin::new(&mut self.ctx.mailbox).poll_next(cx)
        {
            *taken = envelope;
        }
        taken.is_some()
    }

    /// Leaves the directory and finishes what there is. True if a hook was called.
    fn begin_drain(&mut self, now: Moment, reason: EndReason, until: Option<Moment>, load: Load) -> bool {
        if self.ctx.lifecycle.is_draining() {
            // Only a shutdown brings the hard end nearer; the first reason stays.
            if reason == EndReason::Shutdown {
                self.ctx.lifecycle.drain(reason, until);
            }
            return false;
        }
        self.leave();
        self.ctx.lifecycle.drain(reason, until);
        self.announce_drain(now, reason, load)
    }

    /// Says that it drains, unless there is nothing to wait for. True if a hook was called.
    fn announce_drain(&mut self, now: Moment, reason: EndReason, load: Load) -> bool {
        if load.at_rest {
            return false;
        }
        self.publish(now, EventKind::Draining { reason, in_flight: self.in_flight() });
        if reason == EndReason::Stuck {
            return false;
        }
        self.act.draining(reason, &mut self.ctx);
        true
    }

    /// Takes the session out of the directory: from here on `open` makes a successor.
    pub(super) fn leave(&mut self) {
        if self.ctx.locals.keeps && self.ctx.lifecycle.extended().is_some() {
            self.ctx.saving().extended = self.ctx.lifecycle.extended();
        }
        let vitals = &self.ctx.vitals;
        vitals.set_phase(VitalPhase::Draining);
        let route = self.ctx.hub().directory.leave_if(vitals, || true);
        // Dropped only now, outside of the entry lock.
        drop(route);
    }

    /// When a drain that begins at `now` is ended hard.
    pub(super) fn drain_until(&self, now: Moment) -> Option<Moment> {
        let timeout = self.ctx.ruling.limits.drain_timeout?;
        now.checked_add(timeout)
    }

    /// Pieces of work in flight: replies, waits, holds.
    pub(super) fn in_flight(&self) -> u32 {
        self.ctx.in_flight + self.ctx.waits + self.ctx.vitals.holds().alive()
    }

    /// When the task has to look again if nothing wakes it.
    pub(super) fn wake_at(&self) -> Option<Moment> {
        let limits = &self.ctx.ruling.limits;
        let at = self.ctx.lifecycle.wake_at(self.ctx.load(false), limits);
        earlier(at, self.keep_at())
    }

    /// Somebody outside has asked for more time.
    pub(super) fn extend_as_granted(&mut self) {
        let until = self.ctx.vitals.take_grant();
        let now = self.ctx.locals.clock.now();
        let Some(by) = self.ctx.lifecycle.grant(now, until) else { return };
        if self.ctx.locals.keeps {
            self.ctx.note_change(now);
        }
        self.publish(now, EventKind::Extended { by });
    }

    fn publish(&self, now: Moment, kind: EventKind) {
        let vitals = &self.ctx.vitals;
        tracing::debug!(event = ?kind, "session");
        self.ctx.hub().journal.publish(now, vitals.key(), vitals.id(), kind);
    }
}
