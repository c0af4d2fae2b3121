//! One life of a registry: from its start to its end or to a crash.

use std::time::{Duration, SystemTime};

use session_actors::{
    Policy, SessionEvent, SessionKey, SessionRegistry, Watch, Watched,
    store::{Change, MemoryStore, Record, Store, StoreError},
};
use tokio::time::Instant;

use super::step::{KEYS, policy};
use crate::actor::{Lives, Tally, registry_by, settle};

pub struct Life {
    pub registry: SessionRegistry<Tally>,
    pub store: MemoryStore,
    pub policy: usize,
    pub lives: Lives,
    watch: Watch,
    /// Its wall clock begins with that of the system, which no pause stops, and goes on with the paused one.
    pub began: (SystemTime, Instant),
}

impl Life {
    pub fn begin(store: MemoryStore, number: usize) -> Self {
        let lives = Lives::default();
        let began = (SystemTime::now(), Instant::now());
        let registry = registry_by(Policy::new(policy(number)), store.clone(), &lives);
        let watch = registry.watch();
        Self { registry, store, policy: number, lives, watch, began }
    }

    fn wall(&self, at: Instant) -> SystemTime {
        self.began.0 + (at - self.began.1)
    }

    /// When something in the store was, by the test's clock.
    pub fn instant(&self, at: SystemTime) -> Instant {
        let now = Instant::now();
        match self.wall(now).duration_since(at) {
            Ok(ago) => now - ago,
            Err(ahead) => now + ahead.duration(),
        }
    }

    /// What is kept of a key, if it can be read.
    pub fn record(&self, key: &str) -> Option<Record> {
        match self.store.load(&SessionKey::new(key).unwrap()) {
            Ok(record) => record,
            Err(StoreError::Undecodable { .. }) => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// What has happened since.
    pub async fn events(&mut self) -> Vec<SessionEvent> {
        settle().await;
        let mut events = Vec::new();
        while let Ok(item) = tokio::time::timeout(Duration::ZERO, self.watch.next()).await {
            match item {
                Some(Watched::Event(event)) => events.push((*event).clone()),
                Some(_) => {}
                None => break,
            }
        }
        events
    }

    /// A store as a process that is started now would find this one: with its times by the wall clock of that process.
    pub fn copy(&self) -> MemoryStore {
        let copy = MemoryStore::immediate();
        let ahead = self.wall(Instant::now()).duration_since(SystemTime::now()).unwrap_or_default();
        let mut changes: Vec<_> = self.store.set_aside(1_000).unwrap().into_iter().map(Change::PutAside).collect();
        for key in KEYS.map(|key| SessionKey::new(key).unwrap()) {
            // What cannot be read is left out.
            let Ok(Some(record)) = self.store.load(&key) else { continue };
            let record = Record::new(record.session, record.opened_at - ahead, record.state)
                .last_activity(record.last_activity - ahead)
                .ends_at(record.ends_at.map(|at| at - ahead))
                .extended_until(record.extended_until.map(|at| at - ahead))
                .handled(record.handled)
                .limits(record.limits);
            changes.push(Change::Put { key, record });
        }
        changes.push(Change::Policy(self.store.policy().unwrap()));
        copy.commit(&changes).unwrap();
        let next = self.store.reserve_ids(0).unwrap();
        copy.reserve_ids(next - 1).unwrap();
        copy
    }
}
