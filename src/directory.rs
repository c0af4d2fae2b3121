//! The directory: which incarnation a key leads to. Read and written by every thread.
//!
//! Ground rules. One entry per key, in one of three states; every change of state is made under
//! the lock of that entry, and *only* that is done under it: insert, remove, replace, queue a
//! message, take a slot. No factory, no hook, no `Drop` of a user's value, no event, no second
//! entry: what must be dropped is returned and dropped by the caller afterwards. The capacity's
//! counter is the one lock that is taken inside; the journal's never is.
//!
//! ```text
//!            ┌────────────── undone (could not start) ─────────────┐
//!            │                                                     ▼
//! absent ─► Open ──(leaves)─► Ending ──(opened again)─► Waiting   absent
//!            ▲                  │                          │
//!            │                  └──(released)─► absent     │
//!            └────────────────(released: it starts)────────┘
//! ```

use std::{
    mem,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use actix::dev::channel::AddressSender;
use dashmap::{DashMap, Entry as Slot};

use crate::{
    capacity::{Full, Permit},
    key::SessionKey,
    session::{Session, vitals::Vitals},
    start::Start,
};

/// The way to one incarnation. Its sender queues at the call or gives the message back.
pub(crate) struct Route<A: Session> {
    pub(crate) sender: AddressSender<A>,
    pub(crate) vitals: Arc<Vitals>,
}

enum Entry<A: Session> {
    /// Starting or active: what `open`, `get` and `send` lead to. Leaves to `Ending`, or is undone.
    Open(Route<A>),
    /// `Ending`, without a successor: out of the directory for every reader, kept because its
    /// predecessor is not done: it still holds the key's slot, and its end is not published. Leaves
    /// to absent or `Waiting`.
    ///
    /// `Waiting`, with one, whose mail is buffered. Leaves to `Open`. Boxed, and no variant of its
    /// own, because it is rare and every key pays for the size of an entry.
    Ending(Option<Box<Successor<A>>>),
}

/// Waits for its predecessor's end.
struct Successor<A: Session> {
    route: Route<A>,
    start: Box<Start<A>>,
}

impl<A: Session> Entry<A> {
    fn waiting(route: Route<A>, start: Box<Start<A>>) -> Self {
        Self::Ending(Some(Box::new(Successor { route, start })))
    }

    /// What the key leads to.
    fn route(&self) -> Option<&Route<A>> {
        match self {
            Self::Open(route) => Some(route),
            Self::Ending(successor) => successor.as_ref().map(|successor| &successor.route),
        }
    }
}

/// What became of an attempt to open a key.
pub(crate) enum Opened<A: Session, T> {
    /// It was live or waiting already; the unused start is given back.
    Live(T, Box<Start<A>>),
    /// Entered; the start has to be dispatched.
    Starts(T, Box<Start<A>>),
    /// Entered behind an incarnation that is ending, which will release it.
    Waits(T),
    /// No slot is free; nothing was entered.
    Full(Full, Route<A>, Box<Start<A>>),
}

/// What the end of an incarnation released.
pub(crate) enum Released<A: Session> {
    /// The key is gone.
    Nothing,
    /// Its successor may start.
    Successor(Box<Start<A>>),
}

pub(crate) struct Directory<A: Session> {
    // Keys come from outside; this hash is keyed at random, so that nobody can choose keys that collide.
    entries: DashMap<SessionKey, Entry<A>, ahash::RandomState>,
    waiting: AtomicUsize,
}

impl<A: Session> Directory<A> {
    pub(crate) fn new() -> Self {
        Self { entries: DashMap::default(), waiting: AtomicUsize::new(0) }
    }

    /// Uses the route of a key, if it has one, to look at it. Shared with other readers.
    pub(crate) fn with<T>(&self, key: &str, use_route: impl FnOnce(&Route<A>) -> T) -> Option<T> {
        self.entries.get(key)?.route().map(use_route)
    }

    /// Uses the route of a key, if it has one, to queue something: alone, because the mailbox's bound
    /// is checked and taken in two steps.
    pub(crate) fn with_alone<T>(&self, key: &str, use_route: impl FnOnce(&Route<A>) -> T) -> Option<T> {
        self.entries.get_mut(key)?.route().map(use_route)
    }

    /// Opens a key by `route` unless it has a route already; `use_route` gets the one that counts.
    /// `may_open` is asked where no slot has to be taken.
    pub(crate) fn open<T>(
        &self,
        key: SessionKey,
        route: Route<A>,
        mut start: Box<Start<A>>,
        use_route: impl FnOnce(&Route<A>) -> T,
        may_open: impl FnOnce() -> bool,
        take_slot: impl FnOnce() -> Result<Option<Permit<A>>, Full>,
    ) -> Opened<A, T> {
        match self.entries.entry(key) {
            Slot::Occupied(mut slot) => {
                if let Some(live) = slot.get().route() {
                    let used = use_route(live);
                    drop(slot);
                    drop(route);
                    return Opened::Live(used, start);
                }
                if !may_open() {
                    return Opened::Full(Full::Closed, route, start);
                }
                let used = use_route(&route);
                *slot.get_mut() = Entry::waiting(route, start);
                self.waiting.fetch_add(1, Ordering::Relaxed);
                Opened::Waits(used)
            }
            Slot::Vacant(slot) => match take_slot() {
                Ok(permit) => {
                    let used = use_route(&route);
                    slot.insert(Entry::Open(route));
                    if let Some(permit) = permit {
                        start.grant(permit);
                    }
                    Opened::Starts(used, start)
                }
                Err(full) => Opened::Full(full, route, start),
            },
        }
    }

    /// Takes an incarnation out, if `quiet` says so under the lock. Its route is returned, to be
    /// dropped outside of it. Only ever removes the incarnation it is asked to.
    pub(crate) fn leave_if(&self, vitals: &Arc<Vitals>, quiet: impl FnOnce() -> bool) -> Option<Route<A>> {
        let mut entry = self.entries.get_mut(vitals.key().as_str())?;
        match &*entry {
            Entry::Open(route) if Arc::ptr_eq(&route.vitals, vitals) && quiet() => {}
            _ => return None,
        }
        match mem::replace(&mut *entry, Entry::Ending(None)) {
            Entry::Open(route) => Some(route),
            Entry::Ending(_) => None,
        }
    }

    /// Whether the incarnation that is ending has a successor; `make` may provide one, which then
    /// waits like any other.
    pub(crate) fn succeeded_by(
        &self,
        key: &SessionKey,
        make: impl FnOnce() -> Option<(Route<A>, Box<Start<A>>)>,
    ) -> bool {
        // Made outside of the lock, dropped outside of it if it was not needed.
        let made = make();
        let Some(mut entry) = self.entries.get_mut(key.as_str()) else {
            forget(made);
            return false;
        };
        match (&mut *entry, made) {
            (Entry::Ending(Some(_)), unused) => {
                drop(entry);
                forget(unused);
                true
            }
            (ending @ Entry::Ending(None), Some((route, start))) => {
                *ending = Entry::waiting(route, start);
                self.waiting.fetch_add(1, Ordering::Relaxed);
                true
            }
            (Entry::Ending(None) | Entry::Open(_), unused) => {
                drop(entry);
                forget(unused);
                false
            }
        }
    }

    /// Keeps a key from opening, as behind an incarnation that is ending, until it is released. False if it is in here.
    #[cfg(feature = "store")]
    pub(crate) fn seal(&self, key: &SessionKey) -> bool {
        match self.entries.entry(key.clone()) {
            Slot::Occupied(_) => false,
            Slot::Vacant(slot) => {
                slot.insert(Entry::Ending(None));
                true
            }
        }
    }

    /// Takes out who waits behind a key that is not released yet, and lets nobody through. To be dropped outside of its
    /// lock.
    #[cfg(feature = "store")]
    pub(crate) fn turn_away(&self, key: &SessionKey) -> Option<(Route<A>, Box<Start<A>>)> {
        let mut entry = self.entries.get_mut(key.as_str())?;
        let Entry::Ending(waiting) = &mut *entry else { return None };
        let Successor { route, start } = *waiting.take()?;
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        Some((route, start))
    }

    /// The incarnation that was ending is done: removes the key, or lets the successor through.
    pub(crate) fn release(&self, key: &SessionKey) -> Released<A> {
        let mut successor = None;
        let removed = self.entries.remove_if_mut(key.as_str(), |_, entry| match entry {
            Entry::Open(_) => false,
            Entry::Ending(waiting) => match waiting.take() {
                None => true,
                Some(next) => {
                    let Successor { route, start } = *next;
                    *entry = Entry::Open(route);
                    self.waiting.fetch_sub(1, Ordering::Relaxed);
                    successor = Some(start);
                    false
                }
            },
        });
        drop(removed);
        successor.map_or(Released::Nothing, Released::Successor)
    }

    /// Takes back an incarnation that could not be started. Its route is returned.
    pub(crate) fn undo(&self, vitals: &Arc<Vitals>) -> Option<Route<A>> {
        let removed = self.entries.remove_if(vitals.key().as_str(), |_, entry| match entry {
            Entry::Open(route) => Arc::ptr_eq(&route.vitals, vitals),
            Entry::Ending(_) => false,
        });
        match removed {
            Some((_, Entry::Open(route))) => Some(route),
            _ => None,
        }
    }

    /// Successors that wait behind an incarnation that is ending.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}

/// Drops an incarnation that was made and not entered.
fn forget<A: Session>(unused: Option<(Route<A>, Box<Start<A>>)>) {
    if let Some((route, start)) = unused {
        drop(route);
        start.forget();
    }
}

impl<A: Session> std::fmt::Debug for Directory<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Directory").field("keys", &self.entries.len()).field("waiting", &self.waiting()).finish()
    }
}
