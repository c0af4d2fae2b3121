//! An end that waits for what the store says of its record.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, Ordering},
};

use parking_lot::Mutex;
use tokio::{sync::oneshot, time::Instant};

use super::{
    parting::{Fate, Parting},
    saved::Recorded,
    saving::NO_ANSWER,
    span::SessionSpan,
    traits::Session,
};
use crate::{
    keeping::{Ticket, Waiting},
    registry::hub::Hub,
};

type Outcome = Result<(), String>;

/// Concludes once, on whatever thread: when the store has answered, or when it has been waited for too long.
pub(super) struct Pending<A: Session> {
    parting: Mutex<Option<Parting<A>>>,
    /// `Some` if it is saved, and not removed: whether the store has an earlier state of it.
    saves: Option<Recorded>,
    asked: Instant,
    /// A save that is told as not made must not be made later.
    ticket: OnceLock<Ticket>,
    outcome: Mutex<Option<Outcome>>,
    /// It is waited for once more, because the writer is at it.
    once_more: AtomicBool,
}

impl<A: Session> Pending<A> {
    /// Asks, by `ask`, which is given whom to tell.
    pub(super) fn ask(
        parting: Parting<A>,
        saves: Option<Recorded>,
        ask: impl FnOnce(Box<dyn FnOnce(Outcome) + Send>) -> Ticket,
    ) -> Watch<A> {
        let hub = Arc::clone(&parting.hub);
        let pending = Arc::new(Self {
            parting: Mutex::new(Some(parting)),
            saves,
            asked: Instant::now(),
            ticket: OnceLock::new(),
            outcome: Mutex::default(),
            once_more: AtomicBool::new(false),
        });
        let (answer, answered) = oneshot::channel();
        let whose = Arc::clone(&pending);
        let ticket = ask(Box::new(move |outcome| {
            *whose.outcome.lock() = Some(outcome);
            if answer.send(()).is_err() {
                // Nobody on its own thread waits for it any more.
                whose.conclude(None);
            }
        }));
        let _ = pending.ticket.set(ticket);
        Watch { answered, rest: Rest { hub, pending } }
    }

    /// By what the store has said so far.
    fn conclude(&self, span: Option<&SessionSpan>) {
        let Some(parting) = self.parting.lock().take() else { return };
        let outcome = self.outcome.lock().take().unwrap_or_else(|| Err(NO_ANSWER.to_owned()));
        let fate = match (outcome, &self.saves) {
            (Ok(()), Some(_)) => Fate::Saved,
            (Ok(()), None) => Fate::Removed,
            (Err(error), Some(before)) => Fate::Lost { error, before: before.clone() },
            (Err(error), None) => Fate::Remains { error },
        };
        parting.conclude(span, fate);
    }

    /// Whether nothing will be made any more that was not. A removal may be: it is owed.
    fn may_be_given_up(&self) -> bool {
        self.saves.is_none() || self.ticket.get().is_none_or(Ticket::take_back)
    }
}

impl<A: Session> Waiting<A> for Pending<A> {
    fn give_up(&self, hub: &Arc<Hub<A>>) -> bool {
        // While the store works for others, its turn will come.
        let works = hub.keeper.as_ref().is_some_and(|keeper| keeper.patience(self.asked) > Instant::now());
        let goes_on = works || !self.may_be_given_up() && !self.once_more.swap(true, Ordering::Relaxed);
        if !goes_on {
            self.conclude(None);
        }
        goes_on
    }
}

impl<A: Session> Drop for Pending<A> {
    fn drop(&mut self) {
        // The store's threads have gone, and nothing was said.
        self.conclude(None);
    }
}

/// Waits for it on the session's thread. Dropped with that, it is waited for elsewhere.
pub(super) struct Watch<A: Session> {
    /// First, so that it is dropped first: who answers after that concludes.
    answered: oneshot::Receiver<()>,
    rest: Rest<A>,
}

struct Rest<A: Session> {
    hub: Arc<Hub<A>>,
    pending: Arc<Pending<A>>,
}

impl<A: Session> Watch<A> {
    /// Concludes when the store has answered, or has not for too long. `told` hears it first.
    pub(super) async fn conclude(mut self, span: &SessionSpan, told: impl FnOnce(Result<(), &str>)) {
        let Rest { hub, pending } = &self.rest;
        if let Some(keeper) = &hub.keeper {
            let answer = keeper.patiently(&mut self.answered).await;
            if answer.is_none() && !pending.may_be_given_up() {
                // It is being made.
                keeper.patiently(&mut self.answered).await;
            }
        }
        // Told without the lock: it is foreign code.
        let outcome = pending.outcome.lock().clone().unwrap_or_else(|| Err(NO_ANSWER.to_owned()));
        told(match &outcome {
            Ok(()) => Ok(()),
            Err(error) => Err(error),
        });
        pending.conclude(Some(span));
    }
}

impl<A: Session> Drop for Rest<A> {
    fn drop(&mut self) {
        let answered = self.pending.outcome.lock().is_some();
        if answered {
            self.pending.conclude(None);
        } else if let Some(keeper) = &self.hub.keeper {
            keeper.wait(&self.pending);
        }
    }
}
