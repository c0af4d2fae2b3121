//! What the parts of one registry share: the registry's handle, its hosts, its sessions.
//!
//! The hub lives as long as any of them; that it lives does not keep the registry open. It is the
//! registry's *handle* (`handle.rs`) whose last drop shuts down.

use std::{
    mem,
    sync::{Arc, OnceLock, Weak, atomic::AtomicU64},
};

use actix::ArbiterHandle;
use parking_lot::{Mutex, RwLock};

use super::{WeakSessionRegistry, handle::Handle, shutdown::ShutdownState};
use crate::{
    capacity::{Capacity, Permit},
    clock::Clock,
    directory::Directory,
    error::Unserved,
    eviction::Eviction,
    host::{HostLink, Instruction},
    journal::Journal,
    keeping::Keeper,
    key::SessionKey,
    moment::Moment,
    policy::{Mode, Policy, PolicyError},
    rules::{RuleTable, Ruling},
    session::{Session, wishes::Wishes},
};

/// The policy in force, compiled.
pub(crate) struct Rules {
    pub(super) policy: Policy,
    table: RuleTable,
}

impl Rules {
    /// `stored`: the registry has a store.
    pub(crate) fn compile(policy: Policy, stored: bool) -> Result<Self, PolicyError> {
        let table = RuleTable::compile(&policy)?;
        if !stored {
            table.check_without_store()?;
        }
        Ok(Self { policy, table })
    }

    /// The cap in force. An observing registry refuses nobody.
    pub(crate) fn cap(&self) -> Option<usize> {
        match self.policy.get_mode() {
            Mode::Enforce => self.policy.get_max_sessions(),
            Mode::Observe => None,
        }
    }

    pub(super) fn mode(&self) -> Mode {
        self.policy.get_mode()
    }

    pub(super) fn ruling(&self, key: &SessionKey) -> Arc<Ruling> {
        self.table.resolve(key.as_str())
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
    /// Where the registry was started, which nothing of the registry's ever stops; then those of its hosts.
    pub(crate) arbiters: Vec<ArbiterHandle>,
    pub(crate) refused: AtomicU64,
    rules: RwLock<Arc<Rules>>,
    pub(super) factory: Box<dyn Fn(&SessionKey) -> A + Send + Sync>,
    pub(super) mailbox_capacity: usize,
    pub(crate) next_id: AtomicU64,
    /// Spreads keys over hosts.
    pub(super) spread: ahash::RandomState,
    handle: OnceLock<Weak<Handle<A>>>,
    /// The store, if sessions are kept in one.
    pub(crate) keeper: Option<Keeper<A>>,
    /// The last estimate for refused openers.
    pub(super) estimate: Mutex<Option<(Moment, Option<Moment>)>>,
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
        arbiters: Vec<ArbiterHandle>,
        mailbox_capacity: usize,
        event_history: usize,
        keeper: Option<Keeper<A>>,
    ) -> Self {
        let clock = Arc::new(Clock::new());
        Self {
            directory: Directory::new(),
            capacity: Capacity::new(rules.cap()),
            journal: Journal::new(Arc::clone(&clock), event_history),
            eviction: Eviction::default(),
            shutdown: ShutdownState::default(),
            hosts,
            arbiters,
            refused: AtomicU64::new(0),
            rules: RwLock::new(Arc::new(rules)),
            factory,
            mailbox_capacity,
            next_id: AtomicU64::new(1),
            spread: ahash::RandomState::new(),
            handle: OnceLock::new(),
            keeper,
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

    // ---- arbiters ------------------------------------------------------------------------------

    /// Runs something of the registry's own on the first arbiter that is there. False if none is.
    pub(crate) fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) -> bool {
        // One that is gone gives back nothing that it was given.
        let future = Arc::new(Mutex::new(Some(future)));
        self.arbiters.iter().any(|arbiter| {
            let future = Arc::clone(&future);
            arbiter.spawn_fn(move || {
                let future = future.lock().take();
                if let Some(future) = future {
                    actix::spawn(future);
                }
            })
        })
    }

    // ---- the policy ---------------------------------------------------------------------------

    pub(super) fn rules(&self) -> Arc<Rules> {
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

    /// False if another than `expected` is in force.
    pub(crate) fn set_policy(self: &Arc<Self>, policy: Policy, expected: Option<&Policy>) -> Result<bool, PolicyError> {
        let rules = Rules::compile(policy, self.keeper.is_some())?;
        let cap = rules.cap();
        let other = |in_force: &Rules| expected.is_some_and(|expected| in_force.policy != *expected);
        // Before the store is told, which then looks at every record.
        if other(&self.rules.read()) {
            return Ok(false);
        }
        if let Some(keeper) = &self.keeper {
            keeper.policy_changes();
        }
        let (old, (admitted, refused)) = {
            // One step, or of two callers one would set the rules and the other the cap.
            let mut in_force = self.rules.write();
            if other(&in_force) {
                drop(in_force);
                if let Some(keeper) = &self.keeper {
                    keeper.policy_changed();
                }
                return Ok(false);
            }
            (mem::replace(&mut *in_force, Arc::new(rules)), self.capacity.set_limit(cap))
        };
        drop(old);
        for mut start in admitted {
            start.grant(Permit::new(Arc::clone(self)));
            Self::dispatch(self, start);
        }
        for start in refused {
            start.fail(Unserved::NoRoom);
        }
        // Sessions that start from here on resolve by the new policy; each host tells its others.
        self.instruct(Instruction::Wish(Wishes::POLICY));
        if let Some(keeper) = &self.keeper {
            keeper.policy_changed();
        }
        Ok(true)
    }
}
