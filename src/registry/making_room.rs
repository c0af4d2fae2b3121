//! At the cap: who goes for a newcomer, and what becomes of the newcomer.
//!
//! A newcomer is entered like any other key and waits in the capacity's queue, its mail buffered,
//! for the next slot that is freed. Somebody is asked to go for it; how many are, and have not gone
//! yet, the capacity counts as *promised*. When one goes and its slot goes to somebody else (its own
//! successor), more wait than are promised, and somebody else is asked, or the newcomer turned away.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use super::hub::Hub;
#[cfg(feature = "store")]
use crate::directory::Released;
use crate::{
    capacity::{Full, Permit, Queued},
    directory::{Opened, Route},
    error::{OpenError, Unserved},
    key::SessionKey,
    policy::OnFull,
    session::{Session, vitals::Vitals, wishes::Wishes},
    start::Start,
};

/// How long an estimate for refused openers is good for, so that a flood of them costs little.
const ESTIMATE_FOR: Duration = Duration::from_millis(250);

impl<A: Session> Hub<A> {
    /// Evicts somebody for the newcomer, or refuses it.
    pub(super) fn at_capacity<T>(
        self: &Arc<Self>,
        full: Full,
        key: SessionKey,
        route: Route<A>,
        start: Box<Start<A>>,
        use_route: &mut dyn FnMut(&Route<A>) -> T,
    ) -> Result<T, OpenError> {
        let (limit, over) = match full {
            Full::AtLimit { limit, over } => (limit, over),
            Full::Closed => {
                start.forget();
                return Err(OpenError::ShuttingDown);
            }
        };
        let Some(victim) = self.make_room(over) else {
            start.forget();
            // While this looked for somebody, another newcomer may have taken its promise for its own.
            self.relieve();
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Err(OpenError::AtCapacity { limit, retry_after: self.retry_after(limit) });
        };
        // Entered without a slot.
        let may_open = || !self.shutdown.begun();
        let entered = self.directory.open(key, route, start, &mut *use_route, may_open, || {
            self.capacity.is_open()?;
            Ok(None)
        });
        match entered {
            Opened::Starts(used, start) => {
                self.wait_for(&victim, start);
                Ok(used)
            }
            // Somebody else opened the key meanwhile: nobody has to go for it.
            Opened::Live(used, unused) => {
                unused.forget();
                self.spare(&victim);
                Ok(used)
            }
            Opened::Waits(used) => {
                self.spare(&victim);
                Ok(used)
            }
            Opened::Full(_, _, start) => {
                start.forget();
                self.spare(&victim);
                Err(OpenError::ShuttingDown)
            }
        }
    }

    /// Queues a newcomer for the slot of `victim`, which is asked to go.
    fn wait_for(self: &Arc<Self>, victim: &Arc<Vitals>, start: Box<Start<A>>) {
        match self.capacity.wait(start) {
            // A slot became free in between.
            Queued::Granted(mut start) => {
                self.spare(victim);
                start.grant(Permit::new(Arc::clone(self)));
                Self::dispatch(self, start);
            }
            Queued::NoRoom(start) => {
                self.spare(victim);
                start.fail(Unserved::NoRoom);
            }
            Queued::Waits => {
                victim.wish(Wishes::EVICT);
                // It may have gone by itself, and its slot to somebody else, before the newcomer was in the queue.
                self.relieve();
            }
        }
    }

    /// A session that was in the store is done with: its key opens again. Who waited for that needs a slot, which such a
    /// session does not have.
    #[cfg(feature = "store")]
    pub(crate) fn unseal(self: &Arc<Self>, key: &SessionKey) {
        let Released::Successor(mut start) = self.directory.release(key) else { return };
        match self.capacity.take() {
            Ok(()) => {
                start.grant(Permit::new(Arc::clone(self)));
                Self::dispatch(self, start);
            }
            Err(Full::Closed) => start.fail(Unserved::NoRoom),
            Err(Full::AtLimit { over, .. }) => match self.make_room(over) {
                Some(victim) => self.wait_for(&victim, start),
                None => {
                    start.fail(Unserved::NoRoom);
                    // Whoever counted on the promise that was taken back.
                    self.relieve();
                }
            },
        }
    }

    /// Who goes for a newcomer, if the policy wants somebody to. `over`: a slot that is freed makes no room.
    fn make_room(self: &Arc<Self>, over: bool) -> Option<Arc<Vitals>> {
        match self.rules().policy.get_on_full() {
            OnFull::EvictIdle if !over => self.choose_victim(),
            OnFull::EvictIdle | OnFull::Reject => None,
        }
    }

    /// The longest-idle session that is not busy; it is promised to a newcomer from here on.
    fn choose_victim(self: &Arc<Self>) -> Option<Arc<Vitals>> {
        // Promised before anybody is asked: whoever goes at this moment must find the promise to take it back.
        self.capacity.promise();
        let now = self.clock.now();
        let victim = self.eviction.choose(now, || self.journal.live(), self.journal.len());
        if victim.is_none() {
            self.capacity.take_back();
        }
        victim
    }

    pub(crate) fn spare(self: &Arc<Self>, victim: &Arc<Vitals>) {
        if self.takes_back(victim) {
            self.relieve();
        }
    }

    /// Whether it had been asked to go; now it has not.
    fn takes_back(&self, victim: &Arc<Vitals>) -> bool {
        let asked = victim.victim().spare();
        if asked {
            self.eviction.add(victim);
            self.capacity.take_back();
        }
        asked
    }

    /// As [`spare`](Self::spare), of a session that the store could not save. The next would fare no better: a newcomer is
    /// turned away instead.
    pub(crate) fn spare_unsaved(self: &Arc<Self>, victim: &Arc<Vitals>) {
        if self.takes_back(victim) {
            if let Some(start) = self.capacity.turn_away() {
                start.fail(Unserved::NoRoom);
            }
            self.relieve();
        }
    }

    /// An incarnation has gone; if somebody had asked it to, that promise is kept or broken now.
    pub(super) fn has_gone(self: &Arc<Self>, vitals: &Vitals) {
        if vitals.victim().part() {
            self.capacity.take_back();
        }
        self.relieve();
    }

    /// While more newcomers wait than are promised a slot: asks somebody else to go, or turns one away.
    fn relieve(self: &Arc<Self>) {
        while self.capacity.is_short() {
            match self.choose_victim() {
                Some(victim) => victim.wish(Wishes::EVICT),
                None => match self.capacity.turn_away() {
                    Some(start) => start.fail(Unserved::NoRoom),
                    None => return,
                },
            }
        }
    }

    /// When the next session is due to end, or to leave memory.
    fn retry_after(&self, limit: usize) -> Option<Duration> {
        let now = self.clock.now();
        let known = self.estimate.lock().filter(|(made, _)| now.saturating_since(*made) < ESTIMATE_FOR);
        let next = match known {
            Some((_, next)) => next,
            None => {
                let next = self.journal.live().iter().filter_map(|vitals| vitals.makes_room_at()).min();
                *self.estimate.lock() = Some((now, next));
                // As often as the estimate is made, which is not for each who is refused.
                let refused = self.refused.load(Ordering::Relaxed);
                tracing::warn!(limit, refused, "session registry is full: whoever opens a session is refused");
                next
            }
        };
        next.map(|at| at.saturating_since(now))
    }
}
