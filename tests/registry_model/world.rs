//! The driver: does each step to the registry and to the model.

mod time;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use actix::Addr;
use session_actors::{
    EndReason, Ended, EventKind, OpenError, SessionEvent, SessionId, SessionRegistry, Shutdown, Watched,
    WeakSessionRegistry,
};
use tokio::time::Instant as Clock;

use super::{
    model::{Instant, Mail, Model, Name, Refusal},
    replies::{Got, Replies},
    rules::Rules,
    session::{Diary, Outcome, Subject},
    step::{By, KEYS, Step, Wanted},
    watchers::{Follower, Past},
};

/// Small enough for a watcher that is seldom read to fall behind.
const HISTORY: usize = 16;

pub struct World {
    base: Clock,
    /// The wall time of `base`, known from the first event.
    wall: Option<SystemTime>,
    pub registry: Option<SessionRegistry<Subject>>,
    weak: WeakSessionRegistry<Subject>,
    /// Captured by the factory: gone when the registry's last piece of memory is.
    factory: Arc<()>,
    pub model: Model,
    pub diary: Arc<Diary>,
    recorder: Recorder,
    /// Events that the model has not explained yet, by key.
    pub observed: BTreeMap<String, VecDeque<Arc<SessionEvent>>>,
    pub past: Past,
    followers: Vec<Follower>,
    addresses: Vec<(&'static str, Name, Addr<Subject>)>,
    pub replies: Replies,
    pub ids: BTreeMap<Name, SessionId>,
    /// `None` for what never came to be.
    pub ends: BTreeMap<Name, Option<Ended>>,
    shutdown: Option<Shutdown>,
}

/// A task that reads every event as it comes.
#[derive(Clone, Default)]
struct Recorder {
    items: Arc<Mutex<Vec<Watched>>>,
    ended: Arc<AtomicBool>,
}

impl Recorder {
    fn start(registry: &SessionRegistry<Subject>) -> Self {
        let recorder = Self::default();
        let (mut watch, to) = (registry.watch(), recorder.clone());
        actix::spawn(async move {
            while let Some(item) = watch.next().await {
                to.items.lock().unwrap().push(item);
            }
            to.ended.store(true, Ordering::SeqCst);
        });
        recorder
    }
}

impl World {
    pub fn new(rules: Rules) -> Self {
        let (diary, factory) = (Arc::new(Diary::default()), Arc::new(()));
        let (notes, token) = (Arc::clone(&diary), Arc::clone(&factory));
        let make = move |key: &_| {
            let _held = &token;
            Subject::make(key, &notes)
        };
        let builder = SessionRegistry::builder(make).policy(rules.policy()).event_history(HISTORY);
        let registry = builder.start().unwrap();
        Self {
            base: Clock::now(),
            wall: None,
            recorder: Recorder::start(&registry),
            weak: registry.downgrade(),
            registry: Some(registry),
            factory,
            model: Model::new(rules, &KEYS),
            diary,
            observed: BTreeMap::new(),
            past: Past::default(),
            followers: Vec::new(),
            addresses: Vec::new(),
            replies: Replies::default(),
            ids: BTreeMap::new(),
            ends: BTreeMap::new(),
            shutdown: None,
        }
    }

    pub fn now(&self) -> Instant {
        Clock::now() - self.base
    }

    /// When an event was published.
    pub fn at(&self, event: &SessionEvent) -> Instant {
        self.since_start(event.at)
    }

    pub fn since_start(&self, wall: SystemTime) -> Instant {
        wall.duration_since(self.wall.unwrap()).unwrap()
    }

    pub async fn take(&mut self, step: &Step) {
        let now = self.now();
        match step {
            Step::Open(key) => self.open(KEYS[*key]).await,
            Step::Send(key, by, messages) => self.send(KEYS[*key], *by, messages).await,
            Step::SendRaw(nth, messages) => self.send_raw(*nth, messages).await,
            Step::Finish(nth, panics) => self.finish(*nth, *panics).await,
            Step::DropReply(nth) => {
                if let Some(id) = self.replies.drop_one(*nth) {
                    self.model.abandon(id);
                }
            }
            Step::Close(key) => {
                if let Some(registry) = &self.registry {
                    let closing = registry.close(KEYS[*key]);
                    self.settle().await;
                    let name = self.model.close(KEYS[*key], now);
                    self.replies.closings.push((name, closing));
                }
            }
            Step::SetRules(rules) => {
                if let Some(registry) = &self.registry {
                    let set = registry.set_policy(rules.policy());
                    assert_eq!(set.is_ok(), rules.make_sense());
                    self.settle().await;
                    if set.is_ok() {
                        self.model.set_rules(rules.clone(), now);
                    }
                }
            }
            Step::FailNext(key, fail) => {
                self.diary.fail.lock().unwrap().insert(KEYS[*key].to_owned(), *fail);
                self.model.fail.insert(KEYS[*key].to_owned(), *fail);
            }
            Step::Pass(millis) => self.pass(Duration::from_millis(*millis)).await,
            Step::Watch => {
                self.followers.extend(self.registry.as_ref().map(|registry| Follower::new(registry.watch())));
            }
            Step::PollWatch(nth, times) => {
                if let Some(follower) = self.followers.get_mut(*nth) {
                    follower.read(*times, &self.past);
                }
            }
            Step::DropWatch(nth) => {
                if *nth < self.followers.len() {
                    self.followers.remove(*nth);
                }
            }
        }
        self.settle().await;
        self.explain_all();
        self.verify(self.followers.len());
    }

    async fn open(&mut self, key: &'static str) {
        let Some(registry) = &self.registry else { return };
        let opened = registry.open(key);
        let now = self.now();
        self.settle().await;
        let victim = self.victim();
        match (self.model.enter(key, Vec::new(), true, victim.as_deref(), now), opened) {
            (Ok(name), Ok(addr)) => {
                // A few, the oldest of them dropped.
                if self.addresses.len() == 8 {
                    self.addresses.remove(0);
                }
                self.addresses.push((key, name, addr));
            }
            (Err(refusal), Err(error)) => assert!(is(&refusal, &error), "{error:?} instead of {refusal:?}"),
            (want, got) => panic!("{:?} instead of {want:?}", got.map(drop)),
        }
    }

    async fn send(&mut self, key: &'static str, by: By, messages: &[Wanted]) {
        let Some(registry) = self.registry.clone() else { return };
        let now = self.now();
        let mail = self.mail(messages);
        let mut refused = BTreeMap::new();
        for (mail, wanted) in mail.iter().zip(messages) {
            if let Some(got) = self.replies.send(mail.id, by, *wanted, (&registry, key), &self.diary) {
                refused.insert(mail.id, got);
            }
        }
        drop(registry);
        self.settle().await;
        let victim = self.victim();
        let ids: Vec<u64> = mail.iter().map(|mail| mail.id).collect();
        match self.model.enter(key, mail, false, victim.as_deref(), now) {
            Ok(_) => assert_eq!(refused, BTreeMap::new()),
            Err(refusal) => {
                for id in ids {
                    let waited = self.replies.refused(id);
                    let got = waited.or(refused.remove(&id));
                    let right = matches!(&got, Some(Got::Refused(error)) if is(&refusal, error));
                    assert!(right, "{got:?} instead of {refusal:?}");
                }
            }
        }
    }

    async fn send_raw(&mut self, nth: usize, messages: &[Wanted]) {
        let mail = self.mail(messages);
        let Some((key, name, addr)) = self.addresses.get(nth % self.addresses.len().max(1)) else { return };
        let (key, name) = (*key, *name);
        let now = self.now();
        for (mail, wanted) in mail.iter().zip(messages) {
            self.replies.send_raw(mail.id, *wanted, addr, &self.diary);
        }
        self.settle().await;
        self.model.enter_raw(key, name, mail, now);
    }

    fn mail(&mut self, messages: &[Wanted]) -> Vec<Mail> {
        let mail = |(what, passive): &Wanted| {
            let id = self.replies.next_id();
            Mail { id, what: *what, passive: *passive, abandoned: false }
        };
        messages.iter().map(mail).collect()
    }

    async fn finish(&mut self, nth: usize, panics: bool) {
        let unfinished = self.model.unfinished();
        let Some(id) = unfinished.get(nth % unfinished.len().max(1)).copied() else { return };
        let now = self.now();
        let hold = self.diary.holds.lock().unwrap().remove(&id);
        let panics = panics && hold.is_none() && self.model.may_panic(id);
        let outcome = if panics { Outcome::Panic } else { Outcome::Answer };
        match hold {
            Some(hold) => drop(hold),
            None => self.replies.open_gate(id, outcome),
        }
        self.settle().await;
        self.model.finish(id, outcome, now);
    }

    /// Whom the registry evicted in this step.
    fn victim(&self) -> Option<String> {
        let evicted = |event: &Arc<SessionEvent>| match &event.kind {
            EventKind::Ended(ended) => ended.reason == EndReason::Evicted,
            EventKind::Draining { reason, .. } => *reason == EndReason::Evicted,
            _ => false,
        };
        self.observed.values().flatten().find(|event| evicted(event)).map(|event| event.key.to_string())
    }
}

fn is(refusal: &Refusal, error: &OpenError) -> bool {
    match (refusal, error) {
        (Refusal::AtCapacity(cap), OpenError::AtCapacity { limit, .. }) => cap == limit,
        (Refusal::ShuttingDown, OpenError::ShuttingDown) => true,
        _ => false,
    }
}
