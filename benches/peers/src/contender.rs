//! What every contender can do, so that the work is written once and is the same for all.

use std::{sync::Arc, time::Duration};

use dashmap::DashMap;

use crate::watcher::Watcher;

/// How long one session lasts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lasts {
    pub(crate) idle: Duration,
    pub(crate) max_age: Duration,
}

/// How long the sessions of a run last.
#[derive(Clone)]
pub(crate) struct Limits {
    /// By the number of the session.
    pub(crate) of: Arc<dyn Fn(usize) -> Lasts + Send + Sync>,
    /// Each has limits of its own.
    pub(crate) spread: bool,
    /// Between two sweeps, for those who sweep.
    pub(crate) sweep: Duration,
}

/// As long as nobody measures.
pub(crate) const LONG: Lasts = Lasts { idle: Duration::from_secs(3600), max_age: Duration::from_secs(24 * 3600) };

impl Limits {
    /// Nobody expires while it is measured, but everybody could.
    pub(crate) fn long() -> Self {
        Self { spread: false, ..Self::each(|_| LONG) }
    }

    pub(crate) fn each(of: impl Fn(usize) -> Lasts + Send + Sync + 'static) -> Self {
        Self { of: Arc::new(of), spread: true, sweep: Duration::from_secs(1) }
    }
}

/// The key of a session, as it comes from outside. Who keeps it makes an `Arc<str>` of it, as this crate does: the map
/// and the session share one.
pub(crate) fn key(index: usize) -> String {
    format!("user:{index}")
}

/// The hash of every map of keys: what this crate has, and what whoever looks for speed would take. With std's, each
/// look-up of a contender would cost some 15 ns more.
pub(crate) type Hasher = ahash::RandomState;

/// A map of keys that threads can share.
pub(crate) type Shared<A> = DashMap<Arc<str>, A, Hasher>;

/// A way to keep sessions by key, each of which ends when it is idle or too old.
///
/// Everything runs on one thread, inside an actix system, which is a tokio runtime of one thread.
pub(crate) trait Contender: Sized + 'static {
    /// The way to one session.
    type Address: Clone + 'static;

    /// Nothing is live.
    async fn start(limits: Limits) -> Self;

    /// The same, and somebody watches all that is opened and ended. `None` if it has nothing to watch with.
    async fn start_watched(_: Limits) -> Option<(Self, Watcher)> {
        None
    }

    /// The session of this number, opened if it is not live.
    async fn open(&self, index: usize) -> Self::Address;

    /// A message without an answer. The session has [handled](crate::ledger::handled) it when it
    /// has added `n`, and its idle time begins anew.
    fn tell(&self, to: &Self::Address, n: u64);

    /// A message with an answer: the sum of what was told.
    async fn ask(&self, to: &Self::Address, n: u64) -> u64;

    /// Ends a session and forgets its key; returns when both are done.
    async fn end(&self, index: usize);

    /// How many keys are live.
    fn live(&self) -> usize;

    /// The ways by key that other threads can go, to what is opened from here on.
    fn by_key(&self) -> ByKey;

    /// Sends a message whose reply is an hour in the making. False if it cannot be made in that way.
    fn begin_reply(&self, _to: &Self::Address, _how: InTheMaking) -> bool {
        false
    }
}

/// What another thread can do with a key.
#[derive(Clone)]
pub(crate) struct ByKey {
    /// Looks up the session and takes its address.
    pub(crate) get: Arc<dyn Fn(&str) -> bool + Send + Sync>,
    /// Sends it a message.
    pub(crate) tell: Arc<dyn Fn(&str) + Send + Sync>,
}

impl ByKey {
    /// Where a map has the addresses.
    pub(crate) fn of<A: Clone + Send + Sync + 'static>(live: &Arc<Shared<A>>, send: fn(&A)) -> Self {
        let (get, tell) = (Arc::clone(live), Arc::clone(live));
        Self {
            get: Arc::new(move |key| get.get(key).map(|address| address.clone()).is_some()),
            tell: Arc::new(move |key| send(&tell.get(key).expect("it is live"))),
        }
    }
}

/// Of what a reply is made.
#[derive(Debug, Clone, Copy)]
pub(crate) enum InTheMaking {
    /// actix's `ResponseFuture`.
    Future,
    /// actix's `ResponseActFuture`, which runs in the actor's context.
    ActFuture,
}
