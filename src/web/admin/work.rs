//! Work whose time grows with the number of sessions: not a worker's, or all sockets on it would stand still meanwhile.

use std::sync::Arc;

use actix_web::web;
use tokio::sync::Semaphore;

use super::Admin;
use crate::{OpenError, Session, SessionRegistry, web::Problem};

/// What may run at a time: each holds a picture of every session.
const AT_A_TIME: usize = 2;

/// Lets some of it run, and the rest wait.
pub(super) struct Desk(Arc<Semaphore>);

impl Desk {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(AT_A_TIME)))
    }
}

impl<A: Session> Admin<A> {
    /// Runs `work` on a thread for such work. It goes on if nobody waits for it any more, and keeps its place until then.
    pub(super) async fn work<T, W>(&self, work: W) -> Result<T, Problem>
    where
        T: Send + 'static,
        W: FnOnce(&Self, &SessionRegistry<A>) -> T + Send + 'static,
    {
        let shutting_down = || Problem::from(OpenError::ShuttingDown);
        let place = Arc::clone(&self.0.desk.0).acquire_owned().await.map_err(|_| shutting_down())?;
        let (admin, registry) = (self.clone(), self.registry()?);
        let done = web::block(move || {
            let done = work(&admin, &registry);
            drop(place);
            done
        });
        done.await.map_err(|_| shutting_down())
    }
}
