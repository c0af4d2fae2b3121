//! What every contender can do, so that the work is written once and is the same for all.

use std::{
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

/// The maps of all contenders hash alike.
pub(crate) type Map<T> = std::collections::HashMap<String, T, ahash::RandomState>;
/// One that threads can share.
pub(crate) type Shared<K, T> = dashmap::DashMap<K, T, ahash::RandomState>;

/// How long one session lasts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    pub(crate) idle: Duration,
    pub(crate) max_age: Duration,
}

impl Times {
    pub(crate) const HOUR: Duration = Duration::from_secs(3600);
    pub(crate) const DAY: Duration = Duration::from_secs(24 * 3600);

    pub(crate) fn idle(idle: Duration) -> Self {
        Self { idle, max_age: Self::DAY }
    }
}

/// How long the sessions of a run last.
#[derive(Clone)]
pub(crate) struct Limits {
    /// By the number of the session.
    pub(crate) of: Rc<dyn Fn(usize) -> Times>,
    /// Each has times of its own.
    pub(crate) spread: bool,
    /// Between two sweeps, for those who sweep.
    pub(crate) sweep: Duration,
    /// Somebody is told of every session that ends, and counts here what it is told.
    pub(crate) watched: Option<Arc<AtomicUsize>>,
}

impl Limits {
    /// Nobody expires while it is measured, but everybody could.
    pub(crate) fn long() -> Self {
        Self { spread: false, ..Self::each(|_| Times::idle(Times::HOUR)) }
    }

    pub(crate) fn each(of: impl Fn(usize) -> Times + 'static) -> Self {
        Self { of: Rc::new(of), spread: true, sweep: Duration::from_secs(1), watched: None }
    }
}

/// One more end was told to who watches.
pub(crate) fn count(ends: &AtomicUsize) {
    ends.fetch_add(1, Ordering::Relaxed);
}

/// The key of a session.
pub(crate) fn key(index: usize) -> String {
    format!("user:{index}")
}

/// A way to keep sessions by key, each of which ends when it is idle or too old.
///
/// Everything runs on one thread, inside an actix system, which is a tokio runtime of one thread.
pub(crate) trait Contender: Sized + 'static {
    /// The way to one session.
    type Address: Clone + 'static;

    /// Nothing is live. If its ends are to be [watched](Limits::watched), whoever is told of them is one of its own kind.
    async fn start(limits: Limits) -> Self;

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

    /// The ways by key that other threads can go; `None` if there are none.
    fn by_key(&self) -> Option<ByKey> {
        None
    }

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

/// Of what a reply is made.
#[derive(Debug, Clone, Copy)]
pub(crate) enum InTheMaking {
    /// actix's `ResponseFuture`.
    Future,
    /// actix's `ResponseActFuture`, which runs in the actor's context.
    ActFuture,
}
