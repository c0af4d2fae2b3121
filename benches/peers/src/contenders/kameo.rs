//! kameo: an actor for each session, with an unbounded mailbox, its fastest. It has neither idle timeout
//! nor timers of its own; a message that comes later is a task that sleeps. So a message notes the time,
//! and one such task, for the nearest deadline, looks again when it comes. The timer of a
//! session that was ended before is left to sleep until then; to stop it would cost more, not less.

use std::{
    convert::Infallible,
    sync::Arc,
    time::{Duration, Instant},
};

use dashmap::DashMap;
use kameo::{
    actor::{ActorRef, Spawn, WeakActorRef},
    error::ActorStopReason,
    mailbox,
    message::{Context, Message},
};

use crate::{
    contender::{Contender, Limits, key},
    ledger::Session,
};

type Live = Arc<DashMap<String, ActorRef<Kept>>>;

pub(crate) struct Kameo {
    live: Live,
    limits: Limits,
}

pub(crate) struct Kept {
    session: Session,
    key: String,
    live: Live,
    opened: Instant,
    touched: Instant,
    idle: Duration,
    max_age: Duration,
}

impl Kept {
    fn left(&self) -> Duration {
        let deadline = (self.touched + self.idle).min(self.opened + self.max_age);
        deadline.saturating_duration_since(Instant::now())
    }
}

fn look_again(actor: WeakActorRef<Kept>, after: Duration) {
    tokio::spawn(async move {
        tokio::time::sleep(after).await;
        if let Some(actor) = actor.upgrade() {
            // It may have been stopped meanwhile.
            let _ = actor.tell(LookAtTheClock).try_send();
        }
    });
}

struct Add(u64);
struct LookAtTheClock;

impl kameo::Actor for Kept {
    type Args = Self;
    type Error = Infallible;

    async fn on_start(kept: Self, actor: ActorRef<Self>) -> Result<Self, Infallible> {
        look_again(actor.downgrade(), kept.left());
        Ok(kept)
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

impl Message<LookAtTheClock> for Kept {
    type Reply = ();

    async fn handle(&mut self, _: LookAtTheClock, ctx: &mut Context<Self, ()>) {
        let left = self.left();
        if left.is_zero() {
            ctx.stop();
        } else {
            look_again(ctx.actor_ref().downgrade(), left);
        }
    }
}

impl Contender for Kameo {
    type Address = ActorRef<Kept>;

    async fn start(limits: Limits) -> Self {
        Self { live: Live::default(), limits }
    }

    async fn open(&self, index: usize) -> ActorRef<Kept> {
        let key = key(index);
        if let Some(actor) = self.live.get(&key) {
            return actor.clone();
        }
        let now = Instant::now();
        let kept = Kept {
            session: Session::new(index),
            key: key.clone(),
            live: Arc::clone(&self.live),
            opened: now,
            touched: now,
            idle: (self.limits.idle)(index),
            max_age: self.limits.max_age,
        };
        let actor = Kept::spawn_with_mailbox(kept, mailbox::unbounded());
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
}
