//! Whether the code that runs now runs inside of a session, and of which registry.

use std::cell::Cell;

thread_local! {
    /// The hub of the session that is being polled on this thread; an identity, never followed.
    static INSIDE: Cell<*const ()> = const { Cell::new(std::ptr::null()) };
}

/// Until it is dropped, this thread runs a session of `hub`.
pub(crate) struct Inside(*const ());

#[inline]
pub(crate) fn enter(hub: *const ()) -> Inside {
    Inside(INSIDE.try_with(|cell| cell.replace(hub)).unwrap_or(hub))
}

/// Whether this thread runs a session of `hub` right now.
pub(crate) fn is_inside(hub: *const ()) -> bool {
    INSIDE.try_with(|cell| cell.get() == hub).unwrap_or(false)
}

impl Drop for Inside {
    #[inline]
    fn drop(&mut self) {
        let _ = INSIDE.try_with(|cell| cell.set(self.0));
    }
}
