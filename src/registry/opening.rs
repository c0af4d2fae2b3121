//! Opening: the way of a key to a running incarnation, and what happens at the cap.

use std::{
    hash::BuildHasher,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use actix::dev::channel::channel;
use tokio::time::Instant;

use super::hub::Hub;
use crate::{
    capacity::{Full, Permit, Queued},
    directory::{Opened, Route},
    error::{OpenError, Unserved},
    event::SessionId,
    host::{HostLink, Instruction},
    key::{IntoKey, SessionKey},
    policy::OnFull,
    session::{
        Session,
        vitals::{VitalPhase, Vitals, Wishes},
    },
    start::{Make, Parts, Start},
};

/// How long an estimate for refused openers is good for, so that a flood of them costs little.
const ESTIMATE_FOR: Duration = Duration::from_millis(250);

impl<A: Session> Hub<A> {
    /// Finds the route of `key`, opening it if need be, and uses it: under the entry lock, so that
    /// what is sent there is in the mailbox of an incarnation that has not left the directory.
    pub(crate) fn route<T>(
        self: &Arc<Self>,
        key: impl IntoKey,
        make: Option<Make<A>>,
        use_route: &mut dyn FnMut(&Route<A>) -> T,
    ) -> Result<T, OpenError> {
        if self.shutdown.begun() {
            return Err(OpenError::ShuttingDown);
        }
        if let Some(used) = self.directory.with_alone(key.as_str(), &mut *use_route) {
            return Ok(used);
        }
        let key = key.into_key()?;
        if !self.has_host() {
            return Err(self.no_host());
        }
        let (route, start) = self.incarnation(key.clone(), make);
        let opened = self.directory.open(key.clone(), route, start, &mut *use_route, || {
            self.capacity.take()?;
            Ok(Some(Permit::new(Arc::clone(self))))
        });
        match opened {
            Opened::Live(used, unused) => {
                unused.forget();
                Ok(used)
            }
            Opened::Waits(used) => Ok(used),
            Opened::Starts(used, start) => {
                Self::dispatch(self, start);
                Ok(used)
            }
            Opened::Full(full, route, start) => self.at_capacity(full, key, route, start, use_route),
        }
    }

    /// At the cap: evicts somebody for the newcomer, or refuses it.
    fn at_capacity<T>(
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
        let victim = match self.rules().policy.get_on_full() {
            OnFull::EvictIdle if !over => self.choose_victim(),
            OnFull::EvictIdle | OnFull::Reject => None,
        };
        let Some(victim) = victim else {
            start.forget();
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Err(OpenError::AtCapacity { limit, retry_after: self.retry_after() });
        };
        // Entered without a slot; it starts when it gets the victim's, its mail is buffered.
        let entered = self.directory.open(key, route, start, &mut *use_route, || {
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
            Queued::TooLate(start) => start.fail(Unserved::NoRoom),
            Queued::Waits => {
                victim.wish(Wishes::EVICT);
                // It may have ended by itself before the newcomer was in the queue, and its slot
                // gone to somebody else; then nobody would ever free one for this newcomer.
                if victim.phase() == VitalPhase::Ended {
                    self.relieve();
                }
            }
        }
    }

    fn choose_victim(&self) -> Option<Arc<Vitals>> {
        let now = self.clock.nanos(Instant::now());
        self.eviction.choose(now, || self.journal.live(), self.journal.len())
    }

    fn spare(&self, victim: &Arc<Vitals>) {
        victim.spare();
        self.eviction.add(victim);
    }

    /// A slot that a newcomer was promised has gone to somebody else: finds another, or turns the
    /// newcomer away.
    pub(super) fn relieve(self: &Arc<Self>) {
        while self.capacity.has_newcomers() {
            match self.choose_victim() {
                Some(victim) => {
                    victim.wish(Wishes::EVICT);
                    if victim.phase() != VitalPhase::Ended {
                        return;
                    }
                    // It went by itself, and its slot with it: somebody else, then.
                }
                None => {
                    if let Some(start) = self.capacity.turn_away() {
                        start.fail(Unserved::NoRoom);
                    }
                    return;
                }
            }
        }
    }

    /// When the next session is due to end.
    fn retry_after(&self) -> Option<Duration> {
        let now = Instant::now();
        let mut estimate = self.estimate.lock();
        let next = match *estimate {
            Some((made, next)) if now.saturating_duration_since(made) < ESTIMATE_FOR => next,
            _ => {
                let live = self.journal.live();
                let next = live.iter().filter_map(|vitals| vitals.expires_at()).min();
                *estimate = Some((now, next));
                next
            }
        };
        next.map(|at| at.saturating_duration_since(now))
    }

    pub(super) fn incarnation(self: &Arc<Self>, key: SessionKey, make: Option<Make<A>>) -> (Route<A>, Box<Start<A>>) {
        let id = SessionId::new(self.next_id.fetch_add(1, Ordering::Relaxed));
        let vitals = Arc::new(Vitals::new(key, id, Arc::clone(&self.clock)));
        let (sender, mailbox) = channel(self.mailbox_capacity);
        let start = Start::new(
            Arc::clone(self),
            Parts { vitals: Arc::clone(&vitals), mailbox, make, leftovers: Vec::new(), permit: None },
        );
        (Route { sender, vitals }, Box::new(start))
    }

    pub(crate) fn make_actor(&self, key: &SessionKey) -> A {
        (self.factory)(key)
    }

    pub(crate) fn has_host(&self) -> bool {
        self.hosts.iter().any(HostLink::is_alive)
    }

    /// Why there is no host: the arbiters are gone, or the registry stopped them.
    pub(crate) fn no_host(&self) -> OpenError {
        if self.shutdown.begun() { OpenError::ShuttingDown } else { OpenError::NoHost }
    }

    /// Sends an incarnation to the host of its key, or to the next one that is alive.
    pub(crate) fn dispatch(this: &Arc<Self>, mut start: Box<Start<A>>) {
        let home = start.key().map_or(0, |key| this.spread.hash_one(key.as_str()));
        let hosts = this.hosts.len().max(1);
        let home = usize::try_from(home % hosts as u64).unwrap_or(0);
        for host in this.hosts[home..].iter().chain(&this.hosts[..home]) {
            match host.start(start) {
                Ok(()) => return,
                Err(refused) => start = refused,
            }
        }
        start.fail(Unserved::HostGone);
    }

    /// Tells every host.
    pub(crate) fn instruct(&self, instruction: Instruction) {
        for host in &self.hosts {
            host.instruct(instruction);
        }
    }
}
