//! Watchers: one that keeps up and one for each that was attached and is read now and then.

use std::collections::BTreeMap;

use futures_util::FutureExt;
use session_actors::{EventKind, SessionEvent, Watch, Watched};

/// Key and session id of everybody who is live.
pub type Live = BTreeMap<String, u64>;

/// The live set after each event, by sequence, as told by events alone.
#[derive(Debug)]
pub struct Past(Vec<Live>);

impl Past {
    pub fn new() -> Self {
        Self(vec![Live::new()])
    }

    pub fn now(&self) -> &Live {
        self.0.last().unwrap()
    }

    /// Takes the next event; checks that it may come there.
    pub fn take(&mut self, event: &SessionEvent) {
        assert_eq!(event.id.sequence(), self.0.len() as u64, "a gap or a repetition");
        let mut live = self.now().clone();
        apply(&mut live, event);
        self.0.push(live);
    }

    fn at(&self, sequence: u64) -> &Live {
        &self.0[usize::try_from(sequence).unwrap()]
    }
}

fn apply(live: &mut Live, event: &SessionEvent) {
    let (key, id) = (event.key.to_string(), event.session.get());
    match event.kind {
        EventKind::Opened { .. } => assert_eq!(live.insert(key, id), None, "opened over a live one"),
        EventKind::Ended(_) => assert_eq!(live.remove(&key), Some(id), "ended what was not live"),
        EventKind::StartFailed { .. } => assert_ne!(live.get(&key), Some(&id), "it was live"),
        _ => assert_eq!(live.get(&key), Some(&id), "news of the dead"),
    }
}

/// A watch and what somebody knows who believes it.
pub struct Follower {
    watch: Watch,
    known: Live,
    upto: Option<u64>,
    ended: bool,
}

impl Follower {
    pub fn new(watch: Watch) -> Self {
        Self { watch, known: Live::new(), upto: None, ended: false }
    }

    /// Reads up to so many items. What is known then was the live set at that moment.
    pub fn read(&mut self, times: usize, past: &Past) {
        for _ in 0..times {
            let Some(item) = self.watch.next().now_or_never() else { break };
            let Some(item) = item else {
                self.ended = true;
                break;
            };
            match &item {
                Watched::Event(event) => {
                    assert_eq!(self.upto.map(|upto| upto + 1), Some(event.id.sequence()), "a gap or a repetition");
                    apply(&mut self.known, event);
                }
                Watched::Snapshot(_) => assert_eq!(self.upto, None, "a second first snapshot"),
                Watched::Lagged { missed, snapshot } => {
                    assert_eq!(self.upto.map(|upto| upto + missed), Some(snapshot.at.sequence()));
                    assert_ne!(*missed, 0);
                }
                other => panic!("unexpected {other:?}"),
            }
            if let Watched::Snapshot(snapshot) | Watched::Lagged { snapshot, .. } = &item {
                assert!(snapshot.sessions.is_sorted_by_key(|info| info.id));
                self.known = snapshot.sessions.iter().map(|info| (info.key.to_string(), info.id.get())).collect();
            }
            self.upto = Some(item.id().sequence());
            assert_eq!(&self.known, past.at(item.id().sequence()), "not the live set of that moment");
        }
    }

    /// Reads all there is; it must be all there was.
    pub fn read_to_the_end(&mut self, past: &Past) {
        self.read(usize::MAX, past);
        assert!(self.ended, "the stream of a watcher has not ended");
        assert_eq!(&self.known, past.now(), "it ended before it had all");
    }
}
