//! A tokio task for each session, with `select!` over its channel and a `sleep`, as the Rust SDK of MCP
//! does it, but with one `sleep` for both limits, which a message does not move, and with all the mail that is
//! there taken at once. The map from key to channel and its race with the end are what such code has to add.

use std::{pin::pin, rc::Rc, sync::Arc, time::Instant};

use tokio::{
    sync::{mpsc, oneshot},
    time::sleep_until,
};

use super::{deadline::Deadline, keys::Keys};
use crate::{
    contender::{ByKey, Contender, Limits, key},
    ledger::Session,
};

/// Taken at once, at most. A session keeps the room for what it has taken: a part of what it needs at rest.
const BATCH: usize = 64;

#[derive(Debug)]
pub(crate) enum Mail {
    Tell(u64),
    Ask(u64, oneshot::Sender<u64>),
    Stop,
}

pub(crate) struct TokioTask {
    live: Rc<Keys<mpsc::UnboundedSender<Mail>>>,
    limits: Limits,
}

async fn run(mut session: Session, mut mail: mpsc::UnboundedReceiver<Mail>, mut deadline: Deadline) {
    let mut sleep = pin!(sleep_until(deadline.at().into()));
    let mut received = Vec::new();
    loop {
        tokio::select! {
            biased;
            count = mail.recv_many(&mut received, BATCH) => {
                if count == 0 || !deadline.touch() {
                    break;
                }
                for mail in received.drain(..) {
                    match mail {
                        Mail::Tell(n) => drop(session.add(n)),
                        Mail::Ask(n, reply) => drop(reply.send(session.add(n))),
                        Mail::Stop => return,
                    }
                }
            }
            () = &mut sleep => {
                if deadline.has_come(Instant::now()) {
                    break;
                }
                sleep.as_mut().reset(deadline.at().into());
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
        self.live.open(index, |key| {
            let (sender, mail) = mpsc::unbounded_channel();
            let (live, key) = (Rc::clone(&self.live), Arc::clone(key));
            let deadline = Deadline::new((self.limits.of)(index));
            tokio::task::spawn_local(async move {
                run(Session::new(index), mail, deadline).await;
                live.remove(&key);
            });
            sender
        })
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
        self.live.get(&key).expect("it was live").send(Mail::Stop).expect("it is live");
        while self.live.has(&key) {
            tokio::task::yield_now().await;
        }
    }

    fn live(&self) -> usize {
        self.live.len()
    }

    fn by_key(&self) -> ByKey {
        self.live.by_key(|session| session.send(Mail::Tell(1)).expect("it is live"))
    }
}
