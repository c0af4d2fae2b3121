//! moka, a cache with a time to idle and a time to live. A session is a value behind a lock; a message is
//! a look-up. No actors, no mailbox, no work, no drain, and an entry goes when the cache does its
//! maintenance: at its operations, and here at every sweep besides. To end one is to invalidate it: nobody finds it from
//! then on, though it is freed later. Who watches is its listener of evictions, which is told then.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use moka::{Expiry, sync::Cache};
use tokio::task::JoinHandle;

use crate::{
    contender::{Contender, Limits, Times, count, key},
    ledger::Session,
};

#[derive(Clone)]
struct Entry {
    session: Arc<Mutex<Session>>,
    times: Times,
}

/// Only where each session has times of its own.
struct EachItsOwn;

impl Expiry<Arc<str>, Entry> for EachItsOwn {
    fn expire_after_create(&self, _: &Arc<str>, entry: &Entry, _: Instant) -> Option<Duration> {
        Some(entry.times.idle.min(entry.times.max_age))
    }

    fn expire_after_read(
        &self,
        _: &Arc<str>,
        entry: &Entry,
        read: Instant,
        _: Option<Duration>,
        made: Instant,
    ) -> Option<Duration> {
        Some(entry.times.idle.min(entry.times.max_age.saturating_sub(read - made)))
    }
}

pub(crate) struct Moka {
    live: Cache<Arc<str>, Entry, ahash::RandomState>,
    limits: Limits,
    sweeper: JoinHandle<()>,
}

impl Drop for Moka {
    fn drop(&mut self) {
        self.sweeper.abort();
    }
}

impl Moka {
    fn add(&self, to: &Arc<str>, n: u64) -> u64 {
        let entry = self.live.get(to).expect("it is live");
        entry.session.lock().unwrap_or_else(PoisonError::into_inner).add(n)
    }
}

impl Contender for Moka {
    type Address = Arc<str>;

    async fn start(limits: Limits) -> Self {
        let mut builder = Cache::builder();
        if let Some(ends) = limits.watched.clone() {
            builder = builder.eviction_listener(move |_, _, _| count(&ends));
        }
        let hasher = ahash::RandomState::new();
        let live = if limits.spread {
            builder.expire_after(EachItsOwn).build_with_hasher(hasher)
        } else {
            let Times { idle, max_age } = (limits.of)(0);
            builder.time_to_idle(idle).time_to_live(max_age).build_with_hasher(hasher)
        };
        let (swept, pause) = (live.clone(), limits.sweep);
        let sweeper = tokio::task::spawn_local(async move {
            loop {
                tokio::time::sleep(pause).await;
                swept.run_pending_tasks();
            }
        });
        Self { live, limits, sweeper }
    }

    async fn open(&self, index: usize) -> Arc<str> {
        let key: Arc<str> = key(index).into();
        let times = (self.limits.of)(index);
        let make = || Entry { session: Arc::new(Mutex::new(Session::new(index))), times };
        self.live.get_with(Arc::clone(&key), make);
        key
    }

    fn tell(&self, to: &Arc<str>, n: u64) {
        self.add(to, n);
    }

    async fn ask(&self, to: &Arc<str>, n: u64) -> u64 {
        self.add(to, n)
    }

    async fn end(&self, index: usize) {
        self.live.invalidate(&*key(index));
    }

    fn live(&self) -> usize {
        self.live.run_pending_tasks();
        usize::try_from(self.live.entry_count()).unwrap_or(usize::MAX)
    }
}
