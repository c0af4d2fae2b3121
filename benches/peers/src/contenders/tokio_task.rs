//! A tokio task for each session, with `select!` over its channel and a `sleep`, as the Rust SDK of MCP
//! does it. The map from key to channel and its race with the end are what such code has to add.

use std::{cell::RefCell, collections::HashMap, pin::pin, rc::Rc, time::Duration};

use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep},
};

use crate::{
    contender::{Contender, Limits, key},
    ledger::Session,
};

#[derive(Debug)]
pub(crate) enum Mail {
    Tell(u64),
    Ask(u64, oneshot::Sender<u64>),
    Stop,
}

type Live = Rc<RefCell<HashMap<String, mpsc::UnboundedSender<Mail>>>>;

pub(crate) struct TokioTask {
    live: Live,
    limits: Limits,
}

async fn run(mut session: Session, mut mail: mpsc::UnboundedReceiver<Mail>, idle: Duration, max_age: Duration) {
    let mut too_old = pin!(sleep(max_age));
    let mut too_idle = pin!(sleep(idle));
    loop {
        tokio::select! {
            received = mail.recv() => {
                match received {
                    Some(Mail::Tell(n)) => drop(session.add(n)),
                    Some(Mail::Ask(n, reply)) => drop(reply.send(session.add(n))),
                    Some(Mail::Stop) | None => break,
                }
                too_idle.as_mut().reset(Instant::now() + idle);
            }
            () = &mut too_idle => break,
            () = &mut too_old => break,
        }
    }
}

impl Contender for TokioTask {
    type Address = mpsc::UnboundedSender<Mail>;

    async fn start(limits: Limits) -> Self {
        Self { live: Rc::default(), limits }
    }

    async fn open(&self, index: usize) -> Self::Address {
        let key = key(index);
        if let Some(sender) = self.live.borrow().get(&key) {
            return sender.clone();
        }
        let (sender, mail) = mpsc::unbounded_channel();
        self.live.borrow_mut().insert(key.clone(), sender.clone());
        let (idle, max_age) = ((self.limits.idle)(index), self.limits.max_age);
        let live = Rc::clone(&self.live);
        tokio::task::spawn_local(async move {
            run(Session::new(index), mail, idle, max_age).await;
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
        let sender = self.live.borrow().get(&key(index)).cloned().expect("it was live");
        sender.send(Mail::Stop).expect("it is live");
        drop(sender);
        while self.live.borrow().contains_key(&key(index)) {
            tokio::task::yield_now().await;
        }
    }

    fn live(&self) -> usize {
        self.live.borrow().len()
    }
}
