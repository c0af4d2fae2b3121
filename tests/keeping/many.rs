//! Many sessions in the store: what a start and what falls due cost follows what is due, not how many there are.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use session_actors::{
    EndReason, Policy, SessionId, SessionKey,
    store::{Aside, Change, Deadline, Entry, MemoryStore, Record, State, Store, StoreError},
};
use tokio::time::{pause, sleep};

use crate::actor::*;

/// `KEEPING_RECORDS` sets another number: a million takes a minute without optimization, and two seconds with.
const RECORDS: u64 = 20_000;
const DUE: u64 = 1_000;

/// Counts what is asked of a store.
#[derive(Clone, Default)]
struct Counting(Arc<Counts>, MemoryStore);

#[derive(Debug, Default)]
struct Counts {
    loads: AtomicU64,
    changes: AtomicU64,
    /// Looks at the index, and deadlines found.
    looks: AtomicU64,
    found: AtomicU64,
    pages: AtomicU64,
}

impl Store for Counting {
    fn load(&self, key: &SessionKey) -> Result<Option<Record>, StoreError> {
        self.0.loads.fetch_add(1, Relaxed);
        self.1.load(key)
    }

    fn commit(&self, changes: &[Change]) -> Result<(), StoreError> {
        self.0.changes.fetch_add(changes.len() as u64, Relaxed);
        self.1.commit(changes)
    }

    fn due(&self, until: SystemTime, limit: usize) -> Result<Vec<Deadline>, StoreError> {
        let due = self.1.due(until, limit)?;
        self.0.looks.fetch_add(1, Relaxed);
        self.0.found.fetch_add(due.len() as u64, Relaxed);
        Ok(due)
    }

    fn next_deadline(&self) -> Result<Option<SystemTime>, StoreError> {
        self.0.looks.fetch_add(1, Relaxed);
        self.1.next_deadline()
    }

    fn page(&self, after: Option<&SessionKey>, limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.0.pages.fetch_add(1, Relaxed);
        self.1.page(after, limit)
    }

    fn count(&self) -> Result<u64, StoreError> {
        self.1.count()
    }

    fn set_aside(&self, limit: usize) -> Result<Vec<Aside>, StoreError> {
        self.1.set_aside(limit)
    }

    fn policy(&self) -> Result<Option<String>, StoreError> {
        self.1.policy()
    }

    fn reserve_ids(&self, count: u64) -> Result<u64, StoreError> {
        self.1.reserve_ids(count)
    }

    fn is_immediate(&self) -> bool {
        true
    }
}

#[actix::test]
async fn what_is_not_due_is_not_looked_at() {
    pause();
    let records = std::env::var("KEEPING_RECORDS").ok().and_then(|records| records.parse().ok()).unwrap_or(RECORDS);
    let store = Counting(Arc::default(), MemoryStore::immediate());
    let policy = || Policy::new(limits().idle_timeout(secs(3_600)).max_age(None));
    // So that the store knows by which policy its deadlines are.
    let before = registry_by(policy(), store.1.clone(), &Lives::default());
    sleep(secs(1)).await;
    assert!(store.1.policy().unwrap().is_some());
    before.shutdown(secs(1)).await.unwrap();

    let now = SystemTime::now();
    store.1.reserve_ids(records).unwrap();
    let state = State::of(&Given { given: vec![1] }).unwrap();
    for n in 0..records {
        let ago = if n < DUE { secs(7_200) } else { secs(60) };
        let record = Record::new(SessionId::of_stored(n + 1), now - ago, state.clone());
        let ends_at = record.opened_at + Duration::from_secs(3_600);
        let key = SessionKey::new(format!("k{n:07}")).unwrap();
        store.1.commit(&[Change::Put { key, record: record.ends_at(ends_at) }]).unwrap();
    }

    let registry = registry_by(policy(), store.clone(), &Lives::default());
    // Whoever comes is served before all that is due has ended.
    assert_eq!(registry.send(format!("k{:07}", records - 1), Give(2)).await.unwrap(), [1, 2]);
    sleep(secs(5)).await;
    let stats = registry.stats();
    assert_eq!((stats.ended.get(EndReason::IdleTimeout), stats.ended_in_store), (DUE, DUE));
    assert_eq!((registry.len(), store.count()), (1, Ok(records - DUE)));

    let Counts { loads, changes, looks, found, pages } = &*store.0;
    assert_eq!(pages.load(Relaxed), 0, "nothing goes through all of them");
    // Each of those that were due, and the one that was asked for.
    assert_eq!((loads.load(Relaxed), changes.load(Relaxed)), (DUE + 1, DUE));
    assert_eq!(found.load(Relaxed), DUE);
    // In slices, then the next one.
    assert!(looks.load(Relaxed) <= DUE / 256 + 4, "{store:?}", store = store.0);
}
