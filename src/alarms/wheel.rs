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
/// Room, in entries, that is given back at once. To give back more is a big piece of work for some allocators, which then
/// put in order what was freed in small pieces before: glibc takes a quarter of a second after the end of a million
/// sessions. That waits until somebody has time to [`tidy`](Wheel::tidy).
const GIVEN_BACK_AT_ONCE: usize = 4096;
/// The most that waits for it, in entries: the room of two million that were due together. On a thread that never has
/// time what is more is given back at once.
const MOST_SPARE: usize = 1 << 22;

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
    /// A bit for each that has much more room than it needs.
    wide: u64,
    slots: [Vec<E>; SLOTS],
}

pub(crate) struct Wheel<E> {
    /// Everything due before this tick is out. In each level the slots before its digit are empty.
    elapsed: u64,
    levels: [Level<E>; LEVELS],
    /// Room of slots that were emptied, to be dropped.
    spare: Vec<Vec<E>>,
    /// How much that is.
    spared: usize,
    /// How often there was something new to tidy up.
    untidied: u64,
    /// How much of that is done.
    tidied: u64,
}

/// Whether it has much more room than it needs.
fn is_wide<E>(entries: &Vec<E>) -> bool {
    entries.capacity() > KEPT && entries.len() < entries.capacity() / 4
}

/// Of a tick, its digit at a level: the slot.
fn digit(tick: u64, level: usize) -> usize {
    (tick >> (BITS as usize * level)) as usize & (SLOTS - 1)
}

impl<E: Entry> Wheel<E> {
    pub(crate) fn new() -> Self {
        let level = |_| Level { occupied: 0, wide: 0, slots: std::array::from_fn(|_| Vec::new()) };
        Self { elapsed: 0, levels: std::array::from_fn(level), spare: Vec::new(), spared: 0, untidied: 0, tidied: 0 }
    }

    /// Puts it in. What was due already is given out next.
    pub(crate) fn insert(&mut self, entry: E) {
        debug_assert_eq!(entry.place(), Place::NOWHERE, "it lies in a wheel already");
        let due = entry.due().clamp(self.elapsed, LAST);
        // The highest digit in which it differs from now.
        let level = (63 - (due ^ self.elapsed | 1).leading_zeros()) as usize / BITS as usize;
        let slot = digit(due, level);
        let Level { occupied, slots, .. } = &mut self.levels[level];
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
        self.narrow(level, slot);
        taken
    }

    /// How often there was something new to tidy up, unless all of it is done. Whoever drives the wheel waits until
    /// that has not changed for a while.
    pub(crate) fn untidied(&self) -> Option<u64> {
        (self.untidied > self.tidied).then_some(self.untidied)
    }

    /// Takes out one large piece of memory that is not needed any more, to be dropped. `None` if there is no more.
    pub(crate) fn tidy(&mut self) -> Option<Vec<E>> {
        if let Some(room) = self.spare.pop() {
            self.spared -= room.capacity();
            return Some(room);
        }
        for Level { wide, slots, .. } in &mut self.levels {
            while *wide != 0 {
                let entries = &mut slots[wide.trailing_zeros() as usize];
                *wide &= *wide - 1;
                // It may have filled again.
                if is_wide(entries) {
                    let mut narrow = Vec::with_capacity(2 * entries.len());
                    narrow.append(entries);
                    return Some(std::mem::replace(entries, narrow));
                }
            }
        }
        self.tidied = self.untidied;
        None
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
        if !entries.is_empty() || entries.capacity() <= KEPT {
            return;
        }
        let room = std::mem::take(entries);
        let spared = self.spared + room.capacity();
        if room.capacity() > GIVEN_BACK_AT_ONCE && spared <= MOST_SPARE {
            self.spared = spared;
            self.untidied += 1;
            self.spare.push(room);
        }
    }

    /// Gives back room of a slot that others have left, one after the other.
    fn narrow(&mut self, level: usize, slot: usize) {
        let Level { wide, slots, .. } = &mut self.levels[level];
        let entries = &mut slots[slot];
        if !is_wide(entries) {
            return;
        }
        if entries.capacity() <= GIVEN_BACK_AT_ONCE {
            entries.shrink_to(2 * entries.len());
        } else if *wide & 1 << slot == 0 {
            *wide |= 1 << slot;
            self.untidied += 1;
        }
    }

    /// Takes one out of a slot, and tells the one that takes its place there.
    fn take(&mut self, level: usize, slot: usize, index: usize) -> Option<E> {
        let Level { occupied, slots, .. } = &mut self.levels[level];
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
mod tests;
