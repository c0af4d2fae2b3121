//! What must be, by the design: keys, incarnations, their mail and their work, without a clock and without tasks.
//!
//! Everything happens at an instant that the driver names: an operation at the instant it is carried out, a deadline at
//! the instant at which the registry acted on it, which the driver has checked to be right.

mod callers;
mod conduct;

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use session_actors::{EndReason, Unserved};

use super::{
    life::Life,
    rules::Rules,
    session::{Fail, What},
};

/// One incarnation, numbered by the model.
pub type Name = usize;

/// Time since the registry was started.
pub type Instant = Duration;

/// An event that must come next for its key.
#[derive(Debug, Clone, PartialEq)]
pub enum Expected {
    Opened,
    Warned { reason: EndReason, deadline: Instant },
    Extended { by: Duration },
    Draining { reason: EndReason, in_flight: u32 },
    WouldEnd { reason: EndReason, busy: bool },
    Ended(Farewell),
    StartFailed,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Farewell {
    pub reason: EndReason,
    pub age: Duration,
    pub idle: Duration,
    pub handled: u64,
    pub cut: u32,
    pub handed_over: u64,
    pub dropped: u64,
    pub panic: Option<String>,
}

/// What whoever sent a message must have been told.
#[derive(Debug, Clone, PartialEq)]
pub enum Fate {
    Pending,
    Answered(Name),
    Unserved(Unserved),
    /// The mailbox was closed before.
    Closed,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Refusal {
    AtCapacity(usize),
    ShuttingDown,
}

#[derive(Debug, Clone)]
pub struct Mail {
    pub id: u64,
    pub what: What,
    pub passive: bool,
    /// Its caller has gone.
    pub abandoned: bool,
}

/// A reply in the making, or a hold.
#[derive(Debug, Clone)]
pub struct Work {
    pub id: u64,
    pub what: What,
    pub passive: bool,
    /// Its gate is open, but a `wait` stands before it.
    answered: bool,
}

/// Work that goes on without its session, and how that ended.
#[derive(Debug)]
pub struct Orphan {
    of: Name,
    work: Work,
    why: Unserved,
}

/// An incarnation that may not start yet.
#[derive(Debug, Default)]
pub struct Waiting {
    pub name: Name,
    pub mail: VecDeque<Mail>,
    closed: bool,
}

#[derive(Debug, Default)]
pub struct Key {
    pub live: Option<Life>,
    pub waiting: Option<Waiting>,
}

impl Key {
    fn is_used(&self) -> bool {
        self.live.is_some() || self.waiting.is_some()
    }

    /// What `open` and `send` lead to.
    pub fn route(&self) -> Option<Name> {
        let live = self.live.as_ref().filter(|life| life.draining.is_none());
        live.map(|life| life.name).or(self.waiting.as_ref().map(|waiting| waiting.name))
    }
}

#[derive(Debug)]
pub struct Model {
    pub rules: Rules,
    pub keys: BTreeMap<String, Key>,
    names: Name,
    /// Begun, with its deadline.
    pub shutdown: Option<Option<Instant>>,
    pub fail: BTreeMap<String, Fail>,
    pub fates: BTreeMap<u64, Fate>,
    /// Work that outlives its session.
    pub orphans: Vec<Orphan>,
    pub expected: BTreeMap<String, VecDeque<(Name, Expected)>>,
    /// Messages in the order in which each key must have handled them.
    pub handled: Vec<(String, u64)>,
    pub refused: u64,
    /// Sessions that ended since the shutdown began, with nothing cut and with something cut.
    pub ended_since_shutdown: (usize, usize),
    /// Replies that a shutdown has cut after their sessions had gone.
    pub cut_replies: usize,
}

impl Model {
    pub fn new(rules: Rules, keys: &[&str]) -> Self {
        Self {
            rules,
            keys: keys.iter().map(|key| ((*key).to_owned(), Key::default())).collect(),
            names: 0,
            shutdown: None,
            fail: BTreeMap::new(),
            fates: BTreeMap::new(),
            orphans: Vec::new(),
            expected: BTreeMap::new(),
            handled: Vec::new(),
            refused: 0,
            ended_since_shutdown: (0, 0),
            cut_replies: 0,
        }
    }

    pub fn used(&self) -> usize {
        self.keys.values().filter(|key| key.is_used()).count()
    }

    pub fn key(&mut self, key: &str) -> &mut Key {
        self.keys.get_mut(key).unwrap()
    }

    pub fn lives(&self) -> impl Iterator<Item = (&String, &Life)> {
        self.keys.iter().filter_map(|(key, state)| state.live.as_ref().map(|life| (key, life)))
    }

    fn emit(&mut self, key: &str, name: Name, event: Expected) {
        self.expected.entry(key.to_owned()).or_default().push_back((name, event));
    }

    /// Slow replies and holds that can be finished now.
    pub fn unfinished(&self) -> Vec<u64> {
        let live = self.lives().flat_map(|(_, life)| &life.work).filter(|work| !work.answered);
        live.chain(self.orphans.iter().map(|orphan| &orphan.work)).map(|work| work.id).collect()
    }

    /// Whether a panic of this work comes out at once; not if it stands behind a `wait`, with others.
    pub fn may_panic(&self, id: u64) -> bool {
        let blocked = |life: &Life| {
            life.is_blocked() && life.work.iter().any(|work| work.id == id && work.what == What::InContext)
        };
        !self.lives().any(|(_, life)| blocked(life))
    }

    /// Work that is a future, and messages that wait in mailboxes.
    pub fn outstanding(&self) -> (usize, usize) {
        let live = self.lives().flat_map(|(_, life)| &life.work);
        let futures = live.chain(self.orphans.iter().map(|orphan| &orphan.work)).filter(|work| work.what != What::Hold);
        let waiting = self.keys.values().filter_map(|key| key.waiting.as_ref()).map(|waiting| waiting.mail.len());
        let mail = self.lives().map(|(_, life)| life.mailbox.len()).chain(waiting).sum();
        (futures.count(), mail)
    }

    /// When something is due next, and for whom.
    pub fn next_due(&self) -> Option<(Instant, String)> {
        self.lives().filter_map(|(key, life)| Some((life.next_due(self.rules.observe)?, key.clone()))).min()
    }

    /// When a shutdown cuts what has outlived its session.
    pub fn orphans_due(&self) -> Option<Instant> {
        let any = self.orphans.iter().any(|orphan| orphan.work.what != What::Hold);
        self.shutdown.flatten().filter(|_| any)
    }

    pub fn cut_orphans(&mut self) {
        let cut: Vec<_> = self.orphans.extract_if(.., |orphan| orphan.work.what != What::Hold).collect();
        self.cut_replies += cut.len();
        cut.into_iter().for_each(|orphan| self.tell(orphan.work.id, orphan.why));
    }

    fn new_name(&mut self) -> Name {
        self.names += 1;
        self.names
    }
}
