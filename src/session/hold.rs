//! A guard that keeps a session busy for work that actix cannot see.

use std::{fmt, sync::Arc};

use super::vitals::Vitals;

/// Keeps its session busy for as long as it lives: the idle timer does not run, a drain waits for
/// it. Obtained from [`SessionContext::hold`](crate::SessionContext::hold).
///
/// It is `Send`: move it into a thread, a blocking task or a future outside the actor, and drop it
/// when the work is done. The end of the last piece of work restarts the idle clock, unless the
/// guard was taken in a handler that had called [`passive`](crate::SessionContext::passive).
///
/// A hold protects from the idle timeout only: `max_age`, `max_busy`, `drain_timeout` and an
/// explicit end still apply, and a hold left when the session is ended hard is counted as cut. It
/// does not keep the session's address or registry alive.
#[must_use = "a hold that is dropped at once protects nothing"]
pub struct Hold {
    vitals: Arc<Vitals>,
    counted: bool,
}

impl Hold {
    pub(crate) fn new(vitals: Arc<Vitals>, counted: bool) -> Self {
        vitals.begin_hold();
        Self { vitals, counted }
    }
}

impl Clone for Hold {
    /// Another piece of work: the session is busy until both are dropped.
    fn clone(&self) -> Self {
        let hold = Self::new(Arc::clone(&self.vitals), self.counted);
        // From outside: the session has to learn the instant of this progress.
        hold.vitals.wake();
        hold
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.vitals.end_hold(self.counted);
    }
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hold").field("key", self.vitals.key()).field("counted", &self.counted).finish()
    }
}
