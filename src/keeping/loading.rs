//! A start whose key may be in the store: it is asked first, then the start goes to its host.

use std::{
    collections::VecDeque,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};

use super::{Figures, Keeper, Memory, Remembered, Snapshot};
use crate::{
    clock::Clock,
    error::Unserved,
    event::{EndReason, Ended, SessionId, StoreTask},
    key::SessionKey,
    moment::Moment,
    policy::Mode,
    registry::hub::Hub,
    session::{Session, panics::quietly},
    start::Start,
    store::{Change, Record, StoreError},
};

/// A start that waits for the store; whoever comes first takes it.
type Slot<A> = Mutex<Option<Box<Start<A>>>>;

/// The starts that wait, in the order in which they give up.
pub(super) struct Loads<A: Session> {
    waiting: Mutex<VecDeque<(Instant, Weak<Slot<A>>)>>,
    /// Tells whoever watches their time that there is a first one.
    pub(super) begin: Arc<Notify>,
}

impl<A: Session> Default for Loads<A> {
    fn default() -> Self {
        Self { waiting: Mutex::default(), begin: Arc::default() }
    }
}

impl<A: Session> Loads<A> {
    fn add(&self, until: Instant, slot: &Arc<Slot<A>>) {
        let mut waiting = self.waiting.lock();
        while waiting.front().is_some_and(|(_, slot)| slot.strong_count() == 0) {
            waiting.pop_front();
        }
        waiting.push_back((until, Arc::downgrade(slot)));
        if waiting.len() == 1 {
            self.begin.notify_one();
        }
    }

    /// When the first gives up.
    pub(super) fn next(&self) -> Option<Instant> {
        self.waiting.lock().front().map(|(until, _)| *until)
    }

    /// Those whose time is over.
    pub(super) fn overdue(&self, now: Instant) -> Vec<Start<A>> {
        let mut waiting = self.waiting.lock();
        let over = waiting.iter().take_while(|(until, _)| *until <= now).count();
        let over: Vec<_> = waiting.drain(..over).collect();
        drop(waiting);
        over.into_iter().filter_map(|(_, slot)| Some(*slot.upgrade()?.lock().take()?)).collect()
    }
}

impl<A: Session> Keeper<A> {
    /// Asks the store for the start's key, then sends it to its host, or tells whoever waits why not.
    pub(crate) fn load(&self, hub: &Arc<Hub<A>>, mut start: Box<Start<A>>) {
        let Some(key) = start.key().cloned() else { return };
        let slot: Arc<Slot<A>> = Arc::new(Mutex::new(Some(start)));
        self.loads.add(Instant::now() + self.timeout(), &slot);
        let hub = Arc::clone(hub);
        self.desk.read(move |asked| {
            // It has given up: those who still wait come first.
            if slot.lock().is_none() {
                return;
            }
            let loaded = asked.load(&key);
            // Not in the condition: its lock would be held for all of what follows.
            let start = slot.lock().take();
            if let Some(start) = start {
                hub.loaded(start, &key, loaded);
            }
        });
    }

    /// Gives up on starts that have waited too long.
    pub(super) fn give_up(&self, hub: &Hub<A>, now: Instant) {
        for mut start in self.loads.overdue(now) {
            let error = format!("it has not answered for {}", humantime::format_duration(self.timeout()));
            if let Some((key, id)) = start.identity() {
                hub.store_failed(&key, id, StoreTask::Load, &error);
            }
            start.fail(Unserved::NotRestored { error });
        }
    }
}

impl<A: Session> Hub<A> {
    fn loaded(
        self: &Arc<Self>,
        mut start: Box<Start<A>>,
        key: &SessionKey,
        loaded: Result<Option<Record>, StoreError>,
    ) {
        let record = match loaded {
            Ok(Some(record)) => record,
            Ok(None) => {
                start.remember(Remembered::Nothing);
                return Self::dispatch(self, start);
            }
            Err(error) => {
                if let Some((key, id)) = start.identity() {
                    self.load_failed(&key, id, &error);
                }
                return start.fail(Unserved::NotRestored { error: error.to_string() });
            }
        };
        let now = self.clock.now();
        let session = record.session;
        let memory = memory(&self.clock, now, record);
        let Some(ended) = self.ended_meanwhile(key, &memory.figures, now) else {
            start.remember(Remembered::Something(Box::new(memory)));
            return Self::dispatch(self, start);
        };
        // Its time came while it was in the store, and nobody has noticed yet: it ends, and a new one begins.
        self.remove_ended(key, session, ended, move |hub, outcome| match outcome {
            Ok(_) => {
                start.remember(Remembered::Nothing);
                Self::dispatch(hub, start);
            }
            Err(error) => start.fail(Unserved::NotRestored { error }),
        });
    }

    /// Tells that a session's time came while it was in the store, once its record is removed.
    pub(super) fn remove_ended(
        self: &Arc<Self>,
        key: &SessionKey,
        session: SessionId,
        ended: Ended,
        then: impl FnOnce(&Arc<Self>, Result<Ended, String>) + Send + 'static,
    ) {
        let Some(keeper) = &self.keeper else { return };
        let (hub, key) = (Arc::clone(self), key.clone());
        keeper.desk.write(Change::Remove { key: key.clone(), session }, move |outcome| {
            let outcome = match outcome {
                Ok(()) => {
                    // A subscriber that panics must not keep the end from being published.
                    let _ = quietly(|| {
                        tracing::debug!(%key, id = %session, reason = %ended.reason, "session ended in the store");
                    });
                    hub.journal.ended_in_store(hub.clock.now(), &key, session, ended.clone());
                    Ok(ended)
                }
                Err(error) => {
                    let error = error.to_string();
                    hub.store_failed(&key, session, StoreTask::Remove, &error);
                    Err(error)
                }
            };
            then(&hub, outcome);
        });
    }

    /// As what a session has ended that is in the store, if it has.
    pub(super) fn ended_meanwhile(&self, key: &SessionKey, figures: &Figures, now: Moment) -> Option<Ended> {
        let limits = self.limits_in_store(key, figures);
        let (_, reason) = figures.end(&limits).filter(|(at, _)| *at <= now && self.mode() == Mode::Enforce)?;
        Some(ended(figures, reason, now))
    }

    /// Says that a record could not be had. One that cannot be read goes out of the way.
    pub(super) fn load_failed(&self, key: &SessionKey, id: SessionId, error: &StoreError) {
        if let (StoreError::Undecodable { why, .. }, Some(keeper)) = (error, &self.keeper) {
            keeper.set_aside(key, why.clone());
        }
        self.store_failed(key, id, StoreTask::Load, &error.to_string());
    }
}

/// A session that ended in the store.
pub(super) fn ended(figures: &Figures, reason: EndReason, now: Moment) -> Ended {
    Ended {
        reason,
        age: now.saturating_since(figures.opened),
        idle: now.saturating_since(figures.last_activity),
        handled: figures.handled,
        cut: 0,
        handed_over: 0,
        dropped: 0,
        panic: None,
    }
}

/// A record as a memory. What lies in the future (the system clock was set back) is now.
pub(super) fn memory(clock: &Clock, now: Moment, record: Record) -> Memory {
    let moment = |at| clock.of_wall(at).min(now);
    let opened = moment(record.opened_at);
    Memory {
        session: record.session,
        figures: Figures {
            opened,
            last_activity: moment(record.last_activity).max(opened),
            extended: record.extended_until.map(|until| clock.of_wall(until)),
            handled: record.handled,
            limits: record.limits,
        },
        snapshot: Snapshot(record.state),
    }
}
