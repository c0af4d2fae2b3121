//! The session of these tests, and how its registry is built and watched.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use actix::prelude::*;
use serde::{Deserialize, Serialize};
use session_actors::{
    EventKind, Expiry, Limits, NotSaved, Persistent, Policy, Session, SessionContext, SessionKey, SessionRegistry,
    Watch, Watched,
    store::{MemoryStore, Store},
};

pub const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Saved after 10 s, ended after 60 s without anybody, or after an hour.
pub fn limits() -> Limits {
    Limits::new().passivate_after(secs(10)).idle_timeout(secs(60)).max_age(secs(3600)).drain_timeout(secs(5))
}

/// Remembers what it was given.
pub struct Tally {
    given: Vec<u64>,
    /// The answer when it is about to end for being idle, once.
    pub extends: Option<Duration>,
    /// How many actors there were and are.
    lives: Lives,
}

#[derive(Clone, Default)]
pub struct Lives(Arc<[AtomicUsize; 3]>);

impl Lives {
    pub fn made(&self) -> usize {
        self.0[0].load(Ordering::SeqCst)
    }

    pub fn alive(&self) -> usize {
        self.made() - self.0[1].load(Ordering::SeqCst)
    }

    /// How often `stopped` ran.
    pub fn stopped(&self) -> usize {
        self.0[2].load(Ordering::SeqCst)
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        self.lives.0[1].fetch_add(1, Ordering::SeqCst);
    }
}

impl Actor for Tally {
    type Context = SessionContext<Self>;

    fn stopped(&mut self, ctx: &mut Self::Context) {
        assert_eq!(ctx.is_passivated(), ctx.end_reason().is_none());
        self.lives.0[2].fetch_add(1, Ordering::SeqCst);
    }
}

impl Session for Tally {
    fn expiring(&mut self, _: &mut SessionContext<Self>) -> Expiry {
        self.extends.take().map_or(Expiry::End, Expiry::Extend)
    }
}

#[derive(Serialize, Deserialize)]
pub struct Given {
    pub given: Vec<u64>,
}

impl Persistent for Tally {
    type State = Given;

    fn state(&self) -> Given {
        assert!(self.given.last() != Some(&PANICS_WHEN_SAVED), "cannot be saved");
        Given { given: self.given.clone() }
    }

    fn restore(&mut self, state: Given) {
        assert!(state.given.last() != Some(&PANICS_WHEN_RESTORED), "cannot be restored");
        self.given = state.given;
    }
}

pub const PANICS_WHEN_SAVED: u64 = 666;
pub const PANICS_WHEN_RESTORED: u64 = 667;

/// Adds a number; answers with all of them.
#[derive(Message)]
#[rtype(result = "Vec<u64>")]
pub struct Give(pub u64);

impl Handler<Give> for Tally {
    type Result = MessageResult<Give>;

    fn handle(&mut self, Give(number): Give, _: &mut Self::Context) -> Self::Result {
        self.given.push(number);
        MessageResult(self.given.clone())
    }
}

/// As [`Give`], after a while.
#[derive(Message)]
#[rtype(result = "Vec<u64>")]
pub struct GiveSlowly(pub u64, pub Duration);

impl Handler<GiveSlowly> for Tally {
    type Result = ResponseActFuture<Self, Vec<u64>>;

    fn handle(&mut self, GiveSlowly(number, wait): GiveSlowly, _: &mut Self::Context) -> Self::Result {
        Box::pin(tokio::time::sleep(wait).into_actor(self).map(move |(), act, _| {
            act.given.push(number);
            act.given.clone()
        }))
    }
}

/// As [`Give`]; the answer is made outside of the context.
#[derive(Message)]
#[rtype(result = "Vec<u64>")]
pub struct GiveOutside(pub u64, pub Duration);

impl Handler<GiveOutside> for Tally {
    type Result = ResponseFuture<Vec<u64>>;

    fn handle(&mut self, GiveOutside(number, wait): GiveOutside, _: &mut Self::Context) -> Self::Result {
        self.given.push(number);
        let given = self.given.clone();
        Box::pin(async move {
            tokio::time::sleep(wait).await;
            given
        })
    }
}

/// As [`Give`]; answers when it is saved, whatever the checkpoint.
#[derive(Message)]
#[rtype(result = "Result<Vec<u64>, NotSaved>")]
pub struct GiveForKeeps(pub u64);

impl Handler<GiveForKeeps> for Tally {
    type Result = ResponseActFuture<Self, Result<Vec<u64>, NotSaved>>;

    fn handle(&mut self, GiveForKeeps(number): GiveForKeeps, ctx: &mut Self::Context) -> Self::Result {
        let saved = ctx.checkpoint();
        // After it was asked for: what the handler leaves behind is what counts.
        self.given.push(number);
        Box::pin(saved.into_actor(self).map(|saved, act, _| saved.map(|()| act.given.clone())))
    }
}

/// Looks, and is no activity.
#[derive(Message)]
#[rtype(result = "Vec<u64>")]
pub struct Look;

impl Handler<Look> for Tally {
    type Result = MessageResult<Look>;

    fn handle(&mut self, _: Look, ctx: &mut Self::Context) -> Self::Result {
        ctx.passive();
        MessageResult(self.given.clone())
    }
}

/// Does something with the context.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Do(pub fn(&mut Tally, &mut SessionContext<Tally>));

impl Handler<Do> for Tally {
    type Result = ();

    fn handle(&mut self, Do(what): Do, ctx: &mut Self::Context) {
        what(self, ctx);
    }
}

/// As [`Do`], and is no activity.
#[derive(Message)]
#[rtype(result = "()")]
pub struct DoPassively(pub fn(&mut Tally, &mut SessionContext<Tally>));

impl Handler<DoPassively> for Tally {
    type Result = ();

    fn handle(&mut self, DoPassively(what): DoPassively, ctx: &mut Self::Context) {
        ctx.passive();
        what(self, ctx);
    }
}

impl Tally {
    pub fn new(lives: &Lives) -> Self {
        lives.0[0].fetch_add(1, Ordering::SeqCst);
        Self { given: Vec::new(), extends: None, lives: lives.clone() }
    }

    /// Adds a number every second, of its own.
    pub fn tick(ctx: &mut SessionContext<Self>) {
        ctx.run_interval(secs(1), |act, _| act.given.push(0));
    }
}

pub fn registry_by(policy: Policy, store: impl Store, lives: &Lives) -> SessionRegistry<Tally> {
    let lives = lives.clone();
    SessionRegistry::builder(move |_: &SessionKey| Tally::new(&lives))
        .policy(policy)
        .store_timeout(secs(2))
        .persist(store)
        .start()
        .unwrap()
}

pub fn registry(limits: Limits, store: impl Store) -> SessionRegistry<Tally> {
    registry_by(Policy::new(limits), store, &Lives::default())
}

/// With a paused clock: a store, a registry that keeps its sessions there, and who watches it.
pub fn paused(limits: Limits) -> (MemoryStore, SessionRegistry<Tally>, Watch) {
    tokio::time::pause();
    let store = MemoryStore::immediate();
    let registry = registry(limits, store.clone());
    let watch = registry.watch();
    (store, registry, watch)
}

/// What a process that is started now would find under a key.
pub fn found(store: &impl Store, key: &str) -> Option<Vec<u64>> {
    let record = store.load(&SessionKey::new(key).unwrap()).unwrap()?;
    Some(record.state.read::<Given>().unwrap().given)
}

/// Lets everything run that is ready.
pub async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

/// What has happened since, each event as `what key#session`.
pub async fn events(watch: &mut Watch) -> Vec<String> {
    settle().await;
    let mut events = Vec::new();
    while let Ok(Some(item)) = tokio::time::timeout(Duration::ZERO, watch.next()).await {
        if let Watched::Event(event) = item {
            let what = match &event.kind {
                EventKind::Ended(ended) => format!("ended {}", ended.reason),
                EventKind::StoreFailed { doing, .. } => format!("store_failed {doing}"),
                kind => serde_json::to_value(kind).unwrap()["event"].as_str().unwrap().to_owned(),
            };
            events.push(format!("{what} {}#{}", event.key, event.session));
        }
    }
    events
}
