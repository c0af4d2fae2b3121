//! How a session leaves memory for the store: as before an idle end, it goes if nobody has come at the last moment.

use std::task::Context;

use actix::dev::Envelope;

use super::{context::SessionContext, saving::Kept, task::Body, traits::Session};
use crate::{event::EndReason, moment::Moment, policy::Mode};

impl<A: Session> SessionContext<A> {
    /// Whether the session stays in memory however long it rests, until this is taken back: for one that has something
    /// no store can keep, such as sockets. Its idle timeout and greatest age go on; at the cap it may have to leave all
    /// the same, and is told so in its last hooks. Not kept: one that comes back from the store is not resident.
    ///
    /// Once it is taken back, [`passivate_after`](crate::Limits::passivate_after) counts from the last activity, as
    /// ever. Without effect if the registry has no store.
    pub fn set_resident(&mut self, resident: bool) {
        if self.locals.keeps && resident != self.is_resident() {
            self.saving().resident = resident;
            // Its limits are others now, as it were: that has to be decided on.
            self.limits_changed = true;
        }
    }

    fn is_resident(&self) -> bool {
        self.known_saving().is_some_and(|saving| saving.resident)
    }
}

impl<A: Session> Body<A> {
    /// When it leaves memory if nothing happens. Not while it is granted more time at its idle deadline.
    pub(super) fn leaves_at(&self) -> Option<Moment> {
        let after = self.ctx.ruling.limits.passivate_after.filter(|_| !self.ctx.is_resident())?;
        let at = self.ctx.lifecycle.last_activity().checked_add(after)?;
        Some(self.ctx.lifecycle.extended().map_or(at, |until| until.max(at)))
    }

    pub(super) fn may_leave(&self) -> bool {
        !self.has_leftovers() && !self.ctx.lifecycle.is_draining() && self.ctx.hub().mode() == Mode::Enforce
    }

    pub(super) fn is_evicted(&self) -> bool {
        self.saving().is_some_and(|saving| saving.evicted)
    }

    /// It was asked to make room, and cannot: somebody else is asked.
    pub(super) fn spare_if(&mut self, cannot: bool) {
        if cannot && self.is_evicted() {
            self.ctx.saving().evicted = false;
            self.ctx.hub().spare(&self.ctx.vitals);
        }
    }

    /// It was asked to make room, and the store does not save it.
    pub(super) fn spare_unsaved(&mut self) {
        if self.is_evicted() {
            self.ctx.saving().evicted = false;
            self.ctx.hub().spare_unsaved(&self.ctx.vitals);
        }
    }

    /// Leaves the directory for the store, unless somebody has come at the last moment.
    pub(super) fn go(&mut self, cx: &mut Context<'_>, taken: &mut Option<Envelope<A>>) -> Kept {
        if !self.departs(cx, taken, |vitals| vitals.holds().alive() == 0) {
            return if taken.is_some() { Kept::Again } else { Kept::Rest };
        }
        // Whoever is not served after this is told so; but its mail goes to the session that comes back.
        self.ctx.lifecycle.drain(EndReason::Shutdown, None);
        self.ctx.saving().passivated = true;
        Kept::Left
    }
}
