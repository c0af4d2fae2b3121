//! The turn of a session that has nothing but mail, as nearly all turns are.
//!
//! It does what `Body::turn` would do and leaves out what that would find to be nothing: no wish, no wait, no item, no
//! reply in the making, no end. As soon as there is any of that, also by what a message has just done, it leaves the rest
//! of the turn, and the rest of its budget, to `Body::turn`.

use std::task::Context;

use actix::dev::Envelope;

use super::{running::Budget, task::Body, traits::Session};
use crate::moment::Moment;

impl<A: Session> Body<A> {
    /// Whether the next turn may be a plain one; asked at the end of every other.
    pub(super) fn is_plain(&self) -> bool {
        self.started
            && !self.has_unfinished_turn()
            && self.agenda.is_none()
            && self.ctx.extras.is_none()
            && !self.ctx.is_stopping()
            && !self.ctx.lifecycle.is_draining()
    }

    /// True if that was all of the turn. Otherwise `turn` has to follow, with what is left of the budget.
    #[inline]
    pub(super) fn plain_turn(
        &mut self,
        cx: &mut Context<'_>,
        budget: &mut Budget,
        taken: &mut Option<Envelope<A>>,
    ) -> bool {
        if !self.plain || self.ctx.vitals.has_wishes() {
            return false;
        }
        let mailbox_empty = self.take_mail(cx, budget, taken);
        mailbox_empty && self.ctx.extras.is_none() && !self.ctx.is_stopping() && self.rest_after_mail()
    }

    /// The mailbox is empty. True if nothing is to be decided.
    #[inline]
    fn rest_after_mail(&mut self) -> bool {
        self.seen_empty = true;
        let mut now = None;
        let news = self.note(&mut now);
        self.undecided = self.alarm_is_due(now) || news;
        !self.undecided
    }

    /// Whether the alarm is due at `now`, if the clock was read: then it does not ring any more.
    #[inline]
    pub(super) fn alarm_is_due(&self, now: Option<Moment>) -> bool {
        let (Some(now), Some(at)) = (now, self.ctx.vitals.alarm()) else { return false };
        let due = at <= now;
        if due {
            self.ctx.locals.alarms.unset(&self.ctx.vitals);
        }
        due
    }
}
