//! ractor: an actor for each session. It has no idle timeout; its timers are messages that come later,
//! and each is a task of its own. So a message notes the time, and one timer, armed at the nearest
//! deadline, looks again when it comes: the cheapest way that is still exact. The timer of a
//! session that was ended before is left to sleep until then; to stop it would cost more, not less.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use dashmap::DashMap;
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};

use crate::{
    contender::{Contender, Limits, key},
    ledger::Session,
};

type Live = Arc<DashMap<String, ActorRef<Mail>>>;

pub(crate) enum Mail {
    Tell(u64),
    Ask(u64, RpcReplyPort<u64>),
    LookAtTheClock,
}

pub(crate) struct Ractor {
    live: Live,
    limits: Limits,
}

struct Kept;

struct State {
    session: Session,
    key: String,
    live: Live,
    opened: Instant,
    touched: Instant,
    idle: Duration,
    max_age: Duration,
}

impl State {
    fn deadline(&self) -> Instant {
        (self.touched + self.idle).min(self.opened + self.max_age)
    }
}

impl Actor for Kept {
    type Msg = Mail;
    type State = State;
    type Arguments = State;

    async fn pre_start(&self, myself: ActorRef<Mail>, state: State) -> Result<State, ActorProcessingErr> {
        myself.send_after(state.deadline() - Instant::now(), || Mail::LookAtTheClock);
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
                    myself.send_after(left, || Mail::LookAtTheClock);
                }
                return Ok(());
            }
        }
        state.touched = Instant::now();
        Ok(())
    }

    async fn post_stop(&self, _: ActorRef<Mail>, state: &mut State) -> Result<(), ActorProcessingErr> {
        state.live.remove(&state.key);
        Ok(())
    }
}

impl Contender for Ractor {
    type Address = ActorRef<Mail>;

    async fn start(limits: Limits) -> Self {
        Self { live: Live::default(), limits }
    }

    async fn open(&self, index: usize) -> ActorRef<Mail> {
        let key = key(index);
        if let Some(actor) = self.live.get(&key) {
            return actor.clone();
        }
        let now = Instant::now();
        let state = State {
            session: Session::new(index),
            key: key.clone(),
            live: Arc::clone(&self.live),
            opened: now,
            touched: now,
            idle: (self.limits.idle)(index),
            max_age: self.limits.max_age,
        };
        let (actor, _) = Kept::spawn(None, Kept, state).await.expect("it starts");
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
}
