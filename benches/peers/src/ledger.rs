//! What has happened to the sessions of this thread: how many messages were handled, who has ended.
//!
//! Kept by the sessions' own state, [`Session`], which is the same for every contender.

use std::{
    cell::{Cell, RefCell},
    time::{Duration, Instant},
};

thread_local! {
    static HANDLED: Cell<u64> = const { Cell::new(0) };
    static ENDED: Cell<usize> = const { Cell::new(0) };
    static EXPECTED: Cell<usize> = const { Cell::new(usize::MAX) };
    static LAST_END: Cell<Option<Instant>> = const { Cell::new(None) };
    static ENDS: RefCell<Option<Vec<(usize, Instant)>>> = const { RefCell::new(None) };
}

/// The state of one session.
pub(crate) struct Session {
    index: usize,
    sum: u64,
}

impl Session {
    pub(crate) fn new(index: usize) -> Self {
        Self { index, sum: 0 }
    }

    pub(crate) fn index(&self) -> usize {
        self.index
    }

    /// Handles a message.
    pub(crate) fn add(&mut self, n: u64) -> u64 {
        self.sum = self.sum.wrapping_add(n);
        HANDLED.set(HANDLED.get() + 1);
        self.sum
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Not while the thread is torn down.
        let _ = ENDED.try_with(|ended| {
            ended.set(ended.get() + 1);
            if ended.get() == EXPECTED.get() {
                LAST_END.set(Some(Instant::now()));
            }
        });
        let _ = ENDS.try_with(|ends| {
            if let Ok(mut ends) = ends.try_borrow_mut()
                && let Some(ends) = ends.as_mut()
            {
                ends.push((self.index, Instant::now()));
            }
        });
    }
}

pub(crate) fn handled() -> u64 {
    HANDLED.get()
}

pub(crate) fn ended() -> usize {
    ENDED.get()
}

/// So many are to end: [`last_end`] is then known.
pub(crate) fn expect_ends(count: usize) {
    EXPECTED.set(count);
}

/// When the last of those expected has ended.
pub(crate) fn last_end() -> Option<Instant> {
    LAST_END.get()
}

/// From here on it is remembered who ends, and when.
pub(crate) fn record_ends(expected: usize) {
    ENDS.set(Some(Vec::with_capacity(expected)));
}

pub(crate) fn take_ends() -> Vec<(usize, Instant)> {
    ENDS.take().unwrap_or_default()
}

/// Waits until this many messages were handled, and lets everybody run meanwhile.
pub(crate) async fn wait_for_handled(count: u64) {
    while handled() < count {
        tokio::task::yield_now().await;
    }
}

/// Waits until this many sessions have ended; looks every millisecond.
pub(crate) async fn wait_for_ended(count: usize, within: Duration) -> Result<(), String> {
    let begin = Instant::now();
    while ended() < count {
        if begin.elapsed() > within {
            return Err(format!("{} of {count} sessions have ended after {within:?}", ended()));
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}
