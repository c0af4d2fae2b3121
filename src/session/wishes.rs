//! What may be asked of a session from outside.

/// Bits, so that asking twice asks once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wishes(pub(super) u16);

impl Wishes {
    pub(crate) const CLOSE: Self = Self(1);
    pub(crate) const EVICT: Self = Self(2);
    pub(crate) const SHUTDOWN: Self = Self(4);
    /// The policy changed: resolve the limits again.
    pub(crate) const POLICY: Self = Self(8);
    /// Observe mode: the key was opened again, which begins the next virtual life.
    pub(crate) const OPENED: Self = Self(16);
    /// Its alarm has rung: a deadline may have come.
    pub(crate) const ALARM: Self = Self(32);

    /// It is in memory while the store thinks that its time has come: what is there is not current.
    pub(crate) const SAVE: Self = Self(64);
    /// The store has answered.
    pub(crate) const SAVED: Self = Self(128);

    /// Its idle end is to be put off.
    pub(crate) const EXTEND: Self = Self(256);

    pub(crate) fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }
}
