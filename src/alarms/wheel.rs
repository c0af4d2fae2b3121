//! A hierarchical timing wheel: what is due when, at a constant cost for each that is put in or taken out.
//!
//! Level 0 has a slot for each of the next 64 ticks, level 1 one for each 64 of them, and so on; what lies far away is
//! put into a wide slot, and moved to narrower ones as its time comes near (Varghese and Lauck, 1987). A slot is a
//! vector, and whatever lies in one knows where, so that it can be taken out without a search and leaves nothing behind.
//!
//! It gives out one at a time, and moves one at a time: whoever drives it can pause in the middle, also when a million
//! are due in the same tick.

/// Six bits of a tick.
const BITS: u32 = 6;
const SLOTS: usize = 1 << BITS;
/// Eight levels of six bits: 48 bits of ticks.
const LEVELS: usize = 8;
/// The last tick that it can tell from others; what is due later lies there.
const LAST: u64 = (1 << (BITS as usize * LEVELS)) - 1;
/// Room that an empty slot keeps, for the next that comes.
const KEPT: usize = 8;
/// Room that is given back at once. To give back more is a big piece of work for some allocators, which then put in
/// order what was freed in small pieces before: glibc takes a quarter of a second after the end of a million sessions.
const GIVEN_BACK_AT_ONCE: usize = 4096;

/// Where an entry lies, in one word that it keeps for the wheel: its place in the slot's vector, the slot, the level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place(u64);

impl Place {
    /// In no wheel.
    pub(crate) const NOWHERE: Self = Self(u64::MAX);

    fn new(level: usize, slot: usize, index: usize) -> Self {
        Self((index as u64) << 16 | (slot as u64) << 8 | level as u64)
    }

    fn parts(self) -> (usize, usize, usize) {
        let byte = |shift: u32| (self.0 >> shift) as usize & 0xff;
        (byte(0), byte(8), (self.0 >> 16) as usize)
    }

    /// As it was given by [`bits`](Self::bits).
    pub(crate) fn of_bits(bits: u64) -> Self {
        Self(bits)
    }

    pub(crate) fn bits(self) -> u64 {
        self.0
    }
}

/// What can lie in a wheel.
pub(crate) trait Entry {
    /// The tick it is due at. Stays the same while it lies in the wheel.
    fn due(&self) -> u64;

    fn place(&self) -> Place;

    fn set_place(&self, place: Place);
}

/// What the wheel did in one step.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step<E> {
    /// This one is due; it is out.
    Due(E),
    /// One was moved nearer.
    Moved,
    /// Nothing more is due; look again at this tick, if there is anything left.
    Idle(Option<u64>),
}

struct Level<E> {
    /// A bit for each slot that is not empty.
    occupied: u64,
    slots: [Vec<E>; SLOTS],
}

pub(crate) struct Wheel<E> {
    /// Everything due before this tick is out. In each level the slots before its digit are empty.
    elapsed: u64,
    levels: [Level<E>; LEVELS],
    /// Room of slots that were emptied by their time.
    spare: Vec<Vec<E>>,
}

/// Of a tick, its digit at a level: the slot.
fn digit(tick: u64, level: usize) -> usize {
    (tick >> (BITS as usize * level)) as usize & (SLOTS - 1)
}

impl<E: Entry> Wheel<E> {
    pub(crate) fn new() -> Self {
        let level = |_| Level { occupied: 0, slots: std::array::from_fn(|_| Vec::new()) };
        Self { elapsed: 0, levels: std::array::from_fn(level), spare: Vec::new() }
    }

    /// Puts it in. What was due already is given out next.
    pub(crate) fn insert(&mut self, entry: E) {
        debug_assert_eq!(entry.place(), Place::NOWHERE, "it lies in a wheel already");
        let due = entry.due().clamp(self.elapsed, LAST);
        // The highest digit in which it differs from now.
        let level = (63 - (due ^ self.elapsed | 1).leading_zeros()) as usize / BITS as usize;
        let slot = digit(due, level);
        let Level { occupied, slots } = &mut self.levels[level];
        *occupied |= 1 << slot;
        entry.set_place(Place::new(level, slot, slots[slot].len()));
        slots[slot].push(entry);
    }

    /// Takes it out, if it lies here, and gives it back.
    pub(crate) fn remove(&mut self, entry: &E) -> Option<E> {
        if entry.place() == Place::NOWHERE {
            return None;
        }
        let (level, slot, index) = entry.place().parts();
        let taken = self.take(level, slot, index);
        let entries = &mut self.levels[level].slots[slot];
        if entries.capacity() > KEPT && entries.len() < entries.capacity() / 4 {
            entries.shrink_to(2 * entries.len());
        }
        taken
    }

    /// Whether there is room that is not needed any more.
    pub(crate) fn has_spare(&self) -> bool {
        !self.spare.is_empty()
    }

    /// That room, to be dropped when there is time for it.
    pub(crate) fn take_spare(&mut self) -> Vec<Vec<E>> {
        std::mem::take(&mut self.spare)
    }

    /// The next step at tick `now`. Ticks do not go back.
    pub(crate) fn step(&mut self, now: u64) -> Step<E> {
        loop {
            // What lies at the present digit of a level has come near enough for the level below; of level 0 it is due.
            for level in (0..LEVELS).rev() {
                let slot = digit(self.elapsed, level);
                if self.levels[level].occupied & 1 << slot == 0 {
                    continue;
                }
                let last = self.levels[level].slots[slot].len().saturating_sub(1);
                let Some(entry) = self.take(level, slot, last) else { continue };
                self.give_back(level, slot);
                if level == 0 {
                    return Step::Due(entry);
                }
                self.insert(entry);
                return Step::Moved;
            }
            match self.next() {
                Some(tick) if tick <= now => self.elapsed = tick,
                next => {
                    self.elapsed = self.elapsed.max(now.min(LAST));
                    return Step::Idle(next);
                }
            }
        }
    }

    /// The begin of the next slot that is not empty. Nothing lies at the present digits.
    fn next(&self) -> Option<u64> {
        // The lowest level has the nearest: in it, all higher digits are those of now.
        self.levels.iter().enumerate().find_map(|(level, Level { occupied, .. })| {
            let shift = BITS as usize * level;
            // The slots before the present digit are empty.
            (*occupied != 0).then(|| {
                let above = self.elapsed >> shift >> BITS << BITS;
                (above | u64::from(occupied.trailing_zeros())) << shift
            })
        })
    }

    /// Gives back the room of a slot that its time has emptied: all of it, when the last has gone, because what has
    /// come so far is followed by the rest.
    fn give_back(&mut self, level: usize, slot: usize) {
        let entries = &mut self.levels[level].slots[slot];
        if entries.is_empty() && entries.capacity() > KEPT {
            let room = std::mem::take(entries);
            if room.capacity() > GIVEN_BACK_AT_ONCE {
                self.spare.push(room);
            }
        }
    }

    /// Takes one out of a slot, and tells the one that takes its place there.
    fn take(&mut self, level: usize, slot: usize, index: usize) -> Option<E> {
        let Level { occupied, slots } = &mut self.levels[level];
        let entries = &mut slots[slot];
        if index >= entries.len() {
            debug_assert!(false, "an entry that is not where it says");
            return None;
        }
        let taken = entries.swap_remove(index);
        if let Some(moved) = entries.get(index) {
            moved.set_place(taken.place());
        }
        taken.set_place(Place::NOWHERE);
        if entries.is_empty() {
            *occupied &= !(1 << slot);
        }
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, rc::Rc};

    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, PartialEq)]
    struct Timer {
        due: u64,
        place: Cell<Option<Place>>,
    }

    impl Timer {
        fn at(due: u64) -> Rc<Self> {
            Rc::new(Self { due, place: Cell::new(None) })
        }
    }

    impl Entry for Rc<Timer> {
        fn due(&self) -> u64 {
            self.due
        }

        fn place(&self) -> Place {
            self.place.get().unwrap_or(Place::NOWHERE)
        }

        fn set_place(&self, place: Place) {
            self.place.set((place != Place::NOWHERE).then_some(place));
        }
    }

    /// All that is due at `now`, and when to look again.
    fn due(wheel: &mut Wheel<Rc<Timer>>, now: u64) -> (Vec<u64>, Option<u64>) {
        let mut out = Vec::new();
        loop {
            match wheel.step(now) {
                Step::Due(timer) => {
                    assert_eq!(timer.place(), Place::NOWHERE);
                    out.push(timer.due);
                }
                Step::Moved => {}
                Step::Idle(next) => return (out, next),
            }
        }
    }

    #[test]
    fn what_is_far_away_comes_in_its_tick_and_not_before() {
        for due_at in [1, 63, 64, 65, 4_095, 4_096, 14_400_000, 345_600_000, LAST] {
            let mut wheel = Wheel::new();
            wheel.insert(Timer::at(due_at));
            let mut now = 0;
            while let (out, Some(next)) = due(&mut wheel, now) {
                assert!(out.is_empty(), "{due_at} came at {now}");
                assert!(now < next && next <= due_at, "{due_at}: to be asked at {next}, after {now}");
                assert_eq!(due(&mut wheel, next - 1), (vec![], Some(next)));
                now = next;
            }
            assert_eq!(now, due_at);
        }
    }

    #[test]
    fn beyond_the_last_tick_it_comes_at_the_last() {
        let mut wheel = Wheel::new();
        wheel.insert(Timer::at(u64::MAX));
        assert!(due(&mut wheel, LAST - 1).0.is_empty());
        assert_eq!(due(&mut wheel, u64::MAX), (vec![u64::MAX], None));
        wheel.insert(Timer::at(u64::MAX));
        assert_eq!(due(&mut wheel, u64::MAX), (vec![u64::MAX], None));
    }

    #[test]
    fn it_keeps_no_room_for_what_has_gone() {
        let mut wheel = Wheel::new();
        let timers: Vec<_> = (0..10_000).map(|_| Timer::at(100)).collect();
        timers.iter().for_each(|timer| wheel.insert(Rc::clone(timer)));
        for timer in &timers[..9_000] {
            assert!(wheel.remove(timer).is_some());
            assert!(wheel.remove(timer).is_none());
        }
        let room =
            |wheel: &Wheel<_>| wheel.levels.iter().flat_map(|level| &level.slots).map(Vec::capacity).sum::<usize>();
        assert!(room(&wheel) <= 4_000, "{}", room(&wheel));
        assert_eq!(due(&mut wheel, 100).0.len(), 1_000);
        assert!(room(&wheel) <= 2 * KEPT, "{}", room(&wheel));
        assert!(!wheel.has_spare());
    }

    #[test]
    fn much_room_is_given_back_when_there_is_time() {
        let mut wheel = Wheel::new();
        (0..10_000).for_each(|_| wheel.insert(Timer::at(100)));
        assert_eq!(due(&mut wheel, 100).0.len(), 10_000);
        assert!(wheel.has_spare());
        let spare: Vec<_> = wheel.take_spare().iter().map(Vec::capacity).collect();
        // Of two levels.
        assert_eq!(spare, [16_384, 16_384]);
        assert!(!wheel.has_spare());
    }

    #[derive(Debug, Clone)]
    enum Act {
        Insert(u64),
        Remove(usize),
        Pass(u64),
        Steps(u64, usize),
    }

    fn act() -> impl Strategy<Value = Act> {
        // As likely in the next ticks as some levels away.
        let span = || (0u32..40).prop_flat_map(|bits| 0..=(1u64 << bits));
        prop_oneof![
            4 => span().prop_map(Act::Insert),
            2 => any::<usize>().prop_map(Act::Remove),
            2 => span().prop_map(Act::Pass),
            1 => (span(), 0..5usize).prop_map(|(span, steps)| Act::Steps(span, steps)),
        ]
    }

    proptest! {
        /// Against a plain list.
        #[test]
        fn it_gives_what_a_list_would(acts in prop::collection::vec(act(), 1..200)) {
            let mut wheel = Wheel::new();
            let mut list: Vec<Rc<Timer>> = Vec::new();
            let mut now = 0u64;
            for act in acts {
                match act {
                    Act::Insert(after) => {
                        let timer = Timer::at(now + after);
                        wheel.insert(Rc::clone(&timer));
                        list.push(timer);
                    }
                    Act::Remove(any) if !list.is_empty() => {
                        let timer = list.swap_remove(any % list.len());
                        prop_assert!(wheel.remove(&timer).is_some_and(|taken| Rc::ptr_eq(&taken, &timer)));
                    }
                    Act::Remove(_) => {}
                    Act::Pass(span) => {
                        now += span;
                        let (mut out, next) = due(&mut wheel, now);
                        out.sort_unstable();
                        let mut expected: Vec<_> = list.iter().map(|timer| timer.due).filter(|due| *due <= now).collect();
                        expected.sort_unstable();
                        prop_assert_eq!(out, expected);
                        list.retain(|timer| timer.due > now);
                        let nearest = list.iter().map(|timer| timer.due).min();
                        prop_assert_eq!(next.is_some(), nearest.is_some());
                        prop_assert!(next <= nearest && next.is_none_or(|next| next > now));
                    }
                    Act::Steps(span, steps) => {
                        now += span;
                        for _ in 0..steps {
                            if let Step::Due(timer) = wheel.step(now) {
                                prop_assert!(timer.due <= now);
                                list.retain(|other| !Rc::ptr_eq(other, &timer));
                            }
                        }
                    }
                }
            }
        }
    }
}
