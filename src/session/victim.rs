//! Whether a session was asked to make room for a newcomer.

use std::sync::atomic::{AtomicU8, Ordering};

/// Not asked to go, asked to, has parted with its slot.
const FREE: u8 = 0;
const ASKED: u8 = 1;
const GONE: u8 = 2;

/// Changed by whoever makes room, and by the end of the session; each change is one step, so that
/// of two who choose the same session one learns that it is taken, and a promise is kept once.
#[derive(Debug, Default)]
pub(crate) struct Victim(AtomicU8);

impl Victim {
    /// Chooses it. False if it was chosen already, or has gone.
    pub(crate) fn choose(&self) -> bool {
        self.exchange(FREE, ASKED)
    }

    /// It need not go after all. False if it was not chosen, or has gone.
    pub(crate) fn spare(&self) -> bool {
        self.exchange(ASKED, FREE)
    }

    pub(crate) fn is_taken(&self) -> bool {
        self.0.load(Ordering::Acquire) != FREE
    }

    /// It has parted with its slot. True if it had been asked to.
    pub(crate) fn part(&self) -> bool {
        self.0.swap(GONE, Ordering::AcqRel) == ASKED
    }

    fn exchange(&self, from: u8, to: u8) -> bool {
        self.0.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_chosen_by_one_and_can_be_spared() {
        let victim = Victim::default();
        assert!(!victim.spare(), "nobody has chosen it");
        assert!(victim.choose() && !victim.choose() && victim.is_taken());
        assert!(victim.spare() && !victim.spare() && !victim.is_taken());
        assert!(victim.choose(), "spared, it may be chosen again");
    }

    #[test]
    fn what_has_parted_with_its_slot_is_neither_chosen_nor_spared() {
        for asked in [false, true] {
            let victim = Victim::default();
            assert!(!asked || victim.choose());
            assert_eq!(victim.part(), asked);
            assert!(!victim.choose() && !victim.spare() && victim.is_taken());
            assert!(!victim.part(), "a promise is kept once");
        }
    }
}
