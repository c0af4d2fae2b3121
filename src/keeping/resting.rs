//! What happens to a session while it is in the store: its time comes, or somebody closes it.

use std::{sync::Arc, time::Duration};

use tokio::{sync::oneshot, time::Instant};

use super::{
    Keeper, Memory, keeper,
    loading::{ended, memory},
};
use crate::{
    event::{EndReason, Ended, SessionId, StoreTask},
    key::SessionKey,
    limits::EffectiveLimits,
    registry::{Closing, hub::Hub},
    session::Session,
    store::{Change, Record},
};

/// Between two looks at a key that is on its way from one place to the other.
const ON_ITS_WAY: Duration = Duration::from_millis(1);
/// Between two attempts with a store that fails.
const FAILED: Duration = Duration::from_millis(100);

/// What a look at a session in the store came to.
#[derive(Debug)]
pub(super) enum Looked {
    /// It is in memory, or on its way there or back: not looked at.
    Elsewhere,
    /// There is none, or it goes on.
    Rests,
    Ended(Ended),
    /// The store could not do what it was asked, which was told.
    Failed,
}

impl<A: Session> Hub<A> {
    /// Looks at a session in the store, if it is there: ends it as `reason`, or if its time has come; otherwise notes
    /// when it will. Its key opens for nobody meanwhile: who comes waits, as behind any end.
    pub(super) fn look(
        self: &Arc<Self>,
        key: &SessionKey,
        reason: Option<EndReason>,
        done: impl FnOnce(Looked) + Send + 'static,
    ) {
        let Some(keeper) = &self.keeper else { return };
        if !self.directory.seal(key) {
            return done(Looked::Elsewhere);
        }
        let sealed = Sealed { hub: Some(Arc::clone(self)), key: key.clone() };
        keeper.desk.read(move |asked| {
            let Some(hub) = sealed.hub.clone() else { return };
            let key = sealed.key.clone();
            let record = match asked.load(&key) {
                Ok(Some(record)) => record,
                Ok(None) => {
                    drop(sealed);
                    return done(Looked::Rests);
                }
                Err(error) => {
                    // Whose it was is not known.
                    hub.load_failed(&key, SessionId::new(0), &error);
                    drop(sealed);
                    return done(Looked::Failed);
                }
            };
            let now = hub.clock.now();
            let (session, indexed) = (record.session, record.ends_at);
            let memory = memory(&hub.clock, now, record);
            let over = match reason {
                Some(reason) => Some(ended(&memory.figures, reason, now)),
                None => hub.ended_meanwhile(&key, &memory.figures, now),
            };
            if let Some(ended) = over {
                return hub.remove_ended(&key, session, ended, move |_, outcome| {
                    drop(sealed);
                    done(outcome.map_or(Looked::Failed, Looked::Ended));
                });
            }
            let record = hub.with_its_deadline(&key, memory);
            let Some(keeper) = hub.keeper.as_ref().filter(|_| record.ends_at != indexed) else {
                drop(sealed);
                return done(Looked::Rests);
            };
            let whose = Arc::clone(&hub);
            keeper.desk.write(Change::Put { key: key.clone(), record }, move |outcome| {
                let looked = match outcome {
                    Ok(()) => Looked::Rests,
                    Err(error) => {
                        whose.store_failed(&key, session, StoreTask::Save, &error.to_string());
                        Looked::Failed
                    }
                };
                drop(sealed);
                done(looked);
            });
        });
    }

    /// A record by limits that may be others than those it was saved with.
    fn with_its_deadline(&self, key: &SessionKey, memory: Memory) -> Record {
        let Memory { session, figures, snapshot } = memory;
        let ends_at = figures.end(&self.limits_in_store(key, &figures)).map(|(at, _)| at);
        keeper::record(&self.clock, session, snapshot.0, &figures, ends_at)
    }

    /// Whether a record has the deadline that it has to have.
    pub(super) fn has_its_deadline(&self, key: &SessionKey, record: Record) -> bool {
        let indexed = record.ends_at;
        self.with_its_deadline(key, memory(&self.clock, self.clock.now(), record)).ends_at == indexed
    }

    /// The limits of a session in the store.
    pub(super) fn limits_in_store(&self, key: &SessionKey, figures: &super::Figures) -> EffectiveLimits {
        let ruling = self.ruling(key);
        figures.limits.as_ref().map_or(ruling.limits, |own| own.over(&ruling.limits))
    }
}

/// A key that opens for nobody; dropping it lets through who has come meanwhile.
struct Sealed<A: Session> {
    hub: Option<Arc<Hub<A>>>,
    key: SessionKey,
}

impl<A: Session> Drop for Sealed<A> {
    fn drop(&mut self) {
        if let Some(hub) = self.hub.take() {
            hub.unseal(&self.key);
        }
    }
}

impl<A: Session> Keeper<A> {
    /// Ends the session of a key, wherever it is.
    pub(crate) fn close(&self, hub: &Arc<Hub<A>>, key: SessionKey) -> Closing {
        let (tell, told) = oneshot::channel();
        let mut first = Some(Step::begin(hub, &key));
        let this = Arc::clone(hub);
        let gives_up = Instant::now() + self.timeout();
        let close = async move {
            loop {
                let step = first.take().unwrap_or_else(|| Step::begin(&this, &key));
                match step {
                    // An error: it has left memory meanwhile, for the store.
                    Step::InMemory(ended) => {
                        if let Ok(ended) = ended.await {
                            return drop(tell.send(ended));
                        }
                    }
                    Step::InStore(looked) => match looked.await {
                        Ok(Looked::Ended(ended)) => return drop(tell.send(ended)),
                        Ok(Looked::Elsewhere) => tokio::time::sleep(ON_ITS_WAY).await,
                        Ok(Looked::Failed) if Instant::now() < gives_up => tokio::time::sleep(FAILED).await,
                        // Dropping the sender says that there is none to end, or that it cannot be had.
                        Ok(Looked::Rests | Looked::Failed) | Err(_) => return,
                    },
                }
            }
        };
        if hub.home.spawn(close) { Closing::new(Some(told)) } else { Closing::new(None) }
    }
}

/// One attempt to close a session.
enum Step {
    InMemory(oneshot::Receiver<Ended>),
    InStore(oneshot::Receiver<Looked>),
}

impl Step {
    fn begin<A: Session>(hub: &Arc<Hub<A>>, key: &SessionKey) -> Self {
        match hub.close_in_memory(key.as_str()) {
            Some(ended) => Self::InMemory(ended),
            None => {
                let (tell, told) = oneshot::channel();
                hub.look(key, Some(EndReason::Closed), move |looked| drop(tell.send(looked)));
                Self::InStore(told)
            }
        }
    }
}
