//! moka, a cache with a time to idle and a time to live. A session is a value behind a lock; a message is
//! a look-up, on the thread of its sender. No actors, no mailbox, no work, no drain: to end a session is to
//! invalidate its entry. One that has expired goes when the cache does its maintenance: at its operations, and
//! here at every sweep besides.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use moka::{Expiry, sync::Cache};
use tokio::task::JoinHandle;

use crate::{
    contender::{ByKey, Contender, Hasher, Limits, key},
    ledger::Session,
    watcher::Watcher,
};

/// Its limits are the cache's.
type Entry = Arc<Mutex<Session>>;
type Live = Cache<Arc<str>, Entry, Hasher>;

fn add(live: &Live, key: &str, n: u64) -> u64 {
    live.get(key).expect("it is live").lock().unwrap_or_else(PoisonError::into_inner).add(n)
}

/// Only where each session has limits of its own.
struct EachItsOwn(Limits);

impl EachItsOwn {
    /// What is left of a session of this age.
    fn left(&self, entry: &Entry, age: Duration) -> Duration {
        let index = entry.lock().unwrap_or_else(PoisonError::into_inner).index();
        let lasts = (self.0.of)(index);
        lasts.idle.min(lasts.max_age.saturating_sub(age))
    }
}

impl Expiry<Arc<str>, Entry> for EachItsOwn {
    fn expire_after_create(&self, _: &Arc<str>, entry: &Entry, _: Instant) -> Option<Duration> {
        Some(self.left(entry, Duration::ZERO))
    }

    fn expire_after_read(
        &self,
        _: &Arc<str>,
        entry: &Entry,
        read: Instant,
        _: Option<Duration>,
        created: Instant,
    ) -> Option<Duration> {
        Some(self.left(entry, read.saturating_duration_since(created)))
    }
}

pub(crate) struct Moka {
    live: Live,
    sweeper: JoinHandle<()>,
}

impl Drop for Moka {
    fn drop(&mut self) {
        self.sweeper.abort();
    }
}

impl Moka {
    fn with(limits: Limits, watcher: Option<Watcher>) -> Self {
        let (mut builder, pause) = (Cache::builder(), limits.sweep);
        if let Some(watcher) = watcher {
            builder = builder.eviction_listener(move |_, _, _| watcher.saw());
        }
        builder = if limits.spread {
            builder.expire_after(EachItsOwn(limits))
        } else {
            let lasts = (limits.of)(0);
            builder.time_to_idle(lasts.idle).time_to_live(lasts.max_age)
        };
        let live = builder.build_with_hasher(Hasher::new());
        let swept = live.clone();
        let sweeper = tokio::task::spawn_local(async move {
            loop {
                tokio::time::sleep(pause).await;
                swept.run_pending_tasks();
            }
        });
        Self { live, sweeper }
    }
}

impl Contender for Moka {
    type Address = Arc<str>;

    async fn start(limits: Limits) -> Self {
        Self::with(limits, None)
    }

    /// Its listener is told of every entry that goes; of those that come nobody is told.
    async fn start_watched(limits: Limits) -> Option<(Self, Watcher)> {
        let watcher = Watcher::new(1);
        Some((Self::with(limits, Some(watcher.clone())), watcher))
    }

    async fn open(&self, index: usize) -> Arc<str> {
        let key: Arc<str> = key(index).into();
        self.live.get_with_by_ref(&key, || Arc::new(Mutex::new(Session::new(index))));
        key
    }

    fn tell(&self, to: &Arc<str>, n: u64) {
        add(&self.live, to, n);
    }

    async fn ask(&self, to: &Arc<str>, n: u64) -> u64 {
        add(&self.live, to, n)
    }

    async fn end(&self, index: usize) {
        self.live.invalidate(&*key(index));
    }

    fn live(&self) -> usize {
        self.live.run_pending_tasks();
        usize::try_from(self.live.entry_count()).unwrap_or(usize::MAX)
    }

    fn by_key(&self) -> ByKey {
        let (get, tell) = (self.live.clone(), self.live.clone());
        ByKey {
            get: Arc::new(move |key| get.get(key).is_some()),
            tell: Arc::new(move |key| {
                add(&tell, key, 1);
            }),
        }
    }
}
