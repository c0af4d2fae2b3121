//! What happens to a session while it is in the store: its time comes, or somebody closes it.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::oneshot,
    time::{Instant, sleep, timeout_at},
};

use super::{
    Keeper, Memory, keeper,
    loading::{ended, memory},
    waits::Waiting,
};
use crate::{
    error::CloseError,
    event::{EndReason, Ended, SessionId, StoreTask},
    key::SessionKey,
    limits::EffectiveLimits,
    registry::{Closing, hub::Hub},
    session::Session,
    store::{Change, Record, StoreError},
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
    /// Its record cannot be read and goes out of the way, which was told.
    Unreadable,
    /// The store could not do what it was asked, which was told.
    Failed(String),
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
        let sealed = Arc::new(Sealed { hub: Arc::clone(self), key: key.clone() });
        keeper.wait(&sealed);
        keeper.desk.read(move |asked| {
            let hub = Arc::clone(&sealed.hub);
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
                    let unreadable = matches!(error, StoreError::Undecodable { .. });
                    return done(if unreadable { Looked::Unreadable } else { Looked::Failed(error.to_string()) });
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
                    done(outcome.map_or_else(Looked::Failed, Looked::Ended));
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
                        let error = error.to_string();
                        whose.store_failed(&key, session, StoreTask::Save, &error);
                        Looked::Failed(error)
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
    hub: Arc<Hub<A>>,
    key: SessionKey,
}

impl<A: Session> Waiting<A> for Sealed<A> {
    /// It stays as it is until the store has answered; who waits there gives up.
    fn give_up(&self, hub: &Arc<Hub<A>>) -> bool {
        if let Some((route, start)) = hub.directory.turn_away(&self.key) {
            hub.not_restored(*start);
            drop(route);
        }
        true
    }
}

impl<A: Session> Drop for Sealed<A> {
    fn drop(&mut self) {
        self.hub.unseal(&self.key);
    }
}

impl<A: Session> Keeper<A> {
    /// Ends the session of a key, wherever it is.
    pub(crate) fn close(&self, hub: &Arc<Hub<A>>, key: SessionKey) -> Closing {
        let (tell, told) = oneshot::channel();
        let mut first = Some(Step::begin(hub, &key));
        let this = Arc::clone(hub);
        let timeout = self.timeout();
        let gives_up = Instant::now() + timeout;
        let close = async move {
            let mut error = format!("it has not answered for {}", humantime::format_duration(timeout));
            let closed = loop {
                let step = first.take().unwrap_or_else(|| Step::begin(&this, &key));
                match step {
                    // An error: it has left memory meanwhile, for the store.
                    Step::InMemory(ended) => {
                        if let Ok(ended) = ended.await {
                            break Ok(ended);
                        }
                    }
                    Step::InStore(looked) => match timeout_at(gives_up, looked).await {
                        Ok(Ok(Looked::Ended(ended))) => break Ok(ended),
                        Ok(Ok(Looked::Rests | Looked::Unreadable)) => break Err(CloseError::NotFound),
                        Ok(Ok(Looked::Elsewhere)) if Instant::now() < gives_up => sleep(ON_ITS_WAY).await,
                        Ok(Ok(Looked::Failed(why))) if Instant::now() < gives_up => {
                            error = why;
                            sleep(FAILED).await;
                        }
                        Ok(Ok(Looked::Failed(error))) => break Err(CloseError::Store { error }),
                        // The desk is closed: all that there was has ended.
                        Ok(Err(_)) => break Err(CloseError::NotFound),
                        Ok(Ok(Looked::Elsewhere)) | Err(_) => break Err(CloseError::Store { error }),
                    },
                }
            };
            drop(tell.send(closed));
        };
        if hub.spawn(close) { Closing::watched(told) } else { Closing::failed(CloseError::NoHost) }
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
