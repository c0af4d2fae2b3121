//! Watches against a model: whatever happens in whatever order, a snapshot plus the events after it is the live set.

use std::{collections::BTreeMap, sync::Arc, task::Poll};

use proptest::prelude::*;

use super::{Watch, Watched};
use crate::{
    event::{EventId, EventKind},
    journal::{
        Journal,
        fixture::{Alarm, drain, end, extend, journal, open, poll, stats, vitals},
    },
    session::vitals::Vitals,
};

/// The live sessions as a watcher knows them: key and id.
pub(super) type Live = BTreeMap<String, u64>;

const KEYS: [&str; 4] = ["a", "b", "c", "d"];

#[derive(Clone, Debug)]
enum Step {
    Open(usize),
    End(usize),
    Extend(usize),
    Drain(usize),
    FailToStart(usize),
    Watch,
    /// Watches from an event that was, or will be, so many percent of the way.
    Resume(u64),
    Poll {
        watcher: usize,
        times: usize,
    },
    Leave(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0..KEYS.len();
    prop_oneof![
        4 => key.clone().prop_map(Step::Open),
        3 => key.clone().prop_map(Step::End),
        3 => key.clone().prop_map(Step::Extend),
        1 => key.clone().prop_map(Step::Drain),
        1 => key.prop_map(Step::FailToStart),
        1 => Just(Step::Watch),
        1 => (0..120_u64).prop_map(Step::Resume),
        6 => (0..4_usize, 1..8_usize).prop_map(|(watcher, times)| Step::Poll { watcher, times }),
        1 => (0..4_usize).prop_map(Step::Leave),
    ]
}

/// What somebody knows who believes a watch.
#[derive(Default)]
pub(super) struct Belief {
    pub(super) known: Live,
    /// The sequence up to which `known` is right. `None` before the first item.
    pub(super) upto: Option<u64>,
}

impl Belief {
    /// Takes one item, and checks that it may come where it comes.
    pub(super) fn take(&mut self, item: &Watched) {
        match item {
            Watched::Event(event) => {
                assert_eq!(Some(event.id.sequence()), self.upto.map(|upto| upto + 1), "a gap or a repetition");
                let (key, id) = (event.key.to_string(), event.session.get());
                match event.kind {
                    EventKind::Opened { .. } => assert_eq!(self.known.insert(key, id), None, "opened over a live one"),
                    EventKind::Ended(_) => assert_eq!(self.known.remove(&key), Some(id), "ended what was not live"),
                    EventKind::StartFailed { .. } => assert_ne!(self.known.get(&key), Some(&id)),
                    _ => assert_eq!(self.known.get(&key), Some(&id), "news of the dead"),
                }
            }
            Watched::Snapshot(_) => assert_eq!(self.upto, None, "a second first snapshot"),
            Watched::Lagged { missed, snapshot } => {
                let upto = self.upto.expect("lagged before it knew anything");
                assert_eq!(upto + missed, snapshot.at.sequence());
                assert_ne!(*missed, 0);
            }
        }
        if let Watched::Snapshot(snapshot) | Watched::Lagged { snapshot, .. } = item {
            assert!(snapshot.sessions.is_sorted_by_key(|info| info.id));
            self.known = snapshot.sessions.iter().map(|info| (info.key.to_string(), info.id.get())).collect();
        }
        self.upto = Some(item.id().sequence());
    }
}

/// A watch and who follows it.
struct Follower {
    watch: Watch,
    belief: Belief,
    alarm: Arc<Alarm>,
    asleep: bool,
}

impl Follower {
    fn new(watch: Watch) -> Self {
        Self { watch, belief: Belief::default(), alarm: Arc::default(), asleep: false }
    }

    /// Takes one item. `false` if there is none.
    fn step(&mut self) -> bool {
        let Poll::Ready(Some(item)) = poll(&mut self.watch, &self.alarm) else {
            self.asleep = true;
            return false;
        };
        self.belief.take(&item);
        true
    }
}

/// The journal, and what it must say.
struct World {
    journal: Arc<Journal>,
    epoch: u64,
    history: usize,
    live: BTreeMap<usize, Arc<Vitals>>,
    /// The live set after each event, by sequence.
    past: Vec<Live>,
    next_id: u64,
    followers: Vec<Follower>,
}

impl World {
    fn new(history: usize) -> Self {
        let journal = journal(history);
        let epoch = journal.watch(None).first_snapshot().unwrap().at.epoch();
        Self { journal, epoch, history, live: BTreeMap::new(), past: vec![Live::new()], next_id: 0, followers: vec![] }
    }

    fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    fn apply(&mut self, step: &Step) {
        let before = self.past.len();
        match *step {
            Step::Open(key) => {
                if !self.live.contains_key(&key) {
                    let id = self.id();
                    self.live.insert(key, open(&self.journal, KEYS[key], id));
                    self.published();
                }
            }
            Step::End(key) => {
                if let Some(vitals) = self.live.remove(&key) {
                    end(&self.journal, &vitals);
                    end(&self.journal, &vitals);
                    self.published();
                }
            }
            Step::Extend(key) => {
                if let Some(vitals) = self.live.get(&key) {
                    extend(&self.journal, vitals);
                    self.published();
                }
            }
            Step::Drain(key) => {
                if let Some(vitals) = self.live.get(&key) {
                    drain(&self.journal, vitals);
                    self.published();
                }
            }
            Step::FailToStart(key) => {
                let vitals = vitals(KEYS[key], self.id());
                self.journal.start_failed(&vitals, "no".into());
                self.published();
            }
            Step::Watch => self.followers.push(Follower::new(self.journal.watch(None))),
            Step::Resume(percent) => self.resume((self.past.len() as u64) * percent / 100),
            Step::Poll { watcher, times } => {
                if let Some(follower) = self.followers.get_mut(watcher) {
                    for _ in 0..times {
                        let more = follower.step();
                        let upto = follower.belief.upto.expect("a watch begins at once or resumes");
                        assert_eq!(
                            follower.belief.known,
                            self.past[usize::try_from(upto).unwrap()],
                            "not the live set of that moment"
                        );
                        if !more {
                            assert_eq!(upto, self.past.len() as u64 - 1, "asleep before it has all");
                            break;
                        }
                    }
                }
            }
            Step::Leave(watcher) => {
                if watcher < self.followers.len() {
                    self.followers.remove(watcher);
                }
            }
        }
        for follower in &mut self.followers {
            if self.past.len() > before && follower.asleep {
                follower.asleep = false;
                assert_eq!(follower.alarm.rung(), 1, "a lost wake-up");
            } else {
                assert_eq!(follower.alarm.rung(), 0, "woken for nothing");
            }
        }
        assert_eq!(stats(&self.journal).watchers, self.followers.len());
        assert_eq!(self.journal.len(), self.live.len());
    }

    fn published(&mut self) {
        self.past.push(self.live.iter().map(|(&key, vitals)| (KEYS[key].to_owned(), vitals.id().get())).collect());
    }

    fn resume(&mut self, sequence: u64) {
        let last = self.past.len() as u64 - 1;
        let mut follower = Follower::new(self.journal.watch(Some(EventId::new(self.epoch, sequence))));
        if sequence <= last && last - sequence <= self.history as u64 {
            // It knows what it knew when it left; from there on it must get events only, which `take` checks.
            let known = self.past[usize::try_from(sequence).unwrap()].clone();
            follower.belief = Belief { known, upto: Some(sequence) };
        }
        self.followers.push(follower);
    }
}

proptest! {
    #[test]
    fn a_snapshot_plus_the_events_after_it_is_the_live_set(
        history in 0..12_usize,
        steps in proptest::collection::vec(step(), 1..200),
    ) {
        let mut world = World::new(history);
        for step in &steps {
            world.apply(step);
        }
        for watcher in 0..world.followers.len() {
            world.apply(&Step::Poll { watcher, times: usize::MAX });
        }
        world.journal.close();
        for follower in &mut world.followers {
            assert!(matches!(poll(&mut follower.watch, &Arc::default()), Poll::Ready(None)));
        }
    }
}
