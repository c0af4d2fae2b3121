//! What most gateways do: a `DashMap` of sessions, and a task that looks at all of them now and then. A
//! session is a value under its shard's lock; a message is a function call. No mailbox, no order but
//! that of the lock, no asynchronous work inside of a session, and an end is late by up to the pause
//! between two sweeps.

use std::{
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::task::JoinHandle;

use crate::{
    contender::{Contender, Limits, Shared, Times, key},
    ledger::Session,
};

struct Entry {
    session: Session,
    too_old: Instant,
    touched: Instant,
    idle: Duration,
}

pub(crate) struct Sweep {
    live: Rc<Shared<Arc<str>, Entry>>,
    limits: Limits,
    sweeper: JoinHandle<()>,
}

impl Drop for Sweep {
    fn drop(&mut self) {
        self.sweeper.abort();
    }
}

impl Sweep {
    fn add(&self, to: &Arc<str>, n: u64) -> u64 {
        let mut entry = self.live.get_mut(to).expect("it is live");
        entry.touched = Instant::now();
        entry.session.add(n)
    }
}

impl Contender for Sweep {
    type Address = Arc<str>;

    async fn start(limits: Limits) -> Self {
        let live: Rc<Shared<Arc<str>, Entry>> = Rc::default();
        let (swept, pause) = (Rc::clone(&live), limits.sweep);
        let sweeper = tokio::task::spawn_local(async move {
            loop {
                tokio::time::sleep(pause).await;
                let now = Instant::now();
                swept.retain(|_, entry| now - entry.touched < entry.idle && now < entry.too_old);
            }
        });
        Self { live, limits, sweeper }
    }

    async fn open(&self, index: usize) -> Arc<str> {
        let now = Instant::now();
        let entry = self.live.entry(key(index).into()).or_insert_with(|| {
            let Times { idle, max_age } = (self.limits.of)(index);
            Entry { session: Session::new(index), too_old: now + max_age, touched: now, idle }
        });
        Arc::clone(entry.key())
    }

    fn tell(&self, to: &Arc<str>, n: u64) {
        self.add(to, n);
    }

    async fn ask(&self, to: &Arc<str>, n: u64) -> u64 {
        self.add(to, n)
    }

    async fn end(&self, index: usize) {
        self.live.remove(&*key(index)).expect("it was live");
    }

    fn live(&self) -> usize {
        self.live.len()
    }
}
