//! Numbers about a registry.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::event::{EndReason, EventKind, StoreTask};

/// What a registry has done since it was started, and how it stands.
///
/// What concerns sessions and their events is counted where events are numbered, so it agrees with them: `opened` is
/// always `live + ended.total()`; with a store, `opened + restored + ended_in_store` is always
/// `live + passivated + ended.total()`. The four about capacity (`waiting`, `keys`, `max_sessions`, `refused`) are read
/// separately, a moment apart.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Stats {
    /// Sessions opened and not yet ended, draining ones among them.
    pub live: usize,
    /// Live sessions that are finishing.
    pub draining: usize,
    /// Sessions that may not start yet: their predecessor is still ending, or somebody is still going for them.
    pub waiting: usize,
    /// Keys with a session live or waiting: what `max_sessions` limits.
    pub keys: usize,
    /// The cap on `keys`. `None` if there is none.
    pub max_sessions: Option<usize>,
    /// Sessions opened so far.
    pub opened: u64,
    /// Sessions ended so far, by reason.
    pub ended: EndedCounts,
    /// Starts that failed; none of them counts as opened.
    pub start_failed: u64,
    /// Opens refused for lack of room.
    pub refused: u64,
    /// Times that a session was saved and left memory.
    pub passivated: u64,
    /// Times that one came back.
    pub restored: u64,
    /// Of the ended, those whose time came while they were in the store.
    pub ended_in_store: u64,
    /// Times that the store could not do what it was asked, by what that was.
    pub store_failed: StoreFailedCounts,
    /// Warnings given before a deadline.
    pub warned: u64,
    /// Extensions granted at an idle deadline.
    pub extended: u64,
    /// Ends that observe mode did not carry out.
    pub would_end: u64,
    /// Messages that ended sessions left to their successors.
    pub messages_handed_over: u64,
    /// Messages that ended sessions left to nobody.
    pub messages_dropped: u64,
    /// Pieces of work that ends have cut.
    pub work_cut: u64,
    /// Watches that exist now.
    pub watchers: usize,
    /// How often a watch fell behind and was given a fresh snapshot.
    pub lagged: u64,
}

impl Stats {
    pub(crate) fn new(journal: Counters, capacity: Capacity) -> Self {
        let Counters { live, draining, watchers, lagged, totals } = journal;
        let Totals { opened, ended, start_failed, passivated, restored, ended_in_store, store_failed, .. } = totals;
        let Totals { warned, extended, would_end, handed_over, dropped, cut, .. } = totals;
        let Capacity { waiting, keys, max_sessions, refused } = capacity;
        Self {
            live,
            draining,
            waiting,
            keys,
            max_sessions,
            opened,
            ended,
            start_failed,
            refused,
            passivated,
            restored,
            ended_in_store,
            store_failed,
            warned,
            extended,
            would_end,
            messages_handed_over: handed_over,
            messages_dropped: dropped,
            work_cut: cut,
            watchers,
            lagged,
        }
    }
}

/// Counts for every value of an enum that knows `ALL` of its values and the word for each.
macro_rules! counts {
    ($(#[$doc:meta])* $counts:ident of $of:ident) => {
        $(#[$doc])*
        ///
        /// Serializes as a map with every one in it, also those that never occurred, so that a metric is there before its
        /// first event.
        #[derive(Clone, Copy, Default, PartialEq, Eq)]
        pub struct $counts([u64; $of::ALL.len()]);

        impl $counts {
            /// How many there were of this.
            #[must_use]
            pub const fn get(&self, of: $of) -> u64 {
                self.0[of as usize]
            }

            /// How many there were at all.
            #[must_use]
            pub fn total(&self) -> u64 {
                self.0.iter().sum()
            }

            /// Every one with its count, in the order of `ALL`.
            pub fn iter(&self) -> impl Iterator<Item = ($of, u64)> {
                $of::ALL.iter().map(|&of| (of, self.get(of)))
            }

            pub(crate) fn add(&mut self, of: $of) {
                self.0[of as usize] += 1;
            }
        }

        impl fmt::Debug for $counts {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_map().entries(self.iter()).finish()
            }
        }

        impl Serialize for $counts {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_map(self.iter())
            }
        }
    };
}

counts! {
    /// How many sessions ended for each [`EndReason`].
    EndedCounts of EndReason
}

counts! {
    /// How often the store could not do each [`StoreTask`].
    StoreFailedCounts of StoreTask
}

/// What the journal knows, read under its lock and therefore of one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counters {
    pub(crate) live: usize,
    pub(crate) draining: usize,
    pub(crate) watchers: usize,
    pub(crate) lagged: u64,
    pub(crate) totals: Totals,
}

/// What only grows, event by event. Belongs to the journal, which counts and publishes in one step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) opened: u64,
    pub(crate) ended: EndedCounts,
    pub(crate) start_failed: u64,
    pub(crate) passivated: u64,
    pub(crate) restored: u64,
    pub(crate) ended_in_store: u64,
    pub(crate) store_failed: StoreFailedCounts,
    pub(crate) warned: u64,
    pub(crate) extended: u64,
    pub(crate) would_end: u64,
    pub(crate) handed_over: u64,
    pub(crate) dropped: u64,
    pub(crate) cut: u64,
}

impl Totals {
    /// Counts one event that is being published.
    pub(crate) fn count(&mut self, kind: &EventKind) {
        match kind {
            EventKind::Opened { .. } => self.opened += 1,
            EventKind::Warned { .. } => self.warned += 1,
            EventKind::Extended { .. } => self.extended += 1,
            EventKind::WouldEnd { .. } => self.would_end += 1,
            EventKind::StartFailed { .. } => self.start_failed += 1,
            EventKind::Passivated { cut, handed_over, dropped, .. } => {
                self.passivated += 1;
                self.left_over(*cut, *handed_over, *dropped);
            }
            EventKind::Restored { .. } => self.restored += 1,
            EventKind::StoreFailed { doing, .. } => self.store_failed.add(*doing),
            // Shown as the number of sessions that drain now, which the live set knows.
            EventKind::Draining { .. } => {}
            EventKind::Ended(ended) => {
                self.ended.add(ended.reason);
                self.left_over(ended.cut, ended.handed_over, ended.dropped);
            }
        }
    }

    fn left_over(&mut self, cut: u32, handed_over: u64, dropped: u64) {
        self.cut += u64::from(cut);
        self.handed_over += handed_over;
        self.dropped += dropped;
    }
}

/// What the registry adds: how full it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Capacity {
    pub(crate) waiting: usize,
    pub(crate) keys: usize,
    pub(crate) max_sessions: Option<usize>,
    pub(crate) refused: u64,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::event::Ended;

    #[test]
    fn stats_are_written_flat_with_every_reason() {
        let mut totals = Totals { opened: 5, ..Totals::default() };
        totals.count(&EventKind::Ended(Ended {
            reason: EndReason::MaxAge,
            age: Duration::ZERO,
            late: None,
            idle: Duration::ZERO,
            handled: 0,
            cut: 1,
            handed_over: 2,
            dropped: 3,
            panic: None,
        }));
        totals.count(&EventKind::StartFailed { error: String::new() });
        let counters = Counters { live: 4, draining: 1, watchers: 2, lagged: 6, totals };
        let capacity = Capacity { waiting: 1, keys: 5, max_sessions: None, refused: 7 };

        let json = serde_json::to_string(&Stats::new(counters, capacity)).unwrap();

        assert_eq!(
            json,
            concat!(
                r#"{"live":4,"draining":1,"waiting":1,"keys":5,"max_sessions":null,"opened":5,"#,
                r#""ended":{"idle_timeout":0,"max_age":1,"stuck":0,"closed":0,"stopped":0,"evicted":0,"panicked":0,"shutdown":0,"aborted":0},"#,
                r#""start_failed":1,"refused":7,"passivated":0,"restored":0,"ended_in_store":0,"store_failed":{"load":0,"save":0,"remove":0},"warned":0,"extended":0,"would_end":0,"#,
                r#""messages_handed_over":2,"messages_dropped":3,"work_cut":1,"watchers":2,"lagged":6}"#,
            )
        );
    }

    #[test]
    fn ends_are_counted_by_reason() {
        let mut ended = EndedCounts::default();
        for &reason in EndReason::ALL {
            ended.add(reason);
            ended.add(reason);
            assert_eq!(ended.get(reason), 2);
        }
        assert_eq!(ended.total(), 2 * EndReason::ALL.len() as u64);
        assert!(ended.iter().map(|(reason, _)| reason).eq(EndReason::ALL.iter().copied()));
    }
}
