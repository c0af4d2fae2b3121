//! What is read of it from outside: for pictures of a session, and to choose whom to evict.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use super::{NEVER, VitalPhase, Vitals};
use crate::{
    clock::Clock,
    event::{EndReason, Phase},
    info::SessionInfo,
    limits::EffectiveLimits,
    moment::Moment,
    rules::{AppliedRule, Ruling},
    session::lifecycle::earlier,
};

impl Vitals {
    pub(crate) fn host(&self) -> usize {
        self.host.load(Ordering::Relaxed).into()
    }

    pub(crate) fn opened(&self) -> Moment {
        Moment::of_nanos(self.opened.load(Ordering::Relaxed))
    }

    pub(crate) fn last_activity(&self) -> Moment {
        Moment::of_nanos(self.last_activity.load(Ordering::Relaxed))
    }

    pub(crate) fn is_busy(&self) -> bool {
        self.in_flight.load(Ordering::Relaxed) > 0 || self.holds.alive() > 0
    }

    /// When it will end if nothing more happens; `None` is never.
    pub(crate) fn expires_at(&self) -> Option<Moment> {
        let fixed_end = match self.fixed_end.load(Ordering::Relaxed) {
            NEVER => None,
            nanos => Some(Moment::of_nanos(nanos)),
        };
        if self.phase() == VitalPhase::Draining || self.is_busy() {
            return fixed_end;
        }
        let idle_timeout = self.ruling.lock().as_ref().and_then(|ruling| ruling.limits.idle_timeout);
        let extended = Moment::of_nanos(self.extended.load(Ordering::Relaxed));
        let idle_end =
            idle_timeout.and_then(|limit| self.last_activity().checked_add(limit)).map(|at| at.max(extended));
        match (idle_end, fixed_end) {
            (Some(idle), Some(fixed)) => Some(idle.min(fixed)),
            (idle, fixed) => idle.or(fixed),
        }
    }

    pub(crate) fn ruling(&self) -> Option<Arc<Ruling>> {
        self.ruling.lock().clone()
    }

    /// As what it would be over by these limits, if it is not ending already.
    pub(crate) fn over(&self, now: Moment, limits: &EffectiveLimits) -> Option<EndReason> {
        let passed = |since: Moment, limit: Option<Duration>| {
            limit.and_then(|limit| since.checked_add(limit)).is_some_and(|at| at <= now)
        };
        if self.phase() != VitalPhase::Active {
            return None;
        }
        if passed(self.opened(), limits.max_age) {
            return Some(EndReason::MaxAge);
        }
        if !self.is_busy() {
            let extended = Moment::of_nanos(self.extended.load(Ordering::Relaxed)) > now;
            return (!extended && passed(self.last_activity(), limits.idle_timeout)).then_some(EndReason::IdleTimeout);
        }
        let since = match self.busy_since.load(Ordering::Relaxed) {
            NEVER => return None,
            nanos => Moment::of_nanos(nanos),
        };
        passed(since, limits.max_busy).then_some(EndReason::Stuck)
    }

    /// When it will have left memory, for good or for a store, if nothing more happens; `None` is never.
    pub(crate) fn makes_room_at(&self) -> Option<Moment> {
        let rests_for = self.ruling.lock().as_ref().and_then(|ruling| ruling.limits.passivate_after);
        let leaves = rests_for.filter(|_| !self.is_busy()).and_then(|limit| self.last_activity().checked_add(limit));
        earlier(self.expires_at(), leaves)
    }

    /// A picture of the session at `now`.
    pub(crate) fn info(&self, clock: &Clock, now: Moment) -> SessionInfo {
        let ruling = self.ruling.lock().clone();
        let (limits, rule) = match &ruling {
            Some(ruling) => (ruling.limits, ruling.rule.clone()),
            None => (Default::default(), AppliedRule::Default),
        };
        let opened = self.opened();
        let busy_since = match self.busy_since.load(Ordering::Relaxed) {
            NEVER => None,
            nanos => Some(Moment::of_nanos(nanos)),
        };
        let in_flight = self.in_flight.load(Ordering::Relaxed);
        let since = |at| now.saturating_since(at);
        SessionInfo {
            key: self.key.clone(),
            id: self.id(),
            phase: match self.phase() {
                VitalPhase::Draining | VitalPhase::Ended => Phase::Draining,
                VitalPhase::Starting | VitalPhase::Active => Phase::Active,
            },
            opened_at: clock.wall(opened),
            age: since(opened),
            idle: if in_flight > 0 { Duration::ZERO } else { since(self.last_activity()) },
            handled: self.handled(),
            in_flight,
            busy_since: busy_since.map(|at| clock.wall(at)),
            expires_in: self.expires_at().map(|at| at.saturating_since(now)),
            limits,
            rule,
            host: self.host(),
        }
    }
}
