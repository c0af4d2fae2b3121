//! ractor: an actor for each session. It has no idle timeout; its timers are messages that come later,
//! and each is a task of its own. So a message notes the time, and one timer, armed at the nearest
//! deadline, looks again when it comes: the cheapest way that is still exact. A session that is ended before
//! stops its timer, or a task of its own would be left of it until then.

use std::{sync::Arc, time::Instant};

use ractor::{
    Actor, ActorCell, ActorProcessingErr, ActorRef, MessagingErr, RpcReplyPort, SupervisionEvent,
    concurrency::JoinHandle,
};

use super::deadline::Deadline;
use crate::{
    contender::{ByKey, Contender, Limits, Shared, key},
    ledger::Session,
    watcher::Watcher,
};

type Live = Arc<Shared<ActorRef<Mail>>>;

pub(crate) enum Mail {
    Tell(u64),
    Ask(u64, RpcReplyPort<u64>),
    LookAtTheClock,
}

pub(crate) struct Ractor {
    live: Live,
    limits: Limits,
    supervisor: Option<ActorCell>,
}

struct Kept;

struct State {
    session: Session,
    key: Arc<str>,
    live: Live,
    deadline: Deadline,
    timer: Option<JoinHandle<Result<(), MessagingErr<Mail>>>>,
}

impl State {
    fn sleep(&mut self, myself: &ActorRef<Mail>, now: Instant) {
        self.timer = Some(myself.send_after(self.deadline.at() - now, || Mail::LookAtTheClock));
    }
}

impl Actor for Kept {
    type Msg = Mail;
    type State = State;
    type Arguments = State;

    async fn pre_start(&self, myself: ActorRef<Mail>, mut state: State) -> Result<State, ActorProcessingErr> {
        state.sleep(&myself, Instant::now());
        Ok(state)
    }

    async fn handle(&self, myself: ActorRef<Mail>, mail: Mail, state: &mut State) -> Result<(), ActorProcessingErr> {
        let goes_on = match mail {
            Mail::Tell(n) => {
                state.session.add(n);
                state.deadline.touch()
            }
            Mail::Ask(n, reply) => {
                // Nobody may be there to take it.
                let _ = reply.send(state.session.add(n));
                state.deadline.touch()
            }
            Mail::LookAtTheClock => {
                let now = Instant::now();
                let goes_on = !state.deadline.has_come(now);
                if goes_on {
                    state.sleep(&myself, now);
                }
                goes_on
            }
        };
        if !goes_on {
            myself.stop(None);
        }
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

/// Told when its actors start and when they terminate.
struct Supervisor;

impl Actor for Supervisor {
    type Msg = ();
    type State = Watcher;
    type Arguments = Watcher;

    async fn pre_start(&self, _: ActorRef<()>, watcher: Watcher) -> Result<Watcher, ActorProcessingErr> {
        Ok(watcher)
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<()>,
        event: SupervisionEvent,
        watcher: &mut Watcher,
    ) -> Result<(), ActorProcessingErr> {
        if let SupervisionEvent::ActorStarted(_) | SupervisionEvent::ActorTerminated(..) = event {
            watcher.saw();
        }
        Ok(())
    }
}

impl Contender for Ractor {
    type Address = ActorRef<Mail>;

    async fn start(limits: Limits) -> Self {
        Self { live: Live::default(), limits, supervisor: None }
    }

    async fn start_watched(limits: Limits) -> Option<(Self, Watcher)> {
        let watcher = Watcher::new(2);
        let (supervisor, _) = Supervisor::spawn(None, Supervisor, watcher.clone()).await.ok()?;
        Some((Self { supervisor: Some(supervisor.get_cell()), ..Self::start(limits).await }, watcher))
    }

    async fn open(&self, index: usize) -> ActorRef<Mail> {
        let key: Arc<str> = key(index).into();
        if let Some(actor) = self.live.get(&key) {
            return actor.clone();
        }
        let state = State {
            session: Session::new(index),
            key: Arc::clone(&key),
            live: Arc::clone(&self.live),
            deadline: Deadline::new((self.limits.of)(index)),
            timer: None,
        };
        let started = match &self.supervisor {
            Some(supervisor) => Kept::spawn_linked(None, Kept, state, supervisor.clone()).await,
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
        let actor = self.live.get(&*key(index)).map(|actor| actor.clone()).expect("it was live");
        actor.stop_and_wait(None, None).await.expect("it stops");
    }

    fn live(&self) -> usize {
        self.live.len()
    }

    /// By the same map as everybody's, and not by its own registry of names.
    fn by_key(&self) -> ByKey {
        ByKey::of(&self.live, |session| session.send_message(Mail::Tell(1)).expect("it is live"))
    }
}
