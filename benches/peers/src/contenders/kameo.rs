//! kameo: an actor for each session, with an unbounded mailbox, its fastest. It has neither idle timeout
//! nor timers of its own, but lets an actor say what it waits for: here for its mail or one `Sleep`, for the nearest
//! deadline. A message only notes the time.

use std::{convert::Infallible, ops::ControlFlow, pin::Pin, sync::Arc, time::Instant};

use dashmap::Entry;
use kameo::{
    actor::{ActorId, ActorRef, Spawn, WeakActorRef},
    error::ActorStopReason,
    mailbox::{self, MailboxReceiver, Signal},
    message::{Context, Message},
};
use tokio::time::{Sleep, sleep_until};

use super::deadline::Deadline;
use crate::{
    contender::{ByKey, Contender, Limits, Shared, key},
    ledger::Session,
    watcher::Watcher,
};

type Live = Arc<Shared<ActorRef<Kept>>>;

pub(crate) struct Kameo {
    live: Live,
    limits: Limits,
    linked: Option<ActorRef<Linked>>,
}

pub(crate) struct Kept {
    session: Session,
    key: Arc<str>,
    live: Live,
    deadline: Deadline,
    sleep: Pin<Box<Sleep>>,
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
                () = &mut self.sleep => {
                    if self.deadline.has_come(Instant::now()) {
                        return Ok(Some(Signal::Stop));
                    }
                    self.sleep.as_mut().reset(self.deadline.at().into());
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

    async fn handle(&mut self, Add(n): Add, ctx: &mut Context<Self, u64>) -> u64 {
        if !self.deadline.touch() {
            ctx.stop();
        }
        self.session.add(n)
    }
}

/// Told when an actor that is linked to it ends; of its beginning nobody is told.
pub(crate) struct Linked(Watcher);

impl kameo::Actor for Linked {
    type Args = Self;
    type Error = Infallible;

    async fn on_start(linked: Self, _: ActorRef<Self>) -> Result<Self, Infallible> {
        Ok(linked)
    }

    async fn on_link_died(
        &mut self,
        _: WeakActorRef<Self>,
        _: ActorId,
        _: ActorStopReason,
    ) -> Result<ControlFlow<ActorStopReason>, Infallible> {
        self.0.saw();
        Ok(ControlFlow::Continue(()))
    }
}

impl Contender for Kameo {
    type Address = ActorRef<Kept>;

    async fn start(limits: Limits) -> Self {
        Self { live: Live::default(), limits, linked: None }
    }

    async fn start_watched(limits: Limits) -> Option<(Self, Watcher)> {
        let watcher = Watcher::new(1);
        let linked = Linked::spawn_with_mailbox(Linked(watcher.clone()), mailbox::unbounded());
        Some((Self { linked: Some(linked), ..Self::start(limits).await }, watcher))
    }

    async fn open(&self, index: usize) -> ActorRef<Kept> {
        let place = match self.live.entry(key(index).into()) {
            Entry::Occupied(live) => return live.get().clone(),
            Entry::Vacant(place) => place,
        };
        let deadline = Deadline::new((self.limits.of)(index));
        let kept = Kept {
            session: Session::new(index),
            key: Arc::clone(place.key()),
            live: Arc::clone(&self.live),
            sleep: Box::pin(sleep_until(deadline.at().into())),
            deadline,
        };
        let actor = Kept::spawn_with_mailbox(kept, mailbox::unbounded());
        place.insert(actor.clone());
        if let Some(linked) = &self.linked {
            actor.link(linked).await;
        }
        actor
    }

    fn tell(&self, to: &ActorRef<Kept>, n: u64) {
        to.tell(Add(n)).try_send().expect("it is live");
    }

    async fn ask(&self, to: &ActorRef<Kept>, n: u64) -> u64 {
        to.ask(Add(n)).send().await.expect("it answers")
    }

    async fn end(&self, index: usize) {
        let actor = self.live.get(&*key(index)).map(|actor| actor.clone()).expect("it was live");
        actor.stop_gracefully().await.expect("it stops");
        actor.wait_for_shutdown_result().await.expect("it stops");
    }

    fn live(&self) -> usize {
        self.live.len()
    }

    /// By a map, because its own registry of names is one behind a mutex.
    fn by_key(&self) -> ByKey {
        ByKey::of(&self.live, |session| session.tell(Add(1)).try_send().expect("it is live"))
    }
}
