//! The one place that numbers and publishes events.
//!
//! # Ground rules
//!
//! * **One step.** Under one lock an event changes the live set, gets its number, is counted and goes into the history
//!   ([`Journal::transition`], the only writer). So at any moment a snapshot of the live set plus the
//!   events after it *is* the live set, and statistics cannot disagree with events.
//! * **The lock is a leaf.** It is taken inside no other lock but the eviction heap's, which asks for the live
//!   sessions when it is built, and under it no other is taken and no foreign code runs.
//!   Waking a task, telling a waiter, dropping an event, a session's vitals or a waker may each run somebody's `Drop`,
//!   which may come back here: all of that is moved out of the lock first. `tests::foreign_code_runs_outside_the_lock`
//!   holds us to it.
//! * **What happened is seen before anyone is told.** First the event is in the history, then watchers are woken, then
//!   those who wait for a session's end hear of it: who was told finds the event already published.
//! * **An end absorbs.** Whatever is reported of a session before `Opened` or after `Ended` is not published, a second
//!   `Ended` neither.
//!
//! The journal knows sessions by their vitals only: no actix, no registry. A [`Watch`](crate::watch::Watch) keeps it alive; it keeps nothing
//! alive but the vitals of the sessions that are live.

#[cfg(test)]
pub(crate) mod fixture;
mod history;
mod live;
mod readers;
mod reading;
#[cfg(test)]
mod tests;
mod waiters;

use std::{sync::Arc, task::Waker, time::Duration};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use self::{history::History, live::LiveSet, readers::Readers, waiters::Waiters};
pub(crate) use self::{
    readers::ReaderId,
    reading::{Detail, Read},
};
use crate::{
    clock::Clock,
    event::{Ended, EventId, EventKind, SessionEvent, SessionId},
    key::SessionKey,
    limits::EffectiveLimits,
    moment::Moment,
    rules::AppliedRule,
    session::{
        panics::quietly,
        vitals::{VitalPhase, Vitals},
    },
    stats::{Capacity, Counters, Stats, Totals},
};

/// Those who wait for a session's end, told when this is dropped: after the watchers, and after whatever else the
/// publisher has to set right first.
#[must_use = "waiters are told when it is dropped"]
pub(crate) struct Told {
    event: Arc<SessionEvent>,
    waiters: Vec<oneshot::Sender<Ended>>,
}

impl Drop for Told {
    fn drop(&mut self) {
        for waiter in self.waiters.drain(..) {
            // Its waker is foreign code.
            let _ = quietly(|| match &self.event.kind {
                // A waiter that has gone away is no concern of the session.
                EventKind::Ended(ended) => drop(waiter.send(ended.clone())),
                // Dropping the sender is the error that the receiver gets.
                _ => drop(waiter),
            });
        }
    }
}

/// What tells an incarnation from every other that there is.
fn address(vitals: &Arc<Vitals>) -> usize {
    Arc::as_ptr(vitals) as usize
}

/// Wakes watchers. One whose waker panics keeps neither the others from their news nor a session from its end.
fn wake(wakers: Vec<Waker>) {
    for waker in wakers {
        let _ = quietly(|| waker.wake());
    }
}

/// Numbers and publishes what happens to the sessions of one registry. See the module for the rules.
pub(crate) struct Journal {
    clock: Arc<Clock>,
    epoch: u64,
    state: Mutex<State>,
}

struct State {
    live: LiveSet,
    history: History,
    totals: Totals,
    /// When the last event was published: events are numbered in the order of the lock, which need not be the order in
    /// which their publishers read the clock.
    latest: Moment,
    waiters: Waiters,
    readers: Readers,
    closed: bool,
}

impl Journal {
    /// An empty journal that remembers the last `history` events for watchers that are behind.
    ///
    /// The epoch of its events is the clock's.
    pub(crate) fn new(clock: Arc<Clock>, history: usize) -> Arc<Self> {
        Arc::new(Self {
            epoch: clock.epoch(),
            state: Mutex::new(State {
                live: LiveSet::default(),
                history: History::new(history),
                totals: Totals::default(),
                latest: clock.now(),
                waiters: Waiters::default(),
                readers: Readers::default(),
                closed: false,
            }),
            clock,
        })
    }

    /// The present, on the clock of its events.
    pub(crate) fn now(&self) -> Moment {
        self.clock.now()
    }

    /// The session is live from here on, which was found at `now`: it is in the live set, and its phase is `Active`.
    ///
    /// Its key must not be live already; its predecessor's `Ended` comes first.
    pub(crate) fn opened(&self, now: Moment, vitals: &Arc<Vitals>, limits: EffectiveLimits, rule: AppliedRule) {
        let kind = EventKind::Opened { limits, rule };
        let published = self.transition(now, vitals.key(), vitals.id(), Some(vitals), kind);
        debug_assert!(published.is_some(), "{} was opened while its key was live, or after it had ended", vitals.key());
    }

    /// As [`opened`](Self::opened), of a session that comes back from the store.
    pub(crate) fn restored(
        &self,
        now: Moment,
        vitals: &Arc<Vitals>,
        limits: EffectiveLimits,
        rule: AppliedRule,
        idle: Duration,
    ) {
        let age = now.saturating_since(vitals.opened());
        let kind = EventKind::Restored { limits, rule, age, idle };
        let published = self.transition(now, vitals.key(), vitals.id(), Some(vitals), kind);
        debug_assert!(published.is_some(), "{} was restored while its key was live", vitals.key());
    }

    /// As [`ended`](Self::ended), of a session that goes on in the store. Who waits for its end gets an error, and has
    /// to look for it there.
    pub(crate) fn passivated(&self, now: Moment, vitals: &Arc<Vitals>, ended: &Ended) -> Option<Told> {
        let kind = EventKind::Passivated {
            age: ended.age,
            idle: ended.idle,
            cut: ended.cut,
            handed_over: ended.handed_over,
            dropped: ended.dropped,
        };
        self.transition(now, vitals.key(), vitals.id(), Some(vitals), kind)
    }

    /// A session has ended in the store. Its key is kept from opening again meanwhile.
    #[cfg(feature = "store")]
    pub(crate) fn ended_in_store(&self, now: Moment, key: &SessionKey, id: SessionId, ended: Ended) {
        drop(self.transition(now, key, id, None, EventKind::Ended(ended)));
    }

    /// The session is live no more: it is out of the live set, its phase is `Ended`, and those who wait for it are
    /// told.
    ///
    /// Does nothing for a session that is not live, so that a guard may call it whether or not it has been called.
    pub(crate) fn ended(&self, now: Moment, vitals: &Arc<Vitals>, ended: Ended) -> Option<Told> {
        self.transition(now, vitals.key(), vitals.id(), Some(vitals), EventKind::Ended(ended))
    }

    /// The session never came to be: its phase is `Ended`, and those who wait for it get an error.
    pub(crate) fn start_failed(&self, vitals: &Arc<Vitals>, error: String) -> Option<Told> {
        self.transition(self.clock.now(), vitals.key(), vitals.id(), Some(vitals), EventKind::StartFailed { error })
    }

    /// Publishes any other event but `StartFailed`. `Draining` also sets the session's phase.
    ///
    pub(crate) fn publish(&self, now: Moment, key: &SessionKey, id: SessionId, kind: EventKind) {
        debug_assert!(
            !matches!(
                kind,
                EventKind::Opened { .. }
                    | EventKind::Restored { .. }
                    | EventKind::Passivated { .. }
                    | EventKind::Ended(_)
            ),
            "these have methods of their own"
        );
        drop(self.transition(now, key, id, None, kind));
    }

    /// The only writer of the live set, the totals and the history, and of the phases with them (a session's task may
    /// say `Draining` earlier). Answers with those who
    /// wait for it, if there was anything to publish.
    fn transition(
        &self,
        now: Moment,
        key: &SessionKey,
        session: SessionId,
        vitals: Option<&Arc<Vitals>>,
        kind: EventKind,
    ) -> Option<Told> {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let mut removed = None;
        let applies = match (&kind, vitals) {
            (EventKind::Opened { .. } | EventKind::Restored { .. }, Some(vitals)) => state.live.insert(vitals),
            (EventKind::Ended(_) | EventKind::Passivated { .. }, Some(vitals)) => {
                removed = state.live.remove(vitals);
                removed.is_some()
            }
            (EventKind::Opened { .. } | EventKind::Restored { .. } | EventKind::Passivated { .. }, None) => false,
            // In the store.
            (EventKind::Ended(_), None) => {
                let applies = !state.live.contains(key, session);
                state.totals.ended_in_store += u64::from(applies);
                applies
            }
            (EventKind::StoreFailed { .. }, _) => true,
            (EventKind::Draining { .. }, _) => state.live.drain(key, session),
            (EventKind::StartFailed { .. }, vitals) => {
                let over = vitals.is_some_and(|vitals| matches!(vitals.phase(), VitalPhase::Ended));
                let applies = !over && !state.live.contains(key, session);
                if let Some(vitals) = vitals.filter(|_| applies) {
                    vitals.set_phase(VitalPhase::Ended);
                }
                applies
            }
            (EventKind::Warned { .. } | EventKind::Extended { .. } | EventKind::WouldEnd { .. }, _) => {
                state.live.contains(key, session)
            }
        };
        if !applies {
            return None;
        }
        let final_word = match kind {
            EventKind::Ended(_) | EventKind::Passivated { .. } | EventKind::StartFailed { .. } => vitals,
            _ => None,
        };
        state.totals.count(&kind);
        state.latest = state.latest.max(now);
        let event = Arc::new(SessionEvent {
            id: EventId::new(self.epoch, state.history.last() + 1),
            at: self.clock.wall(state.latest),
            key: key.clone(),
            session,
            kind,
        });
        let forgotten = state.history.push(Arc::clone(&event));
        let waiters = final_word.map_or_else(Vec::new, |vitals| state.waiters.take(address(vitals)));
        let wakers = state.readers.unpark();
        drop(guard);

        wake(wakers);
        drop((removed, forgotten));
        Some(Told { event, waiters })
    }

    /// Resolves when the session has ended, after its `Ended` was published; with an error, at once, if it has ended
    /// already, and if it never comes to be. May be called before the session is opened.
    pub(crate) fn await_end(&self, vitals: &Arc<Vitals>) -> oneshot::Receiver<Ended> {
        let (sender, receiver) = oneshot::channel();
        let gone = {
            let mut state = self.state.lock();
            // The phase is written under this lock: either it says `Ended` here, or the end finds the waiter.
            if matches!(vitals.phase(), VitalPhase::Ended) {
                vec![sender]
            } else {
                state.waiters.add(address(vitals), sender)
            }
        };
        // Outside of the lock; dropping the sender is the error that the receiver gets.
        drop(gone);
        receiver
    }

    /// The live sessions, in no particular order.
    pub(crate) fn live(&self) -> Vec<Arc<Vitals>> {
        self.state.lock().live.to_vec()
    }

    /// The live session of this key.
    pub(crate) fn find(&self, key: &str) -> Option<Arc<Vitals>> {
        self.state.lock().live.find(key).cloned()
    }

    /// The number of live sessions.
    pub(crate) fn len(&self) -> usize {
        self.state.lock().live.len()
    }

    /// The statistics of this moment, completed by what the registry knows.
    pub(crate) fn stats(&self, capacity: Capacity) -> Stats {
        let counters = {
            let state = self.state.lock();
            Counters {
                live: state.live.len(),
                draining: state.live.draining(),
                watchers: state.readers.len(),
                lagged: state.readers.lagged(),
                totals: state.totals,
            }
        };
        Stats::new(counters, capacity)
    }

    /// No more than what is published already: watches end when they have delivered it.
    ///
    /// For the end of a shutdown. What a session still reports after this is counted, and waiters are told; a watch
    /// that has ended stays so.
    pub(crate) fn close(&self) {
        let wakers = {
            let mut state = self.state.lock();
            state.closed = true;
            state.readers.unpark()
        };
        wake(wakers);
    }
}
