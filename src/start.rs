//! An incarnation on its way to the host that will run it.

use std::sync::Arc;

use actix::dev::channel::AddressReceiver;
use parking_lot::Mutex;

#[cfg(feature = "store")]
use crate::event::SessionId;
use crate::{
    capacity::Permit,
    error::Unserved,
    keeping::Remembered,
    key::SessionKey,
    registry::hub::Hub,
    session::{
        Session,
        caller::because,
        panics::drop_quietly,
        parcel::{Parcel, collect},
        vitals::Vitals,
    },
};

/// Makes the actor of one session; runs on its host's thread.
pub(crate) type Make<A> = Box<dyn FnOnce(&SessionKey) -> A + Send>;

/// What a session is made from.
pub(crate) struct Parts<A: Session> {
    pub(crate) vitals: Arc<Vitals>,
    pub(crate) mailbox: AddressReceiver<A>,
    /// `None`: the registry's factory.
    pub(crate) make: Option<Make<A>>,
    pub(crate) leftovers: Vec<Parcel<A>>,
    pub(crate) permit: Option<Permit<A>>,
    /// What is known of its key in the store, if the registry has one.
    pub(crate) remembered: Remembered,
}

/// The only thing that crosses to a host's thread. Dropped before it was run, it looks for another
/// host, and if there is none it undoes its entry, tells whoever waits, and frees its slot.
pub(crate) struct Start<A: Session> {
    hub: Arc<Hub<A>>,
    /// `None` once it was taken. The lock is never taken: it makes what is only ever owned by one
    /// thread at a time fit for a shared map.
    parts: Mutex<Option<Parts<A>>>,
}

impl<A: Session> Start<A> {
    pub(crate) fn new(hub: Arc<Hub<A>>, parts: Parts<A>) -> Self {
        Self { hub, parts: Mutex::new(Some(parts)) }
    }

    pub(crate) fn key(&mut self) -> Option<&SessionKey> {
        self.parts.get_mut().as_ref().map(|parts| parts.vitals.key())
    }

    /// Gives it its slot.
    pub(crate) fn grant(&mut self, permit: Permit<A>) {
        if let Some(parts) = self.parts.get_mut() {
            parts.permit = Some(permit);
        }
    }

    /// Gives it the mail that its predecessor left.
    pub(crate) fn inherit(&mut self, mut mail: Vec<Parcel<A>>) {
        if let Some(parts) = self.parts.get_mut() {
            parts.leftovers.append(&mut mail);
        }
    }

    /// Whose it is.
    #[cfg(feature = "store")]
    pub(crate) fn identity(&mut self) -> Option<(SessionKey, SessionId)> {
        self.parts.get_mut().as_ref().map(|parts| (parts.vitals.key().clone(), parts.vitals.id()))
    }

    /// Whether the store has to be asked for its key before it can start.
    pub(crate) fn is_unread(&mut self) -> bool {
        self.parts.get_mut().as_ref().is_some_and(|parts| matches!(parts.remembered, Remembered::Unread))
    }

    /// The store was asked.
    #[cfg(feature = "store")]
    pub(crate) fn remember(&mut self, remembered: Remembered) {
        if let Some(parts) = self.parts.get_mut() {
            parts.remembered = remembered;
        }
    }

    /// For the host that runs it.
    pub(crate) fn take(mut self) -> Option<Parts<A>> {
        self.parts.get_mut().take()
    }

    /// It was never entered into the directory: nothing to undo, nobody to tell.
    pub(crate) fn forget(mut self) {
        drop(self.parts.get_mut().take());
    }

    /// It cannot be run: undoes it.
    pub(crate) fn fail(mut self, why: Unserved) {
        if let Some(parts) = self.parts.get_mut().take() {
            self.hub.undo(parts, why);
        }
    }
}

impl<A: Session> Drop for Start<A> {
    fn drop(&mut self) {
        if let Some(parts) = self.parts.get_mut().take() {
            // The host is gone, with its queue; the hub finds another or gives up.
            Hub::dispatch(&self.hub, Box::new(Self::new(Arc::clone(&self.hub), parts)));
        }
    }
}

impl<A: Session> Parts<A> {
    /// Drops what was accepted for a session that never was, and tells whoever waits for it.
    /// The slot is the caller's to free, last of all.
    pub(crate) fn discard(self, why: Unserved) -> Option<Permit<A>> {
        let Self { vitals: _, mailbox, make, leftovers, permit, remembered: _ } = self;
        let mut mail = leftovers;
        mail.extend(collect(|| drop(mailbox)));
        because(why, || {
            for parcel in mail {
                let _ = drop_quietly(parcel);
            }
            let _ = drop_quietly(make);
        });
        permit
    }
}
