//! What the sessions of one host share on its thread: one pointer in each of them leads to it all.

use std::{fmt, rc::Rc, sync::Arc};

use crate::{alarms::Alarms, clock::Clock, registry::hub::Hub, session::Session};

/// Made by a host, kept by it and by its sessions.
pub(crate) struct Locals<A: Session> {
    pub(crate) hub: Arc<Hub<A>>,
    /// The hub's, one step nearer: a message reads it.
    pub(crate) clock: Arc<Clock>,
    pub(crate) alarms: Rc<Alarms>,
    /// Whether the registry keeps sessions in a store.
    pub(crate) keeps: bool,
}

impl<A: Session> Locals<A> {
    /// On the thread of the host that is being started.
    pub(crate) fn new(hub: Arc<Hub<A>>) -> Rc<Self> {
        let clock = Arc::clone(&hub.clock);
        let alarms = Alarms::run(Arc::clone(&clock));
        let keeps = hub.keeper.is_some();
        Rc::new(Self { hub, clock, alarms, keeps })
    }
}

impl<A: Session> fmt::Debug for Locals<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Locals").field("alarms", &self.alarms).finish_non_exhaustive()
    }
}
