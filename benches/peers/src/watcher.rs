//! Somebody who watches sessions begin and end, and counts what it is told.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::task::yield_now;

#[derive(Clone)]
pub(crate) struct Watcher {
    seen: Arc<AtomicUsize>,
    /// Of one life.
    events: usize,
}

impl Watcher {
    /// It is told so many things of each life.
    pub(crate) fn new(events: usize) -> Self {
        Self { seen: Arc::default(), events }
    }

    pub(crate) fn saw(&self) {
        self.seen.fetch_add(1, Ordering::Relaxed);
    }

    /// Waits until it has seen so many lives, and lets everybody run meanwhile.
    pub(crate) async fn wait_for(&self, lives: usize) -> Result<(), String> {
        let (begin, expected) = (Instant::now(), self.events * lives);
        while self.seen.load(Ordering::Relaxed) < expected {
            if begin.elapsed() > Duration::from_secs(10) {
                break;
            }
            yield_now().await;
        }
        match self.seen.load(Ordering::Relaxed) {
            seen if seen == expected => Ok(()),
            seen => Err(format!("the watcher has seen {seen} of {expected} events")),
        }
    }
}
