//! What has happened to a session since its task looked last: what others asked of it, and what it
//! did itself.

use super::{task::Body, traits::Session, wishes::Wishes};
use crate::{checkpoint::Checkpoint, event::EndReason, moment::Moment};

impl<A: Session> Body<A> {
    /// What was asked for from outside. True if something was.
    pub(super) fn take_wishes(&mut self) -> bool {
        let wishes = self.ctx.vitals.take_wishes();
        // The alarm wishes nothing but that it is decided.
        if wishes == Wishes::ALARM {
            return true;
        }
        if wishes.is_empty() {
            return false;
        }
        if wishes.has(Wishes::POLICY) {
            self.ctx.follow_policy();
        }
        if wishes.has(Wishes::OPENED) {
            // Not the instant of what the actor does after it, which may take its time.
            self.ctx.lifecycle.message(self.ctx.locals.clock.now());
        }
        if wishes.has(Wishes::EXTEND) {
            self.extend_as_granted();
        }
        if wishes.has(Wishes::SAVE) {
            self.ctx.saving().asked = true;
        }
        // Where there is a store, nobody has to end to make room.
        let evicted = wishes.has(Wishes::EVICT);
        if evicted && self.ctx.locals.keeps {
            self.ctx.saving().evicted = true;
        }
        self.forced = if wishes.has(Wishes::SHUTDOWN) {
            Some(EndReason::Shutdown)
        } else if wishes.has(Wishes::CLOSE) {
            Some(EndReason::Closed)
        } else if evicted && !self.ctx.locals.keeps {
            Some(EndReason::Evicted)
        } else {
            None
        };
        true
    }

    /// Notes what has happened since the last time. True if something may be due, or may have come
    /// nearer, so that it has to be decided on. Activity alone only moves a deadline away, and the
    /// alarm is left to find that out when it fires: this is all that an ordinary message costs.
    pub(super) fn note(&mut self, now: &mut Option<Moment>) -> bool {
        let ctx = &mut self.ctx;
        let vitals = &ctx.vitals;
        let holds = vitals.holds().take_news();
        let progress = ctx.progress || holds.moved;
        let mut activity = ctx.activity || holds.counted;
        ctx.holding = holds.alive > 0;
        // What the session's own clockwork does is seen only by looking.
        let clockwork = self.agenda.is_some() && ctx.locals.keeps && ctx.ruling.limits.checkpoint != Checkpoint::End;
        if !(progress || activity || ctx.message_handled || ctx.limits_changed || clockwork) {
            return false;
        }
        let now = *now.get_or_insert_with(|| ctx.locals.clock.now());
        let mut news = progress || ctx.limits_changed || ctx.lifecycle.has_warned();
        if ctx.message_handled && ctx.lifecycle.message(now) {
            // A virtual life begins as a real one does, also by a message that does not count.
            news = true;
            activity = true;
        }
        let changed = ctx.locals.keeps && (activity || ctx.message_handled || ctx.limits_changed || clockwork);
        let limits_changed = ctx.limits_changed;
        if activity {
            vitals.set_activity(ctx.lifecycle.activity(now));
        }
        if progress {
            ctx.lifecycle.progress(now);
            let in_flight = ctx.in_flight + ctx.waits + holds.alive;
            vitals.set_in_flight(in_flight, now);
        }
        ctx.progress = false;
        ctx.activity = false;
        ctx.message_handled = false;
        ctx.limits_changed = false;
        if changed {
            if limits_changed {
                ctx.forget_saved();
            }
            news |= ctx.note_change(now);
        }
        news
    }
}
