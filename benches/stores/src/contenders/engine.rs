//! A store that a registry can be given, and records to fill it with.

use std::{
    path::Path,
    time::{Duration, SystemTime},
};

use session_actors::{
    SessionId,
    store::{Change, Record, RedbOptions, RedbStore, State, Store, StoreError},
};

use super::chat::{DAY, Remembered, key};

/// Of the file in memory, unless a row says otherwise: redb's default in this crate.
pub(crate) const CACHE: usize = 64 << 20;
/// In one batch where a file is filled.
const BATCH: usize = 10_000;

pub(crate) trait Engine {
    const NAME: &str;
    type Store: Store;

    /// Opens the file, with so many bytes of it in memory at most.
    fn open(file: &Path, cache: usize) -> Result<Self::Store, StoreError>;
}

/// As it is if nothing is said.
pub(crate) struct Redb;

impl Engine for Redb {
    const NAME: &str = "redb";
    type Store = RedbStore;

    fn open(file: &Path, cache: usize) -> Result<RedbStore, StoreError> {
        RedbStore::open_with(file, RedbOptions::new().cache_bytes(cache))
    }
}

/// Open at once after a crash, for a second fsync of each commit.
pub(crate) struct RedbQuickRepair;

impl Engine for RedbQuickRepair {
    const NAME: &str = "redb-quick-repair";
    type Store = RedbStore;

    fn open(file: &Path, cache: usize) -> Result<RedbStore, StoreError> {
        RedbStore::open_with(file, RedbOptions::new().cache_bytes(cache).quick_repair(true))
    }
}

/// The record of a conversation that was saved at this moment.
pub(crate) fn record(number: usize, saved: SystemTime) -> Result<Record, StoreError> {
    let state = State::of(&Remembered::of(key(number).as_str()))?;
    let record = Record::new(SessionId::of_stored(number as u64 + 1), saved - Duration::from_secs(3_600), state);
    Ok(record.last_activity(saved).ends_at(saved + DAY).handled(1_000))
}

/// Puts so many sessions into an empty store, of which one in `due_every` should have ended a day ago.
pub(crate) fn fill(store: &impl Store, count: usize, due_every: Option<usize>) -> Result<(), StoreError> {
    let now = SystemTime::now();
    store.reserve_ids(count as u64 + 1)?;
    let mut batch = Vec::with_capacity(BATCH);
    for number in shuffled(count) {
        let due = due_every.is_some_and(|every| number.is_multiple_of(every));
        let saved = if due { now - 2 * DAY } else { now };
        batch.push(Change::Put { key: key(number), record: record(number, saved)? });
        if batch.len() == BATCH {
            store.commit(&batch)?;
            batch.clear();
        }
    }
    store.commit(&batch)
}

/// All numbers below `count`, once each, in an order in which no two that follow each other are neighbours: nobody's
/// sessions come in the order of their keys.
pub(crate) fn shuffled(count: usize) -> impl Iterator<Item = usize> {
    // A prime, so that it meets every number of a count that is no multiple of it.
    const STEP: usize = 7_368_787;
    (0..count).map(move |n| n * STEP % count)
}

#[cfg(test)]
mod tests {
    use session_actors::store::MemoryStore;

    use super::*;

    #[test]
    fn a_store_is_filled_with_every_number_once() {
        let store = MemoryStore::new();
        fill(&store, 25_000, Some(1_000)).unwrap();
        assert_eq!(store.count(), Ok(25_000));
        assert_eq!(store.due(SystemTime::now(), 100).unwrap().len(), 25);
        assert_eq!(store.load(&key(24_999)).unwrap().map(|record| record.session.get()), Some(25_000));
    }
}
