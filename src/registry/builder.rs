//! Starting a registry.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use actix::{Arbiter, System};

use super::{
    SessionRegistry,
    handle::Handle,
    hub::{Hub, Rules},
};
use crate::{
    error::StartError,
    host::{Host, HostLink},
    keeping::{self, Keeper},
    key::SessionKey,
    policy::Policy,
    session::{Session, context::MOST_MAIL},
};
#[cfg(feature = "store")]
use crate::{
    keeping::{persistent::Persistent, rounds},
    store::Store,
};

/// Messages that may wait for one session, unless told otherwise.
const MAILBOX_CAPACITY: usize = 1024;
/// Events kept for watchers that come back or fall behind, unless told otherwise.
const EVENT_HISTORY: usize = 1024;

/// Settings of a [`SessionRegistry`], from [`SessionRegistry::builder`].
#[must_use = "a builder does nothing until it is started"]
pub struct RegistryBuilder<A: Session> {
    factory: Box<dyn Fn(&SessionKey) -> A + Send + Sync>,
    policy: Policy,
    arbiters: usize,
    mailbox_capacity: usize,
    event_history: usize,
    store_timeout: Duration,
    keep: Option<Keep<A>>,
}

/// Makes the keeper when the registry starts, and says with which session id it begins.
type Keep<A> = Box<dyn FnOnce(Duration, &Policy) -> Result<(Keeper<A>, u64), StartError>>;

impl<A: Session> RegistryBuilder<A> {
    pub(super) fn new(factory: Box<dyn Fn(&SessionKey) -> A + Send + Sync>) -> Self {
        Self {
            factory,
            policy: Policy::default(),
            arbiters: 0,
            mailbox_capacity: MAILBOX_CAPACITY,
            event_history: EVENT_HISTORY,
            store_timeout: keeping::TIMEOUT,
            keep: None,
        }
    }

    /// The limits, rules and cap. Defaults to [`Policy::default`]: one hour idle, one day old, no
    /// cap. [`SessionRegistry::set_policy`] changes it later.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Runs the sessions on this many arbiters (threads) of their own, spread by key. Defaults to
    /// 0: all on the arbiter that calls `start`. They stop when the registry is shut down.
    pub fn arbiters(mut self, arbiters: usize) -> Self {
        self.arbiters = arbiters;
        self
    }

    /// How many messages may wait for one session before [`SessionRegistry::send`] and `try_send`
    /// give them back as full. Defaults to 1,024; 0 is without bound, as in actix.
    ///
    /// What others queue through an `Addr` fills it too, but actix gives each sender a slot of its own, the registry
    /// included: behind a mailbox filled by addresses the registry still accepts one message.
    pub fn mailbox_capacity(mut self, messages: usize) -> Self {
        self.mailbox_capacity = messages;
        self
    }

    /// How many events are kept for watchers that come back or fall behind. Defaults to 1,024.
    pub fn event_history(mut self, events: usize) -> Self {
        self.event_history = events;
        self
    }

    /// Keeps sessions in a store: they outlive memory (`passivate_after`) and restarts. Without it a session is gone
    /// when it leaves memory.
    ///
    /// A session that rests is saved and leaves memory; its key's next message brings it back, with its identity and its
    /// age, and its limits go on in the meantime. A shutdown saves all. `checkpoint` says what else is saved when.
    #[cfg(feature = "store")]
    pub fn persist(mut self, store: impl Store) -> Self
    where
        A: Persistent,
    {
        let store: Arc<dyn Store> = Arc::new(store);
        self.keep = Some(Box::new(move |timeout, policy| {
            let no_thread = |error: std::io::Error| StartError::NoThread { error: error.to_string() };
            let keeper = Keeper::new(Arc::clone(&store), timeout).map_err(no_thread)?;
            let first = keeper.begin(&*store, policy)?;
            Ok((keeper, first))
        }));
        self
    }

    /// How long the store may take for an answer before whoever waits for it is told that there is none. Defaults to
    /// 10 seconds. Zero counts as a millisecond, and what is longer than a day as a day.
    #[cfg(feature = "store")]
    pub fn store_timeout(mut self, timeout: Duration) -> Self {
        self.store_timeout = timeout.clamp(Duration::from_millis(1), Duration::from_secs(24 * 60 * 60));
        self
    }

    /// Starts the registry.
    ///
    /// # Errors
    ///
    /// If the policy contradicts itself, a setting is out of range, no actix `System` runs on this
    /// thread, the machine has no thread left for an arbiter, or the store cannot be used.
    pub fn start(self) -> Result<SessionRegistry<A>, StartError> {
        let Self { factory, policy, arbiters, mailbox_capacity, event_history, store_timeout, keep } = self;
        in_range("mailbox_capacity", mailbox_capacity, 0, MOST_MAIL)?;
        in_range("event_history", event_history, 1, 1 << 24)?;
        in_range("arbiters", arbiters, 0, 1024)?;
        let rules = Rules::compile(policy, keep.is_some())?;
        let current = Arbiter::try_current().ok_or(StartError::NoArbiter)?;
        if System::try_current().is_none() {
            return Err(StartError::NoArbiter);
        }

        let (keeper, first_id) = keep.map(|keep| keep(store_timeout, &rules.policy)).transpose()?.unzip();

        // The queues first: hosts need the hub, and the hub the way to its hosts.
        let own = start_arbiters(arbiters)?;
        let handles = if own.is_empty() { vec![current.clone()] } else { own.iter().map(Arbiter::handle).collect() };
        let (links, queues): (Vec<_>, Vec<_>) = handles.iter().map(|_| HostLink::new()).unzip();
        let mut arbiters = vec![current];
        arbiters.extend_from_slice(&handles);
        let hub = Arc::new(Hub::new(rules, factory, links, arbiters, mailbox_capacity, event_history, keeper));
        if let Some(first) = first_id {
            hub.next_id.store(first, Ordering::Relaxed);
        }
        let handle = Arc::new(Handle { hub: Arc::clone(&hub) });
        hub.set_handle(Arc::downgrade(&handle));
        let owned = !own.is_empty();
        for (index, (arbiter, orders)) in handles.into_iter().zip(queues).enumerate() {
            let hub = Arc::clone(&hub);
            // Also on this thread: it may have a `System` that does not run yet. Orders wait until it does.
            arbiter.spawn_fn(move || Host::run(hub, index, orders, owned));
        }
        #[cfg(feature = "store")]
        if hub.keeper.is_some() {
            rounds::begin(&hub);
        }
        Ok(SessionRegistry::from_handle(handle))
    }
}

/// All of them, or none.
fn start_arbiters(count: usize) -> Result<Vec<Arbiter>, StartError> {
    let mut arbiters = Vec::with_capacity(count);
    for _ in 0..count {
        match Arbiter::try_new() {
            Ok(arbiter) => arbiters.push(arbiter),
            Err(error) => {
                for arbiter in arbiters {
                    arbiter.stop();
                }
                return Err(StartError::NoThread { error: error.to_string() });
            }
        }
    }
    Ok(arbiters)
}

fn in_range(setting: &'static str, value: usize, least: usize, most: usize) -> Result<(), StartError> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(StartError::InvalidSetting { setting, value, least, most })
}

impl<A: Session> fmt::Debug for RegistryBuilder<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistryBuilder")
            .field("policy", &self.policy)
            .field("arbiters", &self.arbiters)
            .field("mailbox_capacity", &self.mailbox_capacity)
            .field("event_history", &self.event_history)
            .finish_non_exhaustive()
    }
}
