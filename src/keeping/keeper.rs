//! What a registry knows about its store.

use std::{
    fmt,
    future::Future,
    hash::{BuildHasher, RandomState},
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, oneshot},
    time::{Instant, timeout_at},
};

use super::{
    Figures, Memory,
    desk::{Asked, Desk, Ticket},
    persistent::Persistent,
    waits::Waits,
};
use crate::{
    clock::Clock,
    event::SessionId,
    key::SessionKey,
    moment::Moment,
    policy::Policy,
    registry::hub::Hub,
    session::{
        Session,
        panics::{panic_message, quietly},
        vitals::Vitals,
    },
    store::{Change, Record, State, Store, StoreError},
};

/// Session ids reserved at a time.
const IDS: u64 = 1 << 16;

/// What an actor gave, to be kept.
#[derive(Debug)]
pub(crate) struct Snapshot(pub(super) State);

impl Snapshot {
    /// Tells it from others, in a word.
    pub(crate) fn mark(&self) -> u64 {
        thread_local!(static HASHER: RandomState = RandomState::new());
        HASHER.with(|hasher| hasher.hash_one(self.0.as_json()))
    }
}

/// The store of a registry, and how its actors are saved and made again.
pub(crate) struct Keeper<A: Session> {
    pub(super) desk: Desk,
    state: fn(&A) -> Result<State, StoreError>,
    restore: fn(&mut A, &State) -> Result<(), String>,
    timeout: Duration,
    pub(super) waits: Waits<A>,
    /// The end of the ids that are reserved.
    ids: AtomicU64,
    reserving: AtomicBool,
    /// Tells the rounds that something falls due earlier than they know, or that the policy has changed.
    pub(super) news: Arc<Notify>,
    /// When the rounds look next, in nanoseconds.
    pub(super) looks_at: AtomicU64,
    pub(super) reindex: AtomicBool,
}

impl<A: Session> Keeper<A> {
    /// # Errors
    ///
    /// If a thread cannot be started.
    pub(crate) fn new(store: Arc<dyn Store>, timeout: Duration) -> io::Result<Self>
    where
        A: Persistent,
    {
        Ok(Self {
            desk: Desk::open(store)?,
            state: |act| State::of(&act.state()),
            restore: |act, state| state.read().map(|state| act.restore(state)),
            timeout,
            waits: Waits::default(),
            ids: AtomicU64::new(0),
            reserving: AtomicBool::new(false),
            news: Arc::default(),
            looks_at: AtomicU64::new(u64::MAX),
            reindex: AtomicBool::new(false),
        })
    }

    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Until when an answer of the writer's is waited for that was asked for at this instant. Where many ask at once, the
    /// last of them are not given up on while the store works for the others.
    pub(crate) fn patience(&self, asked: Instant) -> Instant {
        self.desk.answered().map_or(asked, |answered| answered.max(asked)) + self.timeout
    }

    /// Waits for an answer of the writer's. `None` if there is none in time.
    pub(crate) async fn patiently<T>(&self, answered: &mut oneshot::Receiver<T>) -> Option<T> {
        let asked = Instant::now();
        let mut until = self.patience(asked);
        loop {
            if let Ok(answer) = timeout_at(until, &mut *answered).await {
                return answer.ok();
            }
            let longer = self.patience(asked);
            if longer <= until {
                return None;
            }
            until = longer;
        }
    }

    // ---- one session ---------------------------------------------------------------------------

    /// What is to be kept of an actor. A panic of its `state` gets out.
    pub(crate) fn snapshot(&self, act: &A) -> Result<Snapshot, String> {
        (self.state)(act).map(Snapshot).map_err(|error| error.to_string())
    }

    /// Gives an actor that was just made what it remembered.
    pub(crate) fn restore(&self, act: &mut A, memory: Memory) -> Result<(), String> {
        let Snapshot(state) = memory.snapshot;
        catch_unwind(AssertUnwindSafe(|| (self.restore)(act, &state)))
            .unwrap_or_else(|payload| Err(format!("restore panicked: {}", panic_message(payload))))
    }

    /// Saves a session. `done` is told when that is durable, on whatever thread.
    pub(crate) fn save(
        &self,
        hub: &Arc<Hub<A>>,
        vitals: &Vitals,
        snapshot: Snapshot,
        figures: Figures,
        done: impl FnOnce(Result<(), String>) + Send + 'static,
    ) -> Ticket {
        let ends_at = figures.end(&hub.limits_in_store(vitals.key(), &figures)).map(|(at, _)| at);
        let record = record(&hub.clock, vitals.id(), snapshot.0, &figures, ends_at);
        let hub = Arc::clone(hub);
        self.desk.write(Change::Put { key: vitals.key().clone(), record }, move |outcome| {
            if let (Ok(()), Some(at), Some(keeper)) = (&outcome, ends_at, &hub.keeper) {
                keeper.falls_due(at);
            }
            done(outcome.map_err(|error| error.to_string()));
        })
    }

    /// Removes the record of a session that has ended.
    pub(crate) fn forget(&self, vitals: &Vitals, done: impl FnOnce(Result<(), String>) + Send + 'static) -> Ticket {
        let change = Change::Remove { key: vitals.key().clone(), session: vitals.id() };
        self.desk.write(change, move |outcome| done(outcome.map_err(|error| error.to_string())))
    }

    /// It could not be removed in time: it is when it can be, and counts as gone.
    pub(crate) fn owe(&self, vitals: &Vitals) {
        self.desk.owe(vitals.key().clone(), vitals.id());
    }

    /// The record of a key cannot be read.
    pub(crate) fn set_aside(&self, key: &SessionKey, why: String) {
        self.desk.write(Change::SetAside { key: key.clone(), why }, |outcome| {
            if let Err(error) = outcome {
                tracing::error!(%error, "a record that cannot be read could not be set aside");
            }
        });
    }

    // ---- all of them ---------------------------------------------------------------------------

    /// Before the registry starts: reserves the first ids, and looks whether the deadlines are those of its policy. Returns
    /// the first id.
    pub(crate) fn begin(&self, store: &dyn Store, policy: &Policy) -> Result<u64, StoreError> {
        let first = store.reserve_ids(IDS)?;
        let known = store.policy()?;
        if known != text(policy) {
            self.reindex.store(true, Ordering::Relaxed);
            if known.is_some() {
                // From the first record on.
                self.desk.policy_changes();
            }
        }
        self.ids.store(first.saturating_add(IDS), Ordering::Relaxed);
        Ok(first)
    }

    /// An id was given: in time, more of them are reserved. If the store does not answer until they are used up, ids
    /// go on all the same: without a store none of these sessions can be saved either.
    pub(crate) fn note_id(&self, hub: &Arc<Hub<A>>, id: SessionId) {
        if id.get().saturating_add(IDS / 2) < self.ids.load(Ordering::Relaxed)
            || self.reserving.swap(true, Ordering::Relaxed)
        {
            return;
        }
        let hub = Arc::clone(hub);
        self.desk.read(move |asked| {
            let reserved = asked.call(|store| store.reserve_ids(IDS));
            let Some(keeper) = &hub.keeper else { return };
            match reserved {
                Ok(first) => {
                    hub.next_id.fetch_max(first, Ordering::Relaxed);
                    keeper.ids.store(first.saturating_add(IDS), Ordering::Relaxed);
                }
                Err(error) => drop(quietly(|| {
                    tracing::warn!(%error, "no session ids could be reserved; tried again at the next open");
                })),
            }
            keeper.reserving.store(false, Ordering::Relaxed);
        });
    }

    /// Asks the store something, and waits no longer than the timeout. `None` if there was no answer.
    pub(super) fn ask<T, F>(&self, ask: F) -> impl Future<Output = Option<T>> + use<A, T, F>
    where
        T: Send + 'static,
        F: FnOnce(&Asked) -> T + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        self.desk.read(move |asked| {
            if !answer.is_closed() {
                drop(answer.send(ask(asked)));
            }
        });
        let timeout = self.timeout;
        async move { tokio::time::timeout(timeout, answered).await.ok()?.ok() }
    }

    /// How many records the store has; `None` if it does not say so in time.
    pub(crate) fn count(&self) -> impl Future<Output = Option<u64>> + use<A> {
        let count = self.ask(|asked| asked.call(|store| store.count()).ok());
        async move { count.await.flatten() }
    }

    /// Something in the store falls due at this moment.
    pub(super) fn falls_due(&self, at: Moment) {
        if at.nanos() < self.looks_at.load(Ordering::Relaxed) {
            self.news.notify_one();
        }
    }

    /// From here on sessions may be saved with deadlines by another policy than the rest has. To be called before they
    /// are, so that the store knows it first.
    pub(crate) fn policy_changes(&self) {
        self.desk.policy_changes();
    }

    /// The index of deadlines has to be made anew.
    pub(crate) fn policy_changed(&self) {
        self.reindex.store(true, Ordering::Relaxed);
        self.news.notify_one();
    }

    /// Nothing more is asked of the store; what was is done.
    pub(crate) fn stop(&self) {
        self.desk.close();
        self.news.notify_one();
    }

    /// It is done, and the store let go.
    pub(crate) async fn stopped(&self) {
        self.desk.closed().await;
    }
}

/// What of a policy moves deadlines, as text.
pub(super) fn text(policy: &Policy) -> Option<String> {
    let mut policy = serde_json::to_value(policy).ok()?;
    let settings = policy.as_object_mut()?;
    for other in ["max_sessions", "on_full", "mode"] {
        settings.remove(other);
    }
    Some(policy.to_string())
}

/// The record of a session, with times on the wall clock.
pub(super) fn record(
    clock: &Clock,
    session: SessionId,
    state: State,
    figures: &Figures,
    ends_at: Option<Moment>,
) -> Record {
    Record::new(session, clock.wall(figures.opened), state)
        .last_activity(clock.wall(figures.last_activity))
        .extended_until(figures.extended.map(|until| clock.wall(until)))
        .handled(figures.handled)
        .limits(figures.limits.clone())
        .ends_at(ends_at.map(|at| clock.wall(at)))
}

impl<A: Session> fmt::Debug for Keeper<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}
