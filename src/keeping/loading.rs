//! A start whose key may be in the store: it is asked first, then the start goes to its host.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::{Figures, Keeper, Memory, Remembered, Snapshot, waits::Waiting};
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
struct Loading<A: Session>(Mutex<Option<Box<Start<A>>>>);

impl<A: Session> Loading<A> {
    fn is_over(&self) -> bool {
        self.0.lock().is_none()
    }

    fn take(&self) -> Option<Box<Start<A>>> {
        self.0.lock().take()
    }
}

impl<A: Session> Waiting<A> for Loading<A> {
    fn give_up(&self, hub: &Arc<Hub<A>>) -> bool {
        if let Some(start) = self.take() {
            hub.not_restored(*start);
        }
        false
    }
}

impl<A: Session> Keeper<A> {
    /// Asks the store for the start's key, then sends it to its host, or tells whoever waits why not.
    pub(crate) fn load(&self, hub: &Arc<Hub<A>>, mut start: Box<Start<A>>) {
        let Some(key) = start.key().cloned() else { return };
        let loading = Arc::new(Loading(Mutex::new(Some(start))));
        self.wait(&loading);
        let hub = Arc::clone(hub);
        self.desk.read(move |asked| {
            // It has given up: those who still wait come first.
            if !loading.is_over() {
                let loaded = asked.load(&key);
                hub.loaded(loading, &key, loaded);
            }
        });
    }

    /// Watches its time.
    pub(crate) fn wait(&self, waiting: &Arc<impl Waiting<A> + 'static>) {
        let waiting: Weak<_> = Arc::downgrade(waiting);
        self.waits.add(Instant::now() + self.timeout(), waiting);
    }

    /// Gives up on what has waited too long.
    pub(super) fn give_up(&self, hub: &Arc<Hub<A>>, now: Instant) {
        for waiting in self.waits.overdue(now) {
            if waiting.give_up(hub) {
                self.waits.add(now + self.timeout(), Arc::downgrade(&waiting));
            }
        }
    }
}

impl<A: Session> Hub<A> {
    fn loaded(
        self: &Arc<Self>,
        loading: Arc<Loading<A>>,
        key: &SessionKey,
        loaded: Result<Option<Record>, StoreError>,
    ) {
        let record = match loaded {
            Ok(Some(record)) => record,
            Ok(None) => return self.remembered(&loading, Remembered::Nothing),
            Err(error) => {
                let Some(mut start) = loading.take() else { return };
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
            return self.remembered(&loading, Remembered::Something(Box::new(memory)));
        };
        // Its time came while it was in the store, and nobody has noticed yet: it ends, and a new one begins.
        self.remove_ended(key, session, ended, move |hub, outcome| match outcome {
            Ok(_) => hub.remembered(&loading, Remembered::Nothing),
            Err(error) => {
                if let Some(start) = loading.take() {
                    start.fail(Unserved::NotRestored { error });
                }
            }
        });
    }

    /// The store has answered: if it still waits for that, it goes to its host.
    fn remembered(self: &Arc<Self>, loading: &Loading<A>, remembered: Remembered) {
        if let Some(mut start) = loading.take() {
            start.remember(remembered);
            Self::dispatch(self, start);
        }
    }

    /// A start that has waited too long.
    pub(super) fn not_restored(&self, mut start: Start<A>) {
        let Some(keeper) = &self.keeper else { return };
        let error = format!("it has not answered for {}", humantime::format_duration(keeper.timeout()));
        if let Some((key, id)) = start.identity() {
            self.store_failed(&key, id, StoreTask::Load, &error);
        }
        start.fail(Unserved::NotRestored { error });
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
        late: None,
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
