//! What a watcher believes by what it was told, for comparing it with the truth.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;

use futures_util::FutureExt;
use session_actors::{EventId, EventKind, Session, SessionId, SessionRegistry, Snapshot, Watch, Watched};
use tokio::task::unconstrained;

/// The live sessions by key.
pub type Live = BTreeMap<String, SessionId>;

/// What `registry` says is live.
pub fn live<A: Session>(registry: &SessionRegistry<A>) -> Live {
    let live: Live = registry.list().iter().map(|info| (info.key.to_string(), info.id)).collect();
    assert_eq!(live.len(), registry.len());
    live
}

/// The next item, if it is there. A watch lets others run after so many items in a row, as tokio's
/// channels do, which is not to be taken for its having no more.
pub fn read(watch: &mut Watch) -> Option<Watched> {
    unconstrained(watch.next()).now_or_never().flatten()
}

/// A snapshot and the events since. Checks of each item that it fits to those before: no gap, no
/// repetition, nothing out of order, each session opened once and ended once.
#[derive(Clone, Debug, Default)]
pub struct Belief {
    pub known: Live,
    /// Where it stands; `None` before the first item.
    pub at: Option<EventId>,
    pub lags: u64,
    pub missed: u64,
    pub events: u64,
}

impl Belief {
    pub fn take(&mut self, item: &Watched) {
        match item {
            Watched::Snapshot(snapshot) => {
                assert!(self.at.is_none(), "a second snapshot: {item:?}");
                self.start_from(snapshot);
            }
            Watched::Lagged { missed, snapshot } => {
                let at = self.at.expect("a lag before the first item");
                assert!(*missed > 0);
                assert_eq!(at.sequence() + missed, snapshot.at.sequence(), "the lag says how much is missing");
                self.lags += 1;
                self.missed += missed;
                self.start_from(snapshot);
            }
            Watched::Event(event) => {
                let at = self.at.expect("an event before the first snapshot");
                assert_eq!(event.id.epoch(), at.epoch());
                assert_eq!(event.id.sequence(), at.sequence() + 1, "a gap or a repetition at {event:?}");
                self.at = Some(event.id);
                self.events += 1;
                let key = event.key.to_string();
                match &event.kind {
                    EventKind::Opened { .. } => {
                        let before = self.known.insert(key, event.session);
                        assert_eq!(before, None, "opened while its key was live: {event:?}");
                    }
                    EventKind::Ended(_) => {
                        let before = self.known.remove(&key);
                        assert_eq!(before, Some(event.session), "ended, and was not live: {event:?}");
                    }
                    EventKind::StartFailed { .. } => assert_ne!(self.known.get(&key), Some(&event.session)),
                    _ => assert_eq!(self.known.get(&key), Some(&event.session), "not live: {event:?}"),
                }
            }
            other => panic!("unknown {other:?}"),
        }
        assert_eq!(Some(item.id()), self.at);
    }

    /// Takes all there is to read at this moment.
    pub fn catch_up(&mut self, watch: &mut Watch) {
        while let Some(item) = read(watch) {
            self.take(&item);
        }
    }

    fn start_from(&mut self, snapshot: &Snapshot) {
        self.known = snapshot.sessions.iter().map(|info| (info.key.to_string(), info.id)).collect();
        assert_eq!(self.known.len(), snapshot.sessions.len(), "a key twice in one snapshot");
        assert!(snapshot.sessions.is_sorted_by_key(|info| info.id), "oldest first");
        self.at = Some(snapshot.at);
    }
}
