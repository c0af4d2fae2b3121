//! What the readers of a store are to do.

use std::collections::VecDeque;

use parking_lot::{Condvar, Mutex};

use super::desk::Asked;

type Read = Box<dyn FnOnce(&Asked) + Send>;

/// What the readers are to do. Each piece of it wakes one of them, and nobody spins: a start waits for that.
#[derive(Default)]
pub(super) struct Reads {
    queue: Mutex<Queue>,
    news: Condvar,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Read>,
    closed: bool,
}

impl Reads {
    pub(super) fn push(&self, read: Read) {
        self.queue.lock().waiting.push_back(read);
        self.news.notify_one();
    }

    /// `None` when it is closed and all is done.
    pub(super) fn next(&self) -> Option<Read> {
        let mut queue = self.queue.lock();
        loop {
            if let Some(read) = queue.waiting.pop_front() {
                return Some(read);
            }
            if queue.closed {
                return None;
            }
            self.news.wait(&mut queue);
        }
    }

    pub(super) fn close(&self) {
        self.queue.lock().closed = true;
        self.news.notify_all();
    }
}
