//! Who waits for the store, and gives up when it has taken too long.
//!
//! For what has no task of its own that could watch the time: a start that is being loaded, a key that is sealed, an end
//! whose thread has gone. The rounds watch it for them.

use std::{
    collections::VecDeque,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};

use crate::{registry::hub::Hub, session::Session};

/// Something that waits; over when it is dropped.
pub(crate) trait Waiting<A: Session>: Send + Sync {
    /// Its time is over. True if it goes on, for as long again.
    fn give_up(&self, hub: &Arc<Hub<A>>) -> bool;
}

type Queue<A> = VecDeque<(Instant, Weak<dyn Waiting<A>>)>;

/// All of them, in the order in which they give up, because all have the same time.
pub(super) struct Waits<A: Session> {
    waiting: Mutex<Queue<A>>,
    /// Tells whoever watches their time that there is a first one.
    pub(super) begin: Arc<Notify>,
}

impl<A: Session> Default for Waits<A> {
    fn default() -> Self {
        Self { waiting: Mutex::default(), begin: Arc::default() }
    }
}

impl<A: Session> Waits<A> {
    pub(super) fn add(&self, until: Instant, waiting: Weak<dyn Waiting<A>>) {
        let mut all = self.waiting.lock();
        while all.front().is_some_and(|(_, waiting)| waiting.strong_count() == 0) {
            all.pop_front();
        }
        all.push_back((until, waiting));
        if all.len() == 1 {
            self.begin.notify_one();
        }
    }

    /// When the first gives up.
    pub(super) fn next(&self) -> Option<Instant> {
        self.waiting.lock().front().map(|(until, _)| *until)
    }

    /// Those whose time is over.
    pub(super) fn overdue(&self, now: Instant) -> Vec<Arc<dyn Waiting<A>>> {
        let mut waiting = self.waiting.lock();
        let over = waiting.iter().take_while(|(until, _)| *until <= now).count();
        waiting.drain(..over).filter_map(|(_, waiting)| waiting.upgrade()).collect()
    }
}
