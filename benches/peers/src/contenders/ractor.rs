//! ractor: an actor for each session. It has no idle timeout; its timers are messages that come later, and each is a task
//! of its own. So a message notes the time, and one timer, armed at the nearest deadline, looks again when it comes: the
//! cheapest way that is still exact. Who watches is the supervisor of all.

use std::{
    sync::{Arc, atomic::AtomicUsize},
    time::{Duration, Instant},
};

use ractor::{Actor, ActorProcessingErr, ActorRef, MessagingErr, RpcReplyPort, SupervisionEvent};
use tokio::task::JoinHandle;

use crate::{
    contender::{ByKey, Contender, Limits, Shared, Times, count, key},
    ledger::Session,
};

type Live = Arc<Shared<String, ActorRef<Mail>>>;

pub(crate) enum Mail {
    Tell(u64),
    Ask(u64, RpcReplyPort<u64>),
    LookAtTheClock,
}

pub(crate) struct Ractor {
    live: Live,
    limits: Limits,
    watcher: Option<ActorRef<()>>,
}

struct Watcher;

impl Actor for Watcher {
    type Msg = ();
    type State = Arc<AtomicUsize>;
    type Arguments = Arc<AtomicUsize>;

    async fn pre_start(&self, _: ActorRef<()>, ends: Self::State) -> Result<Self::State, ActorProcessingErr> {
        Ok(ends)
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<()>,
        event: SupervisionEvent,
        ends: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        if let SupervisionEvent::ActorTerminated(..) = event {
            count(ends);
        }
        Ok(())
    }
}

struct Kept;

struct State {
    session: Session,
    key: String,
    live: Live,
    touched: Instant,
    idle: Duration,
    too_old: Instant,
    timer: Option<JoinHandle<Result<(), MessagingErr<Mail>>>>,
}

impl State {
    fn deadline(&self) -> Instant {
        (self.touched + self.idle).min(self.too_old)
    }
}

impl Actor for Kept {
    type Msg = Mail;
    type State = State;
    type Arguments = State;

    async fn pre_start(&self, myself: ActorRef<Mail>, mut state: State) -> Result<State, ActorProcessingErr> {
        let left = state.deadline().saturating_duration_since(Instant::now());
        state.timer = Some(myself.send_after(left, || Mail::LookAtTheClock));
        Ok(state)
    }

    async fn handle(&self, myself: ActorRef<Mail>, mail: Mail, state: &mut State) -> Result<(), ActorProcessingErr> {
        match mail {
            Mail::Tell(n) => drop(state.session.add(n)),
            Mail::Ask(n, reply) => drop(reply.send(state.session.add(n))),
            Mail::LookAtTheClock => {
                let left = state.deadline().saturating_duration_since(Instant::now());
                if left.is_zero() {
                    myself.stop(None);
                } else {
                    state.timer = Some(myself.send_after(left, || Mail::LookAtTheClock));
                }
                return Ok(());
            }
        }
        state.touched = Instant::now();
        Ok(())
    }

    async fn post_stop(&self, _: ActorRef<Mail>, state: &mut State) -> Result<(), ActorProcessingErr> {
        if let Some(timer) = state.timer.take() {
            timer.abort();
        }
        state.live.remove(&state.key);
        Ok(())
    }
}

impl Contender for Ractor {
    type Address = ActorRef<Mail>;

    async fn start(limits: Limits) -> Self {
        let mut watcher = None;
        if let Some(ends) = limits.watched.clone() {
            watcher = Some(Watcher::spawn(None, Watcher, ends).await.expect("it starts").0);
        }
        Self { live: Live::default(), limits, watcher }
    }

    async fn open(&self, index: usize) -> ActorRef<Mail> {
        let key = key(index);
        if let Some(actor) = self.live.get(&key) {
            return actor.clone();
        }
        let now = Instant::now();
        let Times { idle, max_age } = (self.limits.of)(index);
        let state = State {
            session: Session::new(index),
            key: key.clone(),
            live: Arc::clone(&self.live),
            touched: now,
            idle,
            too_old: now + max_age,
            timer: None,
        };
        let started = match &self.watcher {
            Some(watcher) => Kept::spawn_linked(None, Kept, state, watcher.get_cell()).await,
            None => Kept::spawn(None, Kept, state).await,
        };
        let (actor, _) = started.expect("it starts");
        self.live.insert(key, actor.clone());
        actor
    }

    fn tell(&self, to: &ActorRef<Mail>, n: u64) {
        to.send_message(Mail::Tell(n)).expect("it is live");
    }

    async fn ask(&self, to: &ActorRef<Mail>, n: u64) -> u64 {
        ractor::call!(to, Mail::Ask, n).expect("it answers")
    }

    async fn end(&self, index: usize) {
        let actor = self.live.get(&key(index)).map(|actor| actor.clone()).expect("it was live");
        actor.stop_and_wait(None, None).await.expect("it stops");
    }

    fn live(&self) -> usize {
        self.live.len()
    }

    fn by_key(&self) -> Option<ByKey> {
        let (get, tell) = (Arc::clone(&self.live), Arc::clone(&self.live));
        Some(ByKey {
            get: Arc::new(move |key| get.get(key).map(|actor| actor.clone()).is_some()),
            tell: Arc::new(move |key| {
                tell.get(key).expect("it is live").send_message(Mail::Tell(1)).expect("it is taken");
            }),
        })
    }
}
