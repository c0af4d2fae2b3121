//! What those who wait are told.

use std::{collections::BTreeMap, future::Future, pin::Pin};

use actix::{Addr, Handler, MailboxError, Message};
use futures_util::FutureExt;
use session_actors::{Closing, Ended, OpenError, SendError, SessionId, SessionRegistry, Unserved};
use tokio::sync::oneshot;

use super::{
    model::{Fate, Name},
    session::{ByAtomic, ByContext, ByFuture, Diary, Now, Outcome, Subject, Task, What},
    step::{By, Wanted},
};

/// What came of a message.
#[derive(Debug, PartialEq)]
pub enum Got {
    Answered(u64),
    Refused(OpenError),
    Unserved(Unserved),
    Closed,
}

type Waiting = Pin<Box<dyn Future<Output = Got>>>;

/// Everybody who waits for something.
#[derive(Default)]
pub struct Replies {
    last: u64,
    waiting: BTreeMap<u64, Waiting>,
    gates: BTreeMap<u64, oneshot::Sender<Outcome>>,
    pub closings: Vec<(Option<Name>, Closing)>,
}

impl Replies {
    pub fn next_id(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// Sends one message through the registry. Says how a call that waits for no answer came out.
    pub fn send(
        &mut self,
        id: u64,
        by: By,
        (what, passive): Wanted,
        (registry, key): (&SessionRegistry<Subject>, &str),
        diary: &Diary,
    ) -> Option<Got> {
        let task = Task::new(id, what, passive, diary);
        match what {
            What::Future => {
                let gate = self.gate(id);
                self.through_registry(id, by, ByFuture(task, gate), (registry, key))
            }
            What::InContext => {
                let gate = self.gate(id);
                self.through_registry(id, by, ByContext(task, gate), (registry, key))
            }
            What::Atomic => {
                let gate = self.gate(id);
                self.through_registry(id, by, ByAtomic(task, gate), (registry, key))
            }
            _ => self.through_registry(id, by, Now(task), (registry, key)),
        }
    }

    /// Sends one message by an address.
    pub fn send_raw(&mut self, id: u64, (what, passive): Wanted, addr: &Addr<Subject>, diary: &Diary) {
        let task = Task::new(id, what, passive, diary);
        match what {
            What::Future => {
                let gate = self.gate(id);
                self.by_address(id, ByFuture(task, gate), addr);
            }
            What::InContext => {
                let gate = self.gate(id);
                self.by_address(id, ByContext(task, gate), addr);
            }
            What::Atomic => {
                let gate = self.gate(id);
                self.by_address(id, ByAtomic(task, gate), addr);
            }
            _ => self.by_address(id, Now(task), addr),
        }
    }

    fn gate(&mut self, id: u64) -> oneshot::Receiver<Outcome> {
        let (open, gate) = oneshot::channel();
        self.gates.insert(id, open);
        gate
    }

    fn through_registry<M>(
        &mut self,
        id: u64,
        by: By,
        message: M,
        (registry, key): (&SessionRegistry<Subject>, &str),
    ) -> Option<Got>
    where
        M: Message<Result = u64> + Send + 'static,
        Subject: Handler<M>,
    {
        let sent = match by {
            By::Send => {
                let reply = registry.send(key, message);
                self.waiting.insert(id, Box::pin(reply.map(|reply| reply.map_or_else(told, Got::Answered))));
                return None;
            }
            By::TrySend => registry.try_send(key, message),
            By::DoSend => registry.do_send(key, message),
        };
        sent.err().map(told)
    }

    fn by_address<M>(&mut self, id: u64, message: M, addr: &Addr<Subject>)
    where
        M: Message<Result = u64> + Send + 'static,
        Subject: Handler<M>,
    {
        let told = |reply| match reply {
            Ok(answer) => Got::Answered(answer),
            Err(MailboxError::Closed) => Got::Closed,
            Err(MailboxError::Timeout) => panic!("nobody set a timeout"),
        };
        self.waiting.insert(id, Box::pin(addr.send(message).map(told)));
    }

    /// Opens the gate of a slow reply.
    pub fn open_gate(&mut self, id: u64, outcome: Outcome) {
        let gate = self.gates.remove(&id).expect("a slow reply without a gate");
        gate.send(outcome).expect("the work behind a gate was cut too early");
    }

    /// What a message that was refused has come to.
    pub fn refused(&mut self, id: u64) -> Option<Got> {
        self.gates.remove(&id);
        self.waiting.remove(&id)?.now_or_never()
    }

    /// The caller of one of the messages that are waited for goes away.
    pub fn drop_one(&mut self, nth: usize) -> Option<u64> {
        let id = *self.waiting.keys().nth(nth % self.waiting.len().max(1))?;
        self.waiting.remove(&id);
        Some(id)
    }

    /// Compares with what everybody must have been told by now, and with nobody else.
    pub fn check(
        &mut self,
        fates: &BTreeMap<u64, Fate>,
        ids: &BTreeMap<Name, SessionId>,
        ends: &BTreeMap<Name, Option<Ended>>,
    ) {
        self.waiting.retain(|id, waiting| {
            let got = waiting.now_or_never();
            let want = match &fates[id] {
                Fate::Pending => None,
                Fate::Answered(name) => Some(Got::Answered(ids[name].get())),
                Fate::Unserved(why) => Some(Got::Unserved(why.clone())),
                Fate::Closed => Some(Got::Closed),
            };
            // An address can tell no more than that it is closed.
            let less = matches!((&got, &want), (Some(Got::Closed), Some(Got::Unserved(_))));
            assert!(less || got == want, "message {id}: {got:?} instead of {want:?}");
            got.is_none()
        });
        self.closings.retain_mut(|(name, closing)| {
            let want = name.map_or(Some(None), |name| ends.get(&name).cloned());
            let got = closing.now_or_never().map(Result::ok);
            assert_eq!(got, want, "the close of {name:?}");
            got.is_none()
        });
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.closings.is_empty()
    }
}

fn told<M>(error: SendError<M>) -> Got {
    match error {
        // With the message itself; that it is alive no longer than this shows in its counter.
        SendError::Refused { cause, message: _ } => Got::Refused(cause),
        SendError::Unserved { cause } => Got::Unserved(cause),
        other => panic!("unexpected {other:?}"),
    }
}
