//! kameo: an actor for each session, with an unbounded mailbox, its fastest. It has no idle timeout, but an actor may say
//! how it waits for its next message (`Actor::next`): here with one `Sleep` beside it, which is not touched by a
//! message and looks again when it fires. Who watches is an actor that is linked to each.

use std::{
    convert::Infallible,
    ops::ControlFlow,
    pin::Pin,
    sync::{Arc, atomic::AtomicUsize},
    time::{Duration, Instant},
};

use kameo::{
    actor::{ActorId, ActorRef, Spawn, WeakActorRef},
    error::ActorStopReason,
    mailbox::{self, MailboxReceiver, Signal},
    message::{Context, Message},
};
use tokio::time::{Sleep, sleep_until};

use crate::{
    contender::{ByKey, Contender, Limits, Shared, Times, count, key},
    ledger::Session,
};

type Live = Arc<Shared<String, ActorRef<Kept>>>;

pub(crate) struct Kameo {
    live: Live,
    limits: Limits,
    watcher: Option<ActorRef<Watcher>>,
}

struct Watcher(Arc<AtomicUsize>);

impl kameo::Actor for Watcher {
    type Args = Self;
    type Error = Infallible;

    async fn on_start(watcher: Self, _: ActorRef<Self>) -> Result<Self, Infallible> {
        Ok(watcher)
    }

    async fn on_link_died(
        &mut self,
        _: WeakActorRef<Self>,
        _: ActorId,
        _: ActorStopReason,
    ) -> Result<ControlFlow<ActorStopReason>, Infallible> {
        count(&self.0);
        Ok(ControlFlow::Continue(()))
    }
}

pub(crate) struct Kept {
    session: Session,
    key: String,
    live: Live,
    touched: Instant,
    idle: Duration,
    too_old: Instant,
    timer: Pin<Box<Sleep>>,
}

impl Kept {
    fn deadline(&self) -> Instant {
        (self.touched + self.idle).min(self.too_old)
    }
}

struct Add(u64);

impl kameo::Actor for Kept {
    type Args = Self;
    type Error = Infallible;

    async fn on_start(kept: Self, _: ActorRef<Self>) -> Result<Self, Infallible> {
        Ok(kept)
    }

    async fn next(
        &mut self,
        _: WeakActorRef<Self>,
        mailbox: &mut MailboxReceiver<Self>,
    ) -> Result<Option<Signal<Self>>, Infallible> {
        loop {
            tokio::select! {
                biased;
                signal = mailbox.recv() => return Ok(signal),
                () = &mut self.timer => {
                    let deadline = self.deadline();
                    if deadline <= Instant::now() {
                        return Ok(Some(Signal::Stop));
                    }
                    self.timer.as_mut().reset(deadline.into());
                }
            }
        }
    }

    async fn on_stop(&mut self, _: WeakActorRef<Self>, _: ActorStopReason) -> Result<(), Infallible> {
        self.live.remove(&self.key);
        Ok(())
    }
}

impl Message<Add> for Kept {
    type Reply = u64;

    async fn handle(&mut self, Add(n): Add, _: &mut Context<Self, u64>) -> u64 {
        self.touched = Instant::now();
        self.session.add(n)
    }
}

impl Contender for Kameo {
    type Address = ActorRef<Kept>;

    async fn start(limits: Limits) -> Self {
        let watcher =
            limits.watched.clone().map(|ends| Watcher::spawn_with_mailbox(Watcher(ends), mailbox::unbounded()));
        Self { live: Live::default(), limits, watcher }
    }

    async fn open(&self, index: usize) -> ActorRef<Kept> {
        let key = key(index);
        if let Some(actor) = self.live.get(&key) {
            return actor.clone();
        }
        let now = Instant::now();
        let Times { idle, max_age } = (self.limits.of)(index);
        let too_old = now + max_age;
        let kept = Kept {
            session: Session::new(index),
            key: key.clone(),
            live: Arc::clone(&self.live),
            touched: now,
            idle,
            too_old,
            timer: Box::pin(sleep_until((now + idle).min(too_old).into())),
        };
        let actor = Kept::spawn_with_mailbox(kept, mailbox::unbounded());
        if let Some(watcher) = &self.watcher {
            watcher.link(&actor).await;
        }
        self.live.insert(key, actor.clone());
        actor
    }

    fn tell(&self, to: &ActorRef<Kept>, n: u64) {
        to.tell(Add(n)).try_send().expect("it is live");
    }

    async fn ask(&self, to: &ActorRef<Kept>, n: u64) -> u64 {
        to.ask(Add(n)).send().await.expect("it answers")
    }

    async fn end(&self, index: usize) {
        let actor = self.live.get(&key(index)).map(|actor| actor.clone()).expect("it was live");
        actor.stop_gracefully().await.expect("it stops");
        actor.wait_for_shutdown().await;
    }

    fn live(&self) -> usize {
        self.live.len()
    }

    fn by_key(&self) -> Option<ByKey> {
        let (get, tell) = (Arc::clone(&self.live), Arc::clone(&self.live));
        Some(ByKey {
            get: Arc::new(move |key| get.get(key).map(|actor| actor.clone()).is_some()),
            tell: Arc::new(move |key| tell.get(key).expect("it is live").tell(Add(1)).try_send().expect("it is taken")),
        })
    }
}
