//! What the store is told when a session ends: that it has, so that its record goes; or, where the registry shuts down
//! or the thread goes away, its last state.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use super::{
    caller::because,
    ending::End,
    held::Held,
    panics::{drop_quietly, panic_message},
    parting::{Fate, Parting},
    pending::Pending,
    saved::{Recorded, Saving},
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
        before: Recorded,
    },
    /// There is no state that could be saved.
    Lost {
        error: String,
        before: Recorded,
    },
}

impl Farewell {
    pub(super) fn nothing() -> Self {
        Self { store: Store::Nothing, held: Vec::new() }
    }

    /// Before the last hooks: what they do is not kept.
    pub(super) fn of<A: Session>(body: &mut Body<A>, end: &End) -> Self {
        let before = body.saving().map(Saving::record).unwrap_or_default();
        let at_work = body.is_at_work();
        let saving = body.ctx.extras.as_mut().and_then(|extras| extras.saving.as_mut());
        let held = saving.map(|saving| saving.take_held()).unwrap_or_default();
        let store = if end.passivated {
            Store::Current
        } else if matches!(end.reason, EndReason::Shutdown | EndReason::Aborted) {
            Self::last_state(body, before, at_work)
        } else if before.is_possible() {
            Store::Forget
        } else {
            Store::Nothing
        };
        Self { store, held }
    }

    fn last_state<A: Session>(body: &Body<A>, before: Recorded, at_work: bool) -> Store {
        let hub = body.ctx.hub();
        let Some(keeper) = &hub.keeper else { return Store::Nothing };
        let taken = catch_unwind(AssertUnwindSafe(|| keeper.snapshot(&body.act)))
            .unwrap_or_else(|payload| Err(format!("state panicked: {}", panic_message(payload))));
        match taken {
            Ok(snapshot) => {
                let figures = body.ctx.figures(hub.clock.now(), at_work);
                Store::Save { snapshot, figures, before }
            }
            Err(error) => Store::Lost { error, before },
        }
    }
}

impl Store {
    /// Tells the store, and concludes when it has answered.
    pub(super) fn settle<A: Session>(self, parting: Parting<A>, span: SessionSpan, held: Vec<Held>) {
        let (put, before) = match self {
            Self::Save { snapshot, figures, before } => (Some((snapshot, figures)), before),
            Self::Forget => (None, Recorded::default()),
            Self::Nothing | Self::Current | Self::Lost { .. } => {
                let fate = match self {
                    Self::Current => Fate::Saved,
                    Self::Lost { error, before } => Fate::Lost { error, before },
                    _ => Fate::Removed,
                };
                let outcome = match &fate {
                    Fate::Lost { error, .. } => Err(error.as_str()),
                    _ => Ok(()),
                };
                held.into_iter().for_each(|held| held.release(outcome));
                return parting.conclude(Some(&span), fate);
            }
        };
        let saves = put.is_some().then_some(before);
        let (hub, vitals) = (Arc::clone(&parting.hub), Arc::clone(&parting.vitals));
        let Some(keeper) = &hub.keeper else { return parting.conclude(Some(&span), Fate::Removed) };
        let (aborted, why) = (parting.end.aborted, parting.end.unserved());
        let watch = Pending::ask(parting, saves, |done| match put {
            Some((snapshot, figures)) => keeper.save(&hub, &vitals, snapshot, figures, done),
            None => keeper.forget(&vitals, done),
        });
        if aborted {
            // There is no runtime any more.
            because(why, || drop(drop_quietly(held)));
            return drop(watch);
        }
        actix::spawn(async move {
            watch.conclude(&span, |told| held.into_iter().for_each(|held| held.release(told))).await;
        });
    }
}
