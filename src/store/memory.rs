//! A store in memory, for tests: as careful as one on disk, and it fails when it is told to.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, mem,
    ops::Bound,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::{
    Aside, Change, Deadline, Entry, Record, Store, StoreError,
    record::{millis, of_millis},
};
use crate::{event::SessionId, key::SessionKey};

/// A store in memory, for tests. A clone is the same store, as if it had been opened again after a restart.
///
/// It keeps the bytes that a store on disk would keep, so that what cannot be written or read is found here as well.
#[derive(Clone, Default)]
pub struct MemoryStore {
    shared: Arc<Shared>,
    immediate: bool,
}

#[derive(Default)]
struct Shared {
    state: Mutex<Content>,
    faults: Mutex<Faults>,
    /// The faults have changed.
    changed: Condvar,
    /// Commits that wait for that.
    committing: AtomicUsize,
}

#[derive(Default)]
struct Content {
    records: BTreeMap<SessionKey, Stored>,
    deadlines: BTreeSet<(u64, SessionKey)>,
    aside: Vec<Aside>,
    policy: Option<String>,
    next_id: u64,
    commits: u64,
}

struct Stored {
    session: SessionId,
    ends_at: Option<u64>,
    bytes: Vec<u8>,
}

/// What goes wrong from now on.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Faults {
    /// Every [`Store::load`] fails with it.
    pub load: Option<StoreError>,
    /// Every [`Store::commit`] fails with it, and changes nothing.
    pub commit: Option<StoreError>,
    /// Every [`Store::commit`] takes that long.
    pub commit_takes: Duration,
    /// No [`Store::commit`] is answered until this is false again.
    pub commit_stalled: bool,
    /// Nothing is answered until this is false again.
    pub stalled: bool,
}

impl MemoryStore {
    /// An empty one, called on threads of its own, as one on disk is.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty one, called on the spot ([`Store::is_immediate`]): for tests with a paused clock. It must not be
    /// stalled.
    #[must_use]
    pub fn immediate() -> Self {
        Self { shared: Arc::default(), immediate: true }
    }

    /// Changes what goes wrong.
    pub fn faults(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.shared.faults.lock());
        self.shared.changed.notify_all();
    }

    /// How many batches were committed.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.shared.state.lock().commits
    }

    /// Puts bytes where the record of this key is, as if it had been damaged. Its deadline stays.
    pub fn damage(&self, key: &SessionKey, bytes: impl Into<Vec<u8>>) {
        if let Some(stored) = self.shared.state.lock().records.get_mut(key) {
            stored.bytes = bytes.into();
        }
    }

    /// Whether a [`Store::commit`] has come that is [not answered](Faults::commit_stalled).
    #[must_use]
    pub fn is_committing(&self) -> bool {
        self.shared.committing.load(Ordering::SeqCst) > 0
    }

    fn wait_to_commit(&self) {
        let mut faults = self.shared.faults.lock();
        self.shared.committing.fetch_add(1, Ordering::SeqCst);
        while faults.commit_stalled {
            self.shared.changed.wait(&mut faults);
        }
        self.shared.committing.fetch_sub(1, Ordering::SeqCst);
        let takes = faults.commit_takes;
        drop(faults);
        // Nobody ever tells.
        let (never, nobody) = (Mutex::new(()), Condvar::new());
        if !takes.is_zero() {
            nobody.wait_for(&mut never.lock(), takes);
        }
    }

    /// Its content, when it is not stalled, unless this fails.
    fn content(
        &self,
        fault: impl FnOnce(&Faults) -> Option<StoreError>,
    ) -> Result<MutexGuard<'_, Content>, StoreError> {
        let mut faults = self.shared.faults.lock();
        while faults.stalled {
            self.shared.changed.wait(&mut faults);
        }
        match fault(&faults) {
            Some(error) => Err(error),
            None => Ok(self.shared.state.lock()),
        }
    }
}

impl Content {
    fn put(&mut self, key: &SessionKey, stored: Stored) {
        let ends_at = stored.ends_at;
        if let Some(Stored { ends_at: Some(old), .. }) = self.records.insert(key.clone(), stored) {
            self.deadlines.remove(&(old, key.clone()));
        }
        if let Some(at) = ends_at {
            self.deadlines.insert((at, key.clone()));
        }
    }

    fn take(&mut self, key: &SessionKey) -> Option<Stored> {
        let stored = self.records.remove(key)?;
        if let Some(at) = stored.ends_at {
            self.deadlines.remove(&(at, key.clone()));
        }
        Some(stored)
    }
}

impl Store for MemoryStore {
    fn load(&self, key: &SessionKey) -> Result<Option<Record>, StoreError> {
        let content = self.content(|faults| faults.load.clone())?;
        content.records.get(key).map(|stored| Record::decode(key, &stored.bytes)).transpose()
    }

    fn commit(&self, changes: &[Change]) -> Result<(), StoreError> {
        // Whatever can fail comes first.
        let mut encoded = Vec::new();
        for change in changes {
            if let Change::Put { record, .. } = change {
                encoded.push(record.encode()?);
            }
        }
        let mut encoded = encoded.into_iter();
        self.wait_to_commit();
        let mut content = self.content(|faults| faults.commit.clone())?;
        for change in changes {
            match change {
                Change::Put { key, record } => {
                    let bytes = encoded.next().unwrap_or_default();
                    let ends_at = record.ends_at.map(millis);
                    content.put(key, Stored { session: record.session, ends_at, bytes });
                }
                Change::Remove { key, session } => {
                    if content.records.get(key).is_some_and(|stored| stored.session == *session) {
                        content.take(key);
                    }
                }
                Change::Discard { key } => drop(content.take(key)),
                Change::PutAside(aside) => {
                    content.aside.push(Aside { at: of_millis(millis(aside.at)), ..aside.clone() });
                }
                Change::DiscardAside { key } => content.aside.retain(|aside| aside.key != *key),
                Change::Policy(policy) => content.policy = policy.clone(),
                Change::SetAside { key, why } => {
                    if let Some(stored) = content.take(key) {
                        let at = of_millis(millis(SystemTime::now()));
                        content.aside.push(Aside::new(key.clone(), at, why.clone(), stored.bytes));
                    }
                }
            }
        }
        content.commits += u64::from(!changes.is_empty());
        Ok(())
    }

    fn due(&self, until: SystemTime, limit: usize) -> Result<Vec<Deadline>, StoreError> {
        let content = self.content(|faults| faults.load.clone())?;
        let until = millis(until);
        let due = content.deadlines.iter().take_while(|(at, _)| *at <= until).take(limit);
        Ok(due.map(|(at, key)| Deadline::new(key.clone(), of_millis(*at))).collect())
    }

    fn next_deadline(&self) -> Result<Option<SystemTime>, StoreError> {
        let content = self.content(|faults| faults.load.clone())?;
        Ok(content.deadlines.first().map(|(at, _)| of_millis(*at)))
    }

    fn page(&self, after: Option<&SessionKey>, limit: usize) -> Result<Vec<Entry>, StoreError> {
        let content = self.content(|faults| faults.load.clone())?;
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let records = content.records.range::<SessionKey, _>((from, Bound::Unbounded)).take(limit);
        Ok(records.map(|(key, stored)| Entry::new(key.clone(), Record::decode(key, &stored.bytes))).collect())
    }

    fn count(&self) -> Result<u64, StoreError> {
        Ok(self.content(|faults| faults.load.clone())?.records.len() as u64)
    }

    fn set_aside(&self, limit: usize) -> Result<Vec<Aside>, StoreError> {
        Ok(self.content(|faults| faults.load.clone())?.aside.iter().take(limit).cloned().collect())
    }

    fn policy(&self) -> Result<Option<String>, StoreError> {
        Ok(self.content(|faults| faults.load.clone())?.policy.clone())
    }

    fn reserve_ids(&self, count: u64) -> Result<u64, StoreError> {
        let mut content = self.content(|faults| faults.commit.clone())?;
        let next = content.next_id + 1 + count;
        Ok(mem::replace(&mut content.next_id, next - 1) + 1)
    }

    fn is_immediate(&self) -> bool {
        self.immediate
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("records", &self.shared.state.lock().records.len()).finish_non_exhaustive()
    }
}
