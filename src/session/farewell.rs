//! What the store is told when a session ends: that it has, so that its record goes; or, where the registry shuts down
//! or the thread goes away, its last state.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use tokio::sync::oneshot;

use super::{
    caller::because,
    ending::End,
    panics::{drop_quietly, panic_message},
    parting::{Fate, Parting, Pending},
    saving::Held,
    span::SessionSpan,
    task::Body,
    traits::Session,
};
use crate::{
    event::EndReason,
    keeping::{Figures, Snapshot},
};

/// What is to be done when the actor is gone.
pub(super) struct Farewell {
    pub(super) store: Store,
    /// Replies that wait until the state behind them is on disk.
    pub(super) held: Vec<Held>,
}

pub(super) enum Store {
    /// It knows nothing of it.
    Nothing,
    /// It has it.
    Current,
    Forget,
    /// `before`: it has an earlier state.
    Save {
        snapshot: Snapshot,
        figures: Figures,
        before: bool,
    },
    /// There is no state that could be saved.
    Lost {
        error: String,
        before: bool,
    },
}

impl Farewell {
    pub(super) fn nothing() -> Self {
        Self { store: Store::Nothing, held: Vec::new() }
    }

    /// Before the last hooks: what they do is not kept.
    pub(super) fn of<A: Session>(body: &mut Body<A>, end: &End) -> Self {
        let saving = body.ctx.extras.as_mut().and_then(|extras| extras.saving.as_mut());
        let before = saving.as_ref().is_some_and(|saving| saving.stored);
        let held = saving.map(|saving| saving.take_held()).unwrap_or_default();
        let store = if end.passivated {
            Store::Current
        } else if matches!(end.reason, EndReason::Shutdown | EndReason::Aborted) {
            Self::last_state(body, before)
        } else if before {
            Store::Forget
        } else {
            Store::Nothing
        };
        Self { store, held }
    }

    fn last_state<A: Session>(body: &Body<A>, before: bool) -> Store {
        let hub = body.ctx.hub();
        let Some(keeper) = &hub.keeper else { return Store::Nothing };
        let taken = catch_unwind(AssertUnwindSafe(|| keeper.snapshot(&body.act)))
            .unwrap_or_else(|payload| Err(format!("state panicked: {}", panic_message(payload))));
        match taken {
            Ok(snapshot) => {
                let figures = body.ctx.figures(hub.clock.now(), body.in_flight() > 0);
                Store::Save { snapshot, figures, before }
            }
            Err(error) => Store::Lost { error, before },
        }
    }
}

impl Store {
    /// Tells the store, and concludes when it has answered.
    pub(super) fn settle<A: Session>(self, parting: Parting<A>, span: SessionSpan, held: Vec<Held>) {
        let hub = Arc::clone(&parting.hub);
        let vitals = Arc::clone(&parting.vitals);
        let Some(keeper) = &hub.keeper else { return parting.conclude(Some(&span), Fate::Removed) };
        let (tell, told) = oneshot::channel();
        let aborted = parting.end.aborted;
        let because_of = parting.end.unserved();
        let no_answer = || "the store has not answered in time".to_owned();
        let (good, bad): (Fate, fn(String, bool) -> Fate) = match &self {
            Self::Nothing | Self::Current | Self::Lost { .. } => {
                let kept = match self {
                    Self::Current => Fate::Saved,
                    Self::Lost { error, before } => Fate::Lost { error, before },
                    _ => Fate::Removed,
                };
                held.into_iter().for_each(Held::deliver);
                return parting.conclude(Some(&span), kept);
            }
            Self::Forget => (Fate::Removed, |error, _| Fate::Remains { error }),
            Self::Save { .. } => (Fate::Saved, |error, before| Fate::Lost { error, before }),
        };
        let before = matches!(self, Self::Save { before: true, .. });
        let pending = Pending::new(parting, bad(no_answer(), before));
        if aborted {
            // There is no runtime any more: whoever hears the answer concludes.
            because(because_of, || drop(drop_quietly(held)));
            let done = move |outcome: Result<(), String>| match outcome {
                Ok(()) => pending.heard(None, good),
                Err(error) => pending.heard(None, bad(error, before)),
            };
            return match self {
                Self::Save { snapshot, figures, .. } => keeper.save(&hub, &vitals, snapshot, figures, done),
                _ => keeper.forget(&vitals, done),
            };
        }
        let done = move |outcome: Result<(), String>| drop(tell.send(outcome));
        match self {
            Self::Save { snapshot, figures, .. } => keeper.save(&hub, &vitals, snapshot, figures, done),
            _ => keeper.forget(&vitals, done),
        }
        let timeout = keeper.timeout();
        actix::spawn(async move {
            match tokio::time::timeout(timeout, told).await {
                Ok(Ok(Ok(()))) => {
                    held.into_iter().for_each(Held::deliver);
                    pending.heard(Some(&span), good);
                }
                Ok(Ok(Err(error))) => {
                    held.into_iter().for_each(|held| held.fail(&error));
                    pending.heard(Some(&span), bad(error, before));
                }
                Ok(Err(_)) | Err(_) => {
                    held.into_iter().for_each(|held| held.fail("the store has not answered in time"));
                    pending.unheard(Some(&span));
                }
            }
        });
    }
}
