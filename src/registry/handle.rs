//! The strong and the weak handle.

use std::{fmt, sync::Arc, sync::Weak};

use super::{SessionRegistry, hub::Hub};
use crate::session::Session;

/// What a strong handle owns. The last one to go shuts the registry down.
pub(crate) struct Handle<A: Session> {
    pub(super) hub: Arc<Hub<A>>,
}

impl<A: Session> Drop for Handle<A> {
    fn drop(&mut self) {
        let timeout = self.hub.policy().get_limits().drain_timeout;
        self.hub.begin_shutdown(timeout);
    }
}

/// A handle that does not keep the registry open. Sessions get theirs from
/// [`SessionContext::registry`](crate::SessionContext::registry).
pub struct WeakSessionRegistry<A: Session>(Weak<Handle<A>>);

impl<A: Session> WeakSessionRegistry<A> {
    pub(crate) fn new(handle: Weak<Handle<A>>) -> Self {
        Self(handle)
    }

    /// The registry, unless its last strong handle has been dropped.
    pub fn upgrade(&self) -> Option<SessionRegistry<A>> {
        self.0.upgrade().map(SessionRegistry::from_handle)
    }
}

impl<A: Session> Clone for WeakSessionRegistry<A> {
    fn clone(&self) -> Self {
        Self(Weak::clone(&self.0))
    }
}

impl<A: Session> fmt::Debug for WeakSessionRegistry<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WeakSessionRegistry")
    }
}
