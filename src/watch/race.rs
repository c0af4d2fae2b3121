//! Watches in real threads. The model in [`super::model`] says what must come; here it comes from all sides.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::Duration,
};

use tokio::time::timeout;

use super::{
    Watch, Watched,
    model::{Belief, Live},
};
use crate::journal::fixture::{end, extend, journal, open, stats};

/// Far longer than any wait here: a failure instead of a test that hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// Four threads open and end sessions of their own as fast as they can; two watchers follow from threads of theirs.
fn race(history: usize) -> (Vec<u64>, u64) {
    const PUBLISHERS: u64 = 4;
    const ROUNDS: u64 = 2_000;

    let journal = journal(history);
    let ids = AtomicU64::new(0);
    let follow = |mut watch: Watch| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let mut belief = Belief::default();
        let mut events = 0;
        while let Some(item) =
            runtime.block_on(async { timeout(PATIENCE, watch.next()).await.expect("a lost wake-up") })
        {
            belief.take(&item);
            events += u64::from(matches!(item, Watched::Event(_)));
        }
        assert_eq!(belief.known, Live::new());
        assert_eq!(belief.upto, Some(PUBLISHERS * ROUNDS * 3));
        events
    };
    let seen = thread::scope(|scope| {
        let watchers: Vec<_> = (0..2).map(|_| journal.watch(None)).map(|watch| scope.spawn(|| follow(watch))).collect();
        let publishers: Vec<_> = (0..PUBLISHERS)
            .map(|publisher| {
                let (journal, ids) = (&journal, &ids);
                scope.spawn(move || {
                    for round in 0..ROUNDS {
                        let vitals =
                            open(journal, &format!("{publisher}:{}", round % 3), ids.fetch_add(1, Ordering::Relaxed));
                        extend(journal, &vitals);
                        end(journal, &vitals);
                    }
                })
            })
            .collect();
        for publisher in publishers {
            publisher.join().unwrap();
        }
        journal.close();
        watchers.into_iter().map(|watcher| watcher.join().unwrap()).collect()
    });
    (seen, stats(&journal).lagged)
}

#[test]
fn watchers_in_other_threads_get_every_event_once() {
    let (seen, lagged) = race(1_000_000);
    assert_eq!(seen, [24_000, 24_000]);
    assert_eq!(lagged, 0);
}

#[test]
fn watchers_in_other_threads_that_fall_behind_still_end_up_right() {
    // Whether they do fall behind is up to the scheduler; with a history of two it is hard not to.
    race(2);
}
