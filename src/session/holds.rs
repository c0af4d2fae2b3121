//! How many holds on a session are alive, and what is new about them.

use std::sync::atomic::{AtomicU32, Ordering};

/// One began or ended.
const MOVED: u32 = 1;
/// One ended that counts as activity.
const COUNTED_END: u32 = 2;
const NEWS: u32 = MOVED | COUNTED_END;
/// One hold.
const HOLD: u32 = 4;

/// Holds alive, in units of `HOLD`, and the news in the bits below. Written by whoever takes or
/// drops one, on any thread. One word, so that whoever sees that a hold has ended sees with it
/// whether this counts.
#[derive(Debug, Default)]
pub(crate) struct Holds(AtomicU32);

/// What has happened to holds since the task looked last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HoldNews {
    /// How many are alive.
    pub(crate) alive: u32,
    /// Any began or ended.
    pub(crate) moved: bool,
    /// An end was among them that counts as activity.
    pub(crate) counted: bool,
}

impl Holds {
    pub(super) fn begin(&self) {
        self.change(|word| (word + HOLD) | MOVED);
    }

    pub(super) fn end(&self, counted: bool) {
        let news = if counted { MOVED | COUNTED_END } else { MOVED };
        self.change(|word| (word - HOLD) | news);
    }

    fn change(&self, change: impl Fn(u32) -> u32) {
        // Release: what the holder did before is seen by the task that acts on the end of the hold.
        let _ = self.0.fetch_update(Ordering::AcqRel, Ordering::Relaxed, |word| Some(change(word)));
    }

    #[inline]
    pub(crate) fn alive(&self) -> u32 {
        self.0.load(Ordering::Acquire) / HOLD
    }

    /// Whether one has ended that counts as activity, since the news were last taken.
    pub(crate) fn has_counted_end(&self) -> bool {
        self.0.load(Ordering::Acquire) & COUNTED_END != 0
    }

    /// For the task alone: the news are taken once.
    #[inline]
    pub(crate) fn take_news(&self) -> HoldNews {
        let mut word = self.0.load(Ordering::Acquire);
        if word & NEWS != 0 {
            word = self.0.fetch_and(!NEWS, Ordering::AcqRel);
        }
        HoldNews { alive: word / HOLD, moved: word & MOVED != 0, counted: word & COUNTED_END != 0 }
    }
}
