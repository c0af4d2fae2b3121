//! What most gateways do: a `DashMap` of sessions, and a task that looks at all of them now and then. A
//! session is a value under its shard's lock; a message is a function call, on the thread of its sender. No
//! mailbox, no order but that of the lock, no asynchronous work inside of a session, and an end is late by up to
//! the pause between two sweeps.

use std::{sync::Arc, time::Instant};

use tokio::task::JoinHandle;

use super::deadline::Deadline;
use crate::{
    contender::{ByKey, Contender, Limits, Shared, key},
    ledger::Session,
};

struct Entry {
    session: Session,
    deadline: Deadline,
}

pub(crate) struct Sweep {
    live: Arc<Shared<Entry>>,
    limits: Limits,
    sweeper: JoinHandle<()>,
}

impl Drop for Sweep {
    fn drop(&mut self) {
        self.sweeper.abort();
    }
}

fn add(live: &Shared<Entry>, key: &str, n: u64) -> u64 {
    let mut entry = live.get_mut(key).expect("it is live");
    // The sweep looks at its age.
    let _ = entry.deadline.touch();
    entry.session.add(n)
}

impl Contender for Sweep {
    type Address = Arc<str>;

    async fn start(limits: Limits) -> Self {
        let live: Arc<Shared<Entry>> = Arc::default();
        let (swept, pause) = (Arc::clone(&live), limits.sweep);
        let sweeper = tokio::task::spawn_local(async move {
            loop {
                tokio::time::sleep(pause).await;
                let now = Instant::now();
                swept.retain(|_, entry| !entry.deadline.has_come(now));
            }
        });
        Self { live, limits, sweeper }
    }

    async fn open(&self, index: usize) -> Arc<str> {
        let entry = self.live.entry(key(index).into()).or_insert_with(|| Entry {
            session: Session::new(index),
            deadline: Deadline::new((self.limits.of)(index)),
        });
        Arc::clone(entry.key())
    }

    fn tell(&self, to: &Arc<str>, n: u64) {
        add(&self.live, to, n);
    }

    async fn ask(&self, to: &Arc<str>, n: u64) -> u64 {
        add(&self.live, to, n)
    }

    async fn end(&self, index: usize) {
        self.live.remove(&*key(index)).expect("it was live");
    }

    fn live(&self) -> usize {
        self.live.len()
    }

    /// The address is the key.
    fn by_key(&self) -> ByKey {
        let (get, tell) = (Arc::clone(&self.live), Arc::clone(&self.live));
        ByKey {
            get: Arc::new(move |key| get.get(key).map(|entry| Arc::clone(entry.key())).is_some()),
            tell: Arc::new(move |key| {
                add(&tell, key, 1);
            }),
        }
    }
}
