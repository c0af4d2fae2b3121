//! A tokio task for each session, with `select!` over its channel and a `sleep`, as the Rust SDK of MCP
//! does it, but with one for both limits, which is not touched by a message and looks again when it fires. The map from key
//! to channel and its race with the end are what such code has to add.

use std::{cell::RefCell, collections::hash_map::Entry, pin::pin, rc::Rc, sync::Arc, time::Instant};

use tokio::{
    sync::{mpsc, oneshot},
    time::sleep_until,
};

use crate::{
    contender::{ByKey, Contender, Limits, Map, Shared, Times, key},
    ledger::Session,
};

#[derive(Debug)]
pub(crate) enum Mail {
    Tell(u64),
    Ask(u64, oneshot::Sender<u64>),
    Stop,
}

type Live = Rc<RefCell<Map<mpsc::UnboundedSender<Mail>>>>;

pub(crate) struct TokioTask {
    live: Live,
    limits: Limits,
}

async fn run(mut session: Session, mut mail: mpsc::UnboundedReceiver<Mail>, Times { idle, max_age }: Times) {
    let mut touched = Instant::now();
    let too_old = touched + max_age;
    let mut timer = pin!(sleep_until((touched + idle).min(too_old).into()));
    loop {
        tokio::select! {
            biased;
            received = mail.recv() => {
                let Some(mut received) = received else { break };
                // All that is there, for one reading of the clock.
                loop {
                    match received {
                        Mail::Tell(n) => drop(session.add(n)),
                        Mail::Ask(n, reply) => drop(reply.send(session.add(n))),
                        Mail::Stop => return,
                    }
                    match mail.try_recv() {
                        Ok(next) => received = next,
                        Err(_) => break,
                    }
                }
                touched = Instant::now();
            }
            () = &mut timer => {
                let deadline = (touched + idle).min(too_old);
                if deadline <= Instant::now() {
                    break;
                }
                timer.as_mut().reset(deadline.into());
            }
        }
    }
}

impl Contender for TokioTask {
    type Address = mpsc::UnboundedSender<Mail>;

    async fn start(limits: Limits) -> Self {
        Self { live: Rc::default(), limits }
    }

    async fn open(&self, index: usize) -> Self::Address {
        let mut all = self.live.borrow_mut();
        let vacant = match all.entry(key(index)) {
            Entry::Occupied(sender) => return sender.get().clone(),
            Entry::Vacant(vacant) => vacant,
        };
        let (sender, mail) = mpsc::unbounded_channel();
        let (key, live, times) = (vacant.key().clone(), Rc::clone(&self.live), (self.limits.of)(index));
        vacant.insert(sender.clone());
        tokio::task::spawn_local(async move {
            run(Session::new(index), mail, times).await;
            live.borrow_mut().remove(&key);
        });
        sender
    }

    fn tell(&self, to: &Self::Address, n: u64) {
        to.send(Mail::Tell(n)).expect("it is live");
    }

    async fn ask(&self, to: &Self::Address, n: u64) -> u64 {
        let (sender, reply) = oneshot::channel();
        to.send(Mail::Ask(n, sender)).expect("it is live");
        reply.await.expect("it answers")
    }

    async fn end(&self, index: usize) {
        let key = key(index);
        let sender = self.live.borrow().get(&key).cloned().expect("it was live");
        sender.send(Mail::Stop).expect("it is live");
        drop(sender);
        while self.live.borrow().contains_key(&key) {
            tokio::task::yield_now().await;
        }
    }

    fn live(&self) -> usize {
        self.live.borrow().len()
    }

    /// The map that threads can share, as the floor has it.
    fn by_key(&self) -> Option<ByKey> {
        let get: Arc<Shared<String, mpsc::UnboundedSender<Mail>>> = Arc::default();
        let live = self.live.borrow();
        for key in (0..live.len()).map(key) {
            let sender = live.get(&key).expect("it is live").clone();
            get.insert(key, sender);
        }
        let tell = Arc::clone(&get);
        Some(ByKey {
            get: Arc::new(move |key| get.get(key).map(|sender| sender.clone()).is_some()),
            tell: Arc::new(move |key| tell.get(key).expect("it is live").send(Mail::Tell(1)).expect("it is taken")),
        })
    }
}
