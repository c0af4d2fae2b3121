//! Without the feature `store`: the same names, and no values.

use std::{convert::Infallible, future::Ready, marker::PhantomData, sync::Arc, time::Duration};

use tokio::{sync::oneshot, time::Instant};

use super::{Figures, Memory};
use crate::{
    event::SessionId,
    key::SessionKey,
    registry::{Closing, hub::Hub},
    session::{Session, vitals::Vitals},
    start::Start,
};

/// There is none.
pub(crate) struct Keeper<A>(Infallible, PhantomData<fn() -> A>);

/// There is none.
#[derive(Debug)]
pub(crate) struct Snapshot(Infallible);

/// There is none.
#[derive(Debug, Clone)]
pub(crate) struct Ticket(Infallible);

impl Ticket {
    pub(crate) fn take_back(&self) -> bool {
        match self.0 {}
    }
}

/// Nobody waits for it.
#[expect(dead_code, reason = "nor gives up")]
pub(crate) trait Waiting<A: Session>: Send + Sync {
    fn give_up(&self, _: &Arc<Hub<A>>) -> bool;
}

impl Snapshot {
    pub(crate) fn mark(&self) -> u64 {
        match self.0 {}
    }
}

impl<A: Session> Keeper<A> {
    pub(crate) fn load(&self, _: &Arc<Hub<A>>, _: Box<Start<A>>) {
        match self.0 {}
    }

    pub(crate) fn restore(&self, _: &mut A, _: Memory) -> Result<(), String> {
        match self.0 {}
    }

    pub(crate) fn set_aside(&self, _: &SessionKey, _: String) {
        match self.0 {}
    }

    pub(crate) fn snapshot(&self, _: &A) -> Result<Snapshot, String> {
        match self.0 {}
    }

    pub(crate) fn save(
        &self,
        _: &Arc<Hub<A>>,
        _: &Vitals,
        _: Snapshot,
        _: Figures,
        _: impl FnOnce(Result<(), String>) + Send + 'static,
    ) -> Ticket {
        match self.0 {}
    }

    pub(crate) fn forget(&self, _: &Vitals, _: impl FnOnce(Result<(), String>) + Send + 'static) -> Ticket {
        match self.0 {}
    }

    pub(crate) fn wait(&self, _: &Arc<impl Waiting<A> + 'static>) {
        match self.0 {}
    }

    pub(crate) fn owe(&self, _: &Vitals) {
        match self.0 {}
    }

    pub(crate) fn close(&self, _: &Arc<Hub<A>>, _: SessionKey) -> Closing {
        match self.0 {}
    }

    pub(crate) fn patience(&self, _: Instant) -> Instant {
        match self.0 {}
    }

    pub(crate) async fn patiently<T>(&self, _: &mut oneshot::Receiver<T>) -> Option<T> {
        match self.0 {}
    }

    pub(crate) fn timeout(&self) -> Duration {
        match self.0 {}
    }

    pub(crate) fn note_id(&self, _: &Arc<Hub<A>>, _: SessionId) {
        match self.0 {}
    }

    pub(crate) fn count(&self) -> Ready<Option<u64>> {
        match self.0 {}
    }

    pub(crate) fn policy_changes(&self) {
        match self.0 {}
    }

    pub(crate) fn policy_changed(&self) {
        match self.0 {}
    }

    pub(crate) fn stop(&self) {
        match self.0 {}
    }

    pub(crate) async fn stopped(&self) {
        match self.0 {}
    }
}
