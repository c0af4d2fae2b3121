//! What the parts of one registry share: the registry's handle, its hosts, its sessions.
//!
//! The hub lives as long as any of them; that it lives does not keep the registry open. It is the
//! registry's *handle* (`registry.rs`) whose last drop shuts down.

use std::{
    hash::{BuildHasher, RandomState},
    mem,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use actix::{ArbiterHandle, dev::channel::channel};
use parking_lot::{Mutex, RwLock};
use tokio::time::Instant;

use super::{WeakSessionRegistry, handle::Handle, shutdown::ShutdownState};
use crate::{
    capacity::{Capacity, Freed, Full, Permit, Queued},
    clock::Clock,
    directory::{Directory, Opened, Released, Route},
    error::{OpenError, Unserved},
    event::EndReason,
    event::{Ended, SessionId},
    eviction::Eviction,
    host::{HostLink, Instruction},
    journal::Journal,
    key::{IntoKey, SessionKey},
    policy::{Mode, OnFull, Policy, PolicyError},
    rules::{RuleTable, Ruling},
    session::{
        Session,
        parcel::Parcel,
        vitals::{VitalPhase, Vitals, Wishes},
    },
    start::{Make, Parts, Start},
};

/// How long an estimate for refused openers is good for, so that a flood of them costs little.
const ESTIMATE_FOR: Duration = Duration::from_millis(250);

/// The policy in force, compiled.
pub(crate) struct Rules {
    policy: Policy,
    table: RuleTable,
}

impl Rules {
    pub(crate) fn compile(policy: Policy) -> Result<Self, PolicyError> {
        let table = RuleTable::compile(&policy)?;
        Ok(Self { policy, table })
    }

    /// The cap in force. An observing registry refuses nobody.
    pub(crate) fn cap(&self) -> Option<usize> {
        match self.policy.get_mode() {
            Mode::Enforce => self.policy.get_max_sessions(),
            Mode::Observe => None,
        }
    }
}

pub(crate) struct Hub<A: Session> {
    pub(crate) clock: Arc<Clock>,
    pub(crate) directory: Directory<A>,
    pub(crate) capacity: Capacity<A>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) eviction: Eviction,
    pub(crate) shutdown: ShutdownState,
    pub(crate) hosts: Vec<HostLink<A>>,
    /// Where the registry was started; nothing of the registry's ever stops it.
    pub(crate) home: ArbiterHandle,
    pub(crate) refused: AtomicU64,
    rules: RwLock<Arc<Rules>>,
    factory: Box<dyn Fn(&SessionKey) -> A + Send + Sync>,
    mailbox_capacity: usize,
    next_id: AtomicU64,
    /// Spreads keys over hosts.
    spread: RandomState,
    handle: OnceLock<Weak<Handle<A>>>,
    /// The last estimate for refused openers.
    estimate: Mutex<Option<(Instant, Option<Instant>)>>,
}

impl<A: Session> std::fmt::Debug for Hub<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub")
            .field("directory", &self.directory)
            .field("capacity", &self.capacity)
            .field("hosts", &self.hosts.len())
            .finish_non_exhaustive()
    }
}

impl<A: Session> Hub<A> {
    pub(crate) fn new(
        rules: Rules,
        factory: Box<dyn Fn(&SessionKey) -> A + Send + Sync>,
        hosts: Vec<HostLink<A>>,
        home: ArbiterHandle,
        mailbox_capacity: usize,
        event_history: usize,
    ) -> Self {
        let clock = Arc::new(Clock::new());
        Self {
            directory: Directory::new(),
            capacity: Capacity::new(rules.cap()),
            journal: Journal::new(Arc::clone(&clock), event_history),
            eviction: Eviction::default(),
            shutdown: ShutdownState::default(),
            hosts,
            home,
            refused: AtomicU64::new(0),
            rules: RwLock::new(Arc::new(rules)),
            factory,
            mailbox_capacity,
            next_id: AtomicU64::new(1),
            spread: RandomState::new(),
            handle: OnceLock::new(),
            estimate: Mutex::new(None),
            clock,
        }
    }

    // ---- the handle ---------------------------------------------------------------------------

    pub(super) fn set_handle(&self, handle: Weak<Handle<A>>) {
        let _ = self.handle.set(handle);
    }

    pub(crate) fn handle(&self) -> WeakSessionRegistry<A> {
        WeakSessionRegistry::new(self.handle.get().cloned().unwrap_or_default())
    }

    // ---- the policy ---------------------------------------------------------------------------

    fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.read())
    }

    pub(crate) fn policy(&self) -> Policy {
        self.rules().policy.clone()
    }

    pub(crate) fn mode(&self) -> Mode {
        self.rules.read().policy.get_mode()
    }

    pub(crate) fn ruling(&self, key: &SessionKey) -> Arc<Ruling> {
        self.rules.read().table.resolve(key.as_str())
    }

    pub(crate) fn set_policy(self: &Arc<Self>, policy: Policy) -> Result<(), PolicyError> {
        let rules = Rules::compile(policy)?;
        let cap = rules.cap();
        let old = mem::replace(&mut *self.rules.write(), Arc::new(rules));
        drop(old);
        let (admitted, refused) = self.capacity.set_limit(cap);
        for mut start in admitted {
            start.grant(Permit::new(Arc::clone(self)));
            Self::dispatch(self, start);
        }
        for start in refused {
            start.fail(Unserved::NoRoom);
        }
        // Sessions that start from here on resolve by the new policy; each host tells its others.
        self.instruct(Instruction::Wish(Wishes::POLICY));
        Ok(())
    }

    // ---- opening ------------------------------------------------------------------------------

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
    fn relieve(self: &Arc<Self>) {
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

    fn incarnation(self: &Arc<Self>, key: SessionKey, make: Option<Make<A>>) -> (Route<A>, Box<Start<A>>) {
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

    // ---- hosts --------------------------------------------------------------------------------

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

    // ---- ends ---------------------------------------------------------------------------------

    /// Takes back an incarnation that could not be started.
    pub(crate) fn undo(&self, parts: Parts<A>, why: Unserved) {
        let vitals = Arc::clone(&parts.vitals);
        let route = self.directory.undo(&vitals);
        let error = why.to_string();
        tracing::warn!(key = %vitals.key(), id = %vitals.id(), %error, "session not started");
        let waiters = self.journal.start_failed(&vitals, error);
        drop(route);
        let permit = parts.discard(why);
        drop(permit);
        drop(waiters);
    }

    /// Whether the leftovers of an incarnation that is ending have somebody to go to; makes a
    /// successor for them if they are entitled to one.
    pub(crate) fn has_successor(self: &Arc<Self>, vitals: &Arc<Vitals>, ended: &Ended) -> bool {
        let entitled = match ended.reason {
            EndReason::Closed | EndReason::Shutdown => false,
            // One that ended without having taken a message would only be followed by its like.
            _ => ended.handled > 0,
        };
        let entitled = entitled && !self.shutdown.begun() && self.has_host();
        self.directory.succeeded_by(vitals.key(), || entitled.then(|| self.incarnation(vitals.key().clone(), None)))
    }

    pub(crate) fn note_end(&self, ended: &Ended) {
        self.shutdown.note_end(ended);
    }

    /// An incarnation is done: lets its successor through, with the leftovers and the slot, or
    /// frees the slot.
    pub(crate) fn release(self: &Arc<Self>, vitals: &Arc<Vitals>, mail: Vec<Parcel<A>>, permit: Permit<A>) {
        match self.directory.release(vitals.key()) {
            Released::Nothing => drop(permit),
            Released::Successor(mut start) => {
                start.inherit(mail);
                start.grant(permit);
                Self::dispatch(self, start);
                if vitals.is_victim() {
                    // Its slot was promised to a newcomer.
                    self.relieve();
                }
            }
        }
    }

    /// A permit was dropped.
    pub(crate) fn free_slot(self: &Arc<Self>) {
        match self.capacity.free() {
            Freed::PassedTo(mut start) => {
                start.grant(Permit::new(Arc::clone(self)));
                Self::dispatch(self, start);
            }
            Freed::Free { last: true } => self.complete_shutdown(),
            Freed::Free { last: false } => {}
        }
    }

    // ---- shutdown -----------------------------------------------------------------------------

    /// Begins the shutdown; only the first call does anything. `None` waits for ever.
    pub(crate) fn begin_shutdown(&self, timeout: Option<Duration>) {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        if !self.shutdown.begin(deadline) {
            return;
        }
        tracing::info!(sessions = self.journal.len(), ?timeout, "session registry shuts down");
        if self.capacity.close() {
            self.complete_shutdown();
        } else {
            self.instruct(Instruction::Wish(Wishes::SHUTDOWN));
        }
    }

    /// Every slot is free and none will be given: the hosts stop, the watchers' streams end.
    fn complete_shutdown(&self) {
        self.journal.close();
        self.instruct(Instruction::Stop);
        self.shutdown.complete();
    }
}
