//! Messages that were accepted by a mailbox whose session ended before it took them.
//!
//! actix counts a message before it is queued, and dropping the receiver waits for every counted
//! one and drops its envelope right there, on the session's thread. [`collect`] opens a collector
//! around that drop; an envelope dropped unhandled inside of it hands its message and reply sender
//! to the collector instead of losing them. Nothing else is dropped inside, no user code runs
//! there, and the guard clears the collector whatever happens, so it can only ever see the
//! envelopes of the one session that is ending.

use std::{
    any::{Any, TypeId},
    cell::RefCell,
};

use actix::{Actor, dev::EnvelopeProxy};

thread_local! {
    static COLLECTOR: RefCell<Collector> = const { RefCell::new(Collector::Closed) };
}

/// What is collected for the session that is ending.
#[derive(Default)]
enum Collector {
    #[default]
    Closed,
    /// Nothing yet; for the actor of this type.
    Open(TypeId),
    /// A `Vec<Parcel<A>>`.
    Filled(Box<dyn Any>),
}

/// A message on its way to the successor, with whoever waits for its reply.
pub(crate) type Parcel<A> = Box<dyn Forward<A> + Send>;

/// An accepted message that can be handled by another incarnation.
pub(crate) trait Forward<A: Actor>: EnvelopeProxy<A> {
    /// Whether its caller waited for a reply and has gone; actix drops such a message unhandled.
    fn is_abandoned(&self) -> bool;

    /// Whether it is of no use to another incarnation. Asks the user's code.
    fn is_moot(&self) -> bool;
}

/// Runs `close`, which drops a mailbox, and returns what was still in it, in order.
pub(crate) fn collect<A: Actor>(close: impl FnOnce()) -> Vec<Parcel<A>> {
    struct Clear;
    impl Drop for Clear {
        fn drop(&mut self) {
            let _ = COLLECTOR.try_with(RefCell::take);
        }
    }

    let opened = COLLECTOR.try_with(|cell| cell.replace(Collector::Open(TypeId::of::<A>()))).is_ok();
    let _clear = Clear;
    close();
    if !opened {
        // The thread is being torn down; what was dropped has told its callers.
        return Vec::new();
    }
    match COLLECTOR.try_with(RefCell::take) {
        Ok(Collector::Filled(parcels)) => parcels.downcast::<Vec<Parcel<A>>>().map_or_else(|_| Vec::new(), |all| *all),
        Ok(Collector::Closed | Collector::Open(_)) | Err(_) => Vec::new(),
    }
}

/// Offers an unhandled message to the collector, if one is open for this actor type. Otherwise
/// gives it back by not calling `parcel`.
pub(crate) fn offer<A: Actor>(parcel: impl FnOnce() -> Parcel<A>) -> bool {
    COLLECTOR
        .try_with(|cell| {
            let Ok(mut collector) = cell.try_borrow_mut() else {
                return false;
            };
            match &mut *collector {
                Collector::Open(actor) if *actor == TypeId::of::<A>() => {
                    *collector = Collector::Filled(Box::new(vec![parcel()]));
                    true
                }
                Collector::Filled(parcels) => {
                    let Some(parcels) = parcels.downcast_mut::<Vec<Parcel<A>>>() else { return false };
                    parcels.push(parcel());
                    true
                }
                Collector::Closed | Collector::Open(_) => false,
            }
        })
        .unwrap_or(false)
}
