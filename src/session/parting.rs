//! The last steps of an end, when the actor is gone: see `ending.rs` for the order.
//!
//! Nothing in here is bound to the session's thread, because a store may have to answer in between: steps 4 to 7 wait until
//! the session's record is removed, or its last state written.

use std::sync::Arc;

use tracing::field::display;

use super::{
    caller::because,
    ending::End,
    panics::{drop_quietly, quietly},
    parcel::Parcel,
    saved::Recorded,
    span::SessionSpan,
    traits::Session,
    vitals::Vitals,
};
use crate::{
    capacity::Permit,
    event::{EndReason, Ended, StoreTask},
    moment::Moment,
    registry::hub::Hub,
};

/// What is left when the actor is gone.
pub(super) struct Parting<A: Session> {
    /// When it was over.
    pub(super) now: Moment,
    pub(super) vitals: Arc<Vitals>,
    pub(super) hub: Arc<Hub<A>>,
    pub(super) permit: Permit<A>,
    pub(super) mail: Vec<Parcel<A>>,
    pub(super) ended: Ended,
    pub(super) end: End,
    /// It once had nothing left to take.
    pub(super) seen_empty: bool,
}

/// What has become of its record.
pub(super) enum Fate {
    /// There is none any more.
    Removed,
    /// The store has it.
    Saved,
    /// It could not be saved; `before`: whether the store has an earlier state of it.
    Lost { error: String, before: Recorded },
    /// It could not be removed.
    Remains { error: String },
}

impl<A: Session> Parting<A> {
    /// Steps 4 to 7.
    pub(super) fn conclude(self, span: Option<&SessionSpan>, kept: Fate) {
        let Self { now, vitals, hub, permit, mut mail, mut ended, end, seen_empty } = self;
        let goes_on = match kept {
            Fate::Removed => false,
            Fate::Saved => true,
            Fate::Lost { error, before } => {
                hub.store_failed(vitals.key(), vitals.id(), StoreTask::Save, &error);
                hub.shutdown.note_unsaved();
                before.is_certain()
            }
            Fate::Remains { error } => {
                hub.store_failed(vitals.key(), vitals.id(), StoreTask::Remove, &error);
                if let Some(keeper) = &hub.keeper {
                    keeper.owe(&vitals);
                }
                false
            }
        };
        // Of no use to anybody else, and no loss.
        let mut moot: Vec<Parcel<A>> = Vec::new();
        let mut lost: Vec<Parcel<A>> = Vec::new();
        if !mail.is_empty() {
            moot.extend(mail.extract_if(.., |parcel| is_moot(parcel)));
            lost.extend(mail.extract_if(.., |parcel| parcel.is_abandoned()));
        }
        if !mail.is_empty() && !hub.has_successor(&vitals, &ended, seen_empty, goes_on) {
            lost.append(&mut mail);
        }
        ended.handed_over = mail.len() as u64;
        ended.dropped = lost.len() as u64;
        // A subscriber that panics must not keep the end from being published.
        let _ = quietly(|| log(span, &vitals, &ended, goes_on));
        hub.note_end(&ended);
        let waiters =
            if goes_on { hub.journal.passivated(now, &vitals, &ended) } else { hub.journal.ended(now, &vitals, ended) };
        hub.release(&vitals, mail, permit);
        // Whoever is told finds the slot free.
        drop(waiters);
        if lost.is_empty() && moot.is_empty() {
            return;
        }
        // Last of all, because it runs users' code, which may take its time, and nobody's key waits for it.
        because(end.unserved(), || {
            for parcel in moot.into_iter().chain(lost) {
                let _ = drop_quietly(parcel);
            }
        });
    }
}

/// A panic of the user's counts as no: then nothing is lost.
fn is_moot<A: Session>(parcel: &Parcel<A>) -> bool {
    let mut moot = false;
    let _ = quietly(|| moot = parcel.is_moot());
    moot
}

fn log(span: Option<&SessionSpan>, vitals: &Vitals, ended: &Ended, goes_on: bool) {
    let span = span.filter(|span| !span.is_off());
    let _entered = span.and_then(SessionSpan::enter);
    // Not twice: where the span is on, it has them.
    let key = span.is_none().then(|| display(vitals.key()));
    let id = span.is_none().then(|| display(vitals.id()));
    let Ended { reason, age, idle, late: _, handled, cut, handed_over, dropped, panic } = ended;
    if goes_on && panic.is_none() && *cut == 0 && *dropped == 0 {
        tracing::debug!(key, id, ?age, ?idle, handled, handed_over, "session passivated");
        return;
    }
    let what = if goes_on { "session passivated" } else { "session ended" };
    if let Some(panic) = panic {
        tracing::warn!(key, id, %reason, %panic, ?age, handled, cut, handed_over, dropped, "{what}");
    } else if *cut > 0 || *dropped > 0 || *reason == EndReason::Evicted {
        tracing::warn!(key, id, %reason, ?age, ?idle, handled, cut, handed_over, dropped, "{what}");
    } else {
        tracing::debug!(key, id, %reason, ?age, ?idle, handled, handed_over, "{what}");
    }
}
