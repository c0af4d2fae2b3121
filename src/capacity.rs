//! How many keys may have a session, and who waits for a slot.
//!
//! The lock here is a leaf: it is taken under an entry lock (to take a slot) and takes nothing.

use std::{collections::VecDeque, fmt, mem, sync::Arc};

use parking_lot::Mutex;

use crate::{registry::hub::Hub, session::Session, start::Start};

/// Why no slot was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// As many as `limit` are taken. `over`: even more are, since the limit was lowered; one that is
    /// freed then makes no room.
    AtLimit { limit: usize, over: bool },
    /// The registry is shutting down.
    Closed,
}

/// One key's slot. A successor inherits its predecessor's; dropping it frees it.
#[must_use = "a slot that is dropped is free again"]
pub(crate) struct Permit<A: Session> {
    /// `None` once it was passed to a session.
    hub: Option<Arc<Hub<A>>>,
}

impl<A: Session> Permit<A> {
    pub(crate) fn new(hub: Arc<Hub<A>>) -> Self {
        Self { hub: Some(hub) }
    }

    /// A session runs with it, which makes another of it at its end, however it ends.
    pub(crate) fn pass_to_session(mut self) {
        self.hub = None;
    }
}

impl<A: Session> Drop for Permit<A> {
    fn drop(&mut self) {
        if let Some(hub) = self.hub.take() {
            hub.free_slot();
        }
    }
}

impl<A: Session> fmt::Debug for Permit<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Permit")
    }
}

/// What to do after a slot was freed.
pub(crate) enum Freed<A: Session> {
    /// It passes to a newcomer that waited for it.
    PassedTo(Box<Start<A>>),
    /// It is free; `last` of all, and no more will be given.
    Free { last: bool },
}

/// How a newcomer was taken.
pub(crate) enum Queued<A: Session> {
    /// It gets the next slot that is freed.
    Waits,
    /// There was one after all; the caller makes the permit for it.
    Granted(Box<Start<A>>),
    /// The registry is shut down, or the cap was lowered meanwhile: no end will make room for it.
    NoRoom(Box<Start<A>>),
}

/// Sessions that wait for a slot, in order.
pub(crate) type Newcomers<A> = VecDeque<Box<Start<A>>>;

pub(crate) struct Capacity<A: Session> {
    state: Mutex<State<A>>,
}

struct State<A: Session> {
    used: usize,
    limit: Option<usize>,
    closed: bool,
    /// Newcomers for whom somebody is being evicted, in order.
    newcomers: Newcomers<A>,
    /// Sessions that were asked to go for a newcomer and have not gone yet.
    promised: usize,
    /// Pieces of work that outlived their sessions.
    detached: usize,
}

impl<A: Session> State<A> {
    fn is_done(&self) -> bool {
        self.closed && self.used == 0 && self.detached == 0
    }
}

impl<A: Session> Capacity<A> {
    pub(crate) fn new(limit: Option<usize>) -> Self {
        let newcomers = VecDeque::new();
        Self { state: Mutex::new(State { used: 0, limit, closed: false, newcomers, promised: 0, detached: 0 }) }
    }

    /// Takes a slot if one is free. On `Ok` the caller owns one and makes the permit for it.
    pub(crate) fn take(&self) -> Result<(), Full> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(Full::Closed);
        }
        match state.limit {
            Some(limit) if state.used >= limit => Err(Full::AtLimit { limit, over: state.used > limit }),
            _ => {
                state.used += 1;
                Ok(())
            }
        }
    }

    /// Lets a newcomer wait for the slot of somebody who is asked to go for it.
    pub(crate) fn wait(&self, start: Box<Start<A>>) -> Queued<A> {
        let mut state = self.state.lock();
        let over = state.limit.is_some_and(|limit| state.used > limit);
        if over || (state.closed && state.used == 0) {
            return Queued::NoRoom(start);
        }
        if state.limit.is_none_or(|limit| state.used < limit) {
            state.used += 1;
            return Queued::Granted(start);
        }
        state.newcomers.push_back(start);
        Queued::Waits
    }

    /// Somebody is about to be asked to go.
    pub(crate) fn promise(&self) {
        self.state.lock().promised += 1;
    }

    /// Nobody was, or it need not, or it has gone.
    pub(crate) fn take_back(&self) {
        let mut state = self.state.lock();
        state.promised = state.promised.saturating_sub(1);
    }

    /// Whether more newcomers wait than sessions are going for them.
    pub(crate) fn is_short(&self) -> bool {
        let state = self.state.lock();
        state.newcomers.len() > state.promised
    }

    /// Work goes on without a session; a shutdown waits for it.
    pub(crate) fn detach(&self) {
        self.state.lock().detached += 1;
    }

    /// It has ended. True if it was the last thing that a shutdown waits for.
    pub(crate) fn end_detached(&self) -> bool {
        let mut state = self.state.lock();
        state.detached = state.detached.saturating_sub(1);
        state.is_done()
    }

    /// One slot less is in use.
    pub(crate) fn free(&self) -> Freed<A> {
        let mut state = self.state.lock();
        let fits = state.limit.is_none_or(|limit| state.used <= limit);
        if fits && let Some(newcomer) = state.newcomers.pop_front() {
            return Freed::PassedTo(newcomer);
        }
        state.used = state.used.saturating_sub(1);
        Freed::Free { last: state.is_done() }
    }

    /// The newcomer that came last, because there is no slot for it after all.
    pub(crate) fn turn_away(&self) -> Option<Box<Start<A>>> {
        self.state.lock().newcomers.pop_back()
    }

    /// Changes the limit. Newcomers who have a slot by the new one are returned first, then those
    /// for whom it has no room. Nobody who has a slot loses it.
    pub(crate) fn set_limit(&self, limit: Option<usize>) -> (Newcomers<A>, Newcomers<A>) {
        let mut state = self.state.lock();
        state.limit = limit;
        let room = limit.map_or(usize::MAX, |limit| limit.saturating_sub(state.used));
        let admitted = room.min(state.newcomers.len());
        let admitted: Newcomers<A> = state.newcomers.drain(..admitted).collect();
        state.used += admitted.len();
        let over = limit.is_some_and(|limit| state.used > limit);
        let refused = if over { mem::take(&mut state.newcomers) } else { Newcomers::new() };
        (admitted, refused)
    }

    /// Gives no more slots. True if there is nothing left to wait for.
    pub(crate) fn close(&self) -> bool {
        let mut state = self.state.lock();
        state.closed = true;
        state.is_done()
    }

    /// Whether it still gives slots.
    pub(crate) fn is_open(&self) -> Result<(), Full> {
        if self.state.lock().closed { Err(Full::Closed) } else { Ok(()) }
    }

    /// Slots in use, and newcomers that wait for one.
    pub(crate) fn used(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.used, state.newcomers.len())
    }
}

impl<A: Session> fmt::Debug for Capacity<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        f.debug_struct("Capacity")
            .field("used", &state.used)
            .field("limit", &state.limit)
            .field("newcomers", &state.newcomers.len())
            .finish()
    }
}
