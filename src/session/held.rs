//! Replies that wait until the state behind them is on disk (`checkpoint = "always"`).

use super::{caller::Caller, context::SessionContext, items::Work, panics::quietly, traits::Session};
use crate::{checkpoint::Checkpoint, error::Unserved, moment::Moment};

/// A reply that waits until the state behind it is on disk.
pub(super) struct Held {
    deliver: Box<dyn FnOnce()>,
    caller: Option<Caller>,
    /// How long it waits; set when it is first looked at.
    pub(super) until: Option<Moment>,
}

impl Held {
    pub(super) fn new(deliver: Box<dyn FnOnce()>, caller: Option<Caller>) -> Self {
        Self { deliver, caller, until: None }
    }

    pub(super) fn deliver(self) {
        // It wakes who waits, and drops the reply if nobody does.
        let _ = quietly(self.deliver);
    }

    pub(super) fn fail(self, error: &str) {
        if let Some(caller) = &self.caller {
            caller.tell(Unserved::NotSaved { error: error.to_owned() });
        }
        let _ = quietly(|| drop(self.deliver));
    }
}

impl<A: Session> SessionContext<A> {
    /// Whether replies wait until they are saved.
    #[inline]
    pub(super) fn holds_replies(&self) -> bool {
        self.locals.keeps && self.ruling.limits.checkpoint == Checkpoint::Always
    }

    /// Keeps a reply that is made until what is behind it is saved.
    pub(super) fn hold_reply(&mut self, held: Held) {
        // Keeps the session busy, and is no activity of its own.
        self.begin_work(Work::Passive);
        self.saving().held.push(held);
    }
}
