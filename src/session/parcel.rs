//! Messages that were accepted by a mailbox whose session ended before it took them.
//!
//! actix counts a message before it is queued, and dropping the receiver waits for every counted
//! one and drops its envelope right there, on the session's thread. [`collect`] opens a collector
//! around that drop; an envelope dropped unhandled inside of it hands its message and reply sender
//! to the collector instead of losing them. Nothing else is dropped inside, no user code runs
//! there, and the guard clears the collector whatever happens, so it can only ever see the
//! envelopes of the one session that is ending.

use std::{any::Any, cell::RefCell};

use actix::{Actor, dev::EnvelopeProxy};

thread_local! {
    /// Holds a `Vec<Parcel<A>>` of the session that is ending.
    static COLLECTOR: RefCell<Option<Box<dyn Any>>> = const { RefCell::new(None) };
}

/// A message on its way to the successor, with whoever waits for its reply.
pub(crate) type Parcel<A> = Box<dyn Forward<A> + Send>;

/// An accepted message that can be handled by another incarnation.
pub(crate) trait Forward<A: Actor>: EnvelopeProxy<A> {
    /// Whether its caller waited for a reply and has gone; actix drops such a message unhandled.
    fn is_abandoned(&self) -> bool;
}

/// Runs `close`, which drops a mailbox, and returns what was still in it, in order.
pub(crate) fn collect<A: Actor>(close: impl FnOnce()) -> Vec<Parcel<A>> {
    struct Clear;
    impl Drop for Clear {
        fn drop(&mut self) {
            let _ = COLLECTOR.try_with(|cell| cell.take());
        }
    }

    let opened = COLLECTOR.try_with(|cell| cell.replace(Some(Box::new(Vec::<Parcel<A>>::new())))).is_ok();
    let _clear = Clear;
    close();
    if !opened {
        // The thread is being torn down; what was dropped has told its callers.
        return Vec::new();
    }
    COLLECTOR
        .try_with(|cell| cell.take())
        .ok()
        .flatten()
        .and_then(|parcels| parcels.downcast::<Vec<Parcel<A>>>().ok())
        .map_or_else(Vec::new, |parcels| *parcels)
}

/// Offers an unhandled message to the collector, if one is open for this actor type. Otherwise
/// gives it back by not calling `parcel`.
pub(crate) fn offer<A: Actor>(parcel: impl FnOnce() -> Parcel<A>) -> bool {
    COLLECTOR
        .try_with(|cell| {
            let Ok(mut collector) = cell.try_borrow_mut() else {
                return false;
            };
            let Some(parcels) = collector.as_mut().and_then(|any| any.downcast_mut::<Vec<Parcel<A>>>()) else {
                return false;
            };
            parcels.push(parcel());
            true
        })
        .unwrap_or(false)
}
