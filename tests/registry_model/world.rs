//! The driver: does each step to the registry and to the model, and lets time pass.

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
use tokio::time::{Instant as Clock, sleep_until};

use super::{
    model::{Instant, Mail, Model, Name, Refusal},
    replies::{Got, Replies},
    rules::Rules,
    session::{Diary, Outcome, Subject},
    step::{By, Finale, KEYS, Step, Wanted},
    watchers::{Follower, Past},
};

/// How late tokio's timer may be, whose ticks are milliseconds.
pub const SLACK: Duration = Duration::from_millis(2);

/// Small enough for a watcher that is seldom read to fall behind.
const HISTORY: usize = 24;

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

    /// Lets time pass. Deadlines are met one by one, each at the instant at which the registry acted on it.
    async fn pass(&mut self, time: Duration) {
        let end = self.now() + time;
        loop {
            let wake = self.next_due().map_or(end, |due| end.min(due + SLACK));
            sleep_until(self.base + wake).await;
            self.settle().await;
            while let Some((due, key)) = self.model.next_due().filter(|(due, _)| *due + SLACK <= self.now()) {
                let first = self.observed.get(&key).and_then(|events| events.front());
                let Some(first) = first else { panic!("{key}: nothing happened at {due:?} in {:?}", self.model) };
                let at = self.at(first);
                assert!(due <= at && at <= due + SLACK, "{key}: {first:?} at {at:?} instead of {due:?}");
                self.model.decide(&key, at);
                self.explain(&key, at);
            }
            if self.model.orphans_due().is_some_and(|due| due + SLACK <= self.now()) {
                self.model.cut_orphans();
            }
            // The next step must not come just when a deadline does, give or take a tick.
            let close = self.next_due().is_some_and(|due| due <= self.now());
            if self.now() >= end && !close {
                return;
            }
            if close {
                sleep_until(Clock::now() + Duration::from_millis(1)).await;
            }
        }
    }

    fn next_due(&self) -> Option<Instant> {
        [self.model.next_due().map(|(due, _)| due), self.model.orphans_due()].into_iter().flatten().min()
    }

    /// Lets everything that is ready run, without moving the clock, and reads what happened.
    async fn settle(&mut self) {
        for _ in 0..40 {
            tokio::task::yield_now().await;
        }
        for item in self.recorder.items.lock().unwrap().drain(..) {
            self.past.take(&item);
            if let Watched::Event(event) = item {
                // The first is of a step that took no time.
                self.wall.get_or_insert(event.at - (Clock::now() - self.base));
                self.observed.entry(event.key.to_string()).or_default().push_back(event);
            }
        }
    }

    // ---- the end ------------------------------------------------------------------------------

    pub async fn begin_end(&mut self, finale: Finale) {
        let now = self.now();
        let deadline = match finale {
            Finale::Shutdown(millis) => {
                let timeout = Duration::from_millis(millis);
                self.shutdown = self.registry.as_ref().map(|registry| registry.shutdown(timeout));
                Some(now + timeout)
            }
            Finale::Drop => {
                self.registry = None;
                assert!(self.weak.upgrade().is_none());
                self.model.rules.times.drain.map(|drain| now + Duration::from_millis(drain))
            }
        };
        self.settle().await;
        self.model.shut_down(deadline, now);
        self.explain_all();
        // A deadline may be now.
        self.pass(Duration::ZERO).await;
        self.verify(self.followers.len());
    }

    pub async fn end(mut self) {
        while self.model.used() > 0 || self.model.orphans_due().is_some() {
            match self.next_due() {
                Some(due) => self.pass(due.saturating_sub(self.now()) + 2 * SLACK).await,
                // Draining for as long as it takes.
                None => self.finish(0, false).await,
            }
            self.explain_all();
        }
        while !self.model.unfinished().is_empty() {
            self.finish(0, false).await;
        }
        self.settle().await;
        self.explain_all();
        self.verify(self.followers.len());
        self.nothing_is_left().await;
    }

    async fn nothing_is_left(mut self) {
        assert!(self.replies.is_empty(), "somebody still waits");
        assert!(self.recorder.ended.load(Ordering::SeqCst), "the stream of a watcher has not ended");
        for follower in &mut self.followers {
            follower.read_to_the_end(&self.past);
        }
        if let Some(shutdown) = self.shutdown.take() {
            let report = futures_util::FutureExt::now_or_never(shutdown).expect("all has ended, yet it waits").unwrap();
            let since = self.model.ended_since_shutdown;
            assert_eq!((report.drained, report.cut, report.unresponsive), (since.0, since.1, 0));
        }
        if let Some(registry) = self.registry.take() {
            assert!(registry.is_empty() && registry.list().is_empty());
            assert!(matches!(registry.open("a"), Err(OpenError::ShuttingDown)));
        }
        for (_, _, addr) in self.addresses.drain(..) {
            assert!(!addr.connected(), "an address that leads nowhere is connected");
        }
        for _ in 0..40 {
            tokio::task::yield_now().await;
        }
        let Diary { actors, messages, futures, .. } = &*self.diary;
        assert_eq!((actors.get(), messages.get(), futures.get()), (0, 0, 0), "actors, messages or futures are left");
        assert_eq!(Arc::strong_count(&self.factory), 1, "something still holds the registry");
    }
}

fn is(refusal: &Refusal, error: &OpenError) -> bool {
    match (refusal, error) {
        (Refusal::AtCapacity(cap), OpenError::AtCapacity { limit, .. }) => cap == limit,
        (Refusal::ShuttingDown, OpenError::ShuttingDown) => true,
        _ => false,
    }
}
