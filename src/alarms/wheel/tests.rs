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

/// The room of all slots.
fn room(wheel: &Wheel<Rc<Timer>>) -> usize {
    wheel.levels.iter().flat_map(|level| &level.slots).map(Vec::capacity).sum()
}

/// What waits to be dropped.
fn spare(wheel: &Wheel<Rc<Timer>>) -> usize {
    let spare = wheel.spare.iter().map(Vec::capacity).sum();
    assert_eq!(wheel.spared, spare);
    spare
}

#[test]
fn it_keeps_no_room_for_what_has_gone() {
    let mut wheel = Wheel::new();
    let timers: Vec<_> = (0..3_000).map(|_| Timer::at(100)).collect();
    timers.iter().for_each(|timer| wheel.insert(Rc::clone(timer)));
    for timer in &timers[..2_700] {
        assert!(wheel.remove(timer).is_some());
        assert!(wheel.remove(timer).is_none());
    }
    assert!(room(&wheel) <= 1_200, "{}", room(&wheel));
    assert_eq!(due(&mut wheel, 100).0.len(), 300);
    assert!(room(&wheel) <= 2 * KEPT, "{}", room(&wheel));
    assert_eq!(wheel.untidied(), None);
}

#[test]
fn much_room_is_given_back_when_there_is_time() {
    let mut wheel = Wheel::new();
    (0..10_000).for_each(|_| wheel.insert(Timer::at(100)));
    assert_eq!(due(&mut wheel, 100).0.len(), 10_000);
    // Of two levels, one piece at a time.
    assert_eq!((wheel.untidied(), spare(&wheel)), (Some(2), 32_768));
    assert_eq!(wheel.tidy().map(|room| room.capacity()), Some(16_384));
    assert_eq!((wheel.untidied(), spare(&wheel)), (Some(2), 16_384));
    assert_eq!(wheel.tidy().map(|room| room.capacity()), Some(16_384));
    assert_eq!(wheel.tidy(), None);
    assert_eq!((wheel.untidied(), spare(&wheel)), (None, 0));
}

#[test]
fn much_room_that_others_have_left_as_well() {
    let mut wheel = Wheel::new();
    let timers: Vec<_> = (0..20_000).map(|_| Timer::at(100)).collect();
    timers.iter().for_each(|timer| wheel.insert(Rc::clone(timer)));
    for timer in &timers[..19_000] {
        assert!(wheel.remove(timer).is_some());
    }
    assert_eq!((room(&wheel), wheel.untidied()), (32_768, Some(1)));
    assert_eq!(wheel.tidy().map(|room| room.capacity()), Some(32_768));
    assert_eq!(wheel.tidy(), None);
    assert_eq!((room(&wheel), wheel.untidied()), (2_000, None));
    // They have not moved.
    assert!(timers[19_000..].iter().all(|timer| wheel.remove(timer).is_some()));
    assert!(room(&wheel) <= KEPT);
}

#[test]
fn room_that_fills_again_is_kept() {
    let mut wheel = Wheel::new();
    let timers: Vec<_> = (0..20_000).map(|_| Timer::at(100)).collect();
    timers.iter().for_each(|timer| wheel.insert(Rc::clone(timer)));
    timers.iter().for_each(|timer| drop(wheel.remove(timer)));
    assert_eq!(wheel.untidied(), Some(1));
    timers.iter().for_each(|timer| wheel.insert(Rc::clone(timer)));
    assert_eq!(wheel.tidy(), None);
    assert_eq!((room(&wheel), wheel.untidied()), (32_768, None));
}

/// A thread whose sessions come and go all the time never has time to tidy up.
#[test]
fn what_is_not_given_back_has_a_bound() {
    let mut wheel = Wheel::new();
    for lap in 1..400 {
        (0..5_000).for_each(|_| wheel.insert(Timer::at(lap * 64)));
        assert_eq!(due(&mut wheel, lap * 64).0.len(), 5_000);
        assert!(spare(&wheel) <= MOST_SPARE, "{} after {lap} laps", spare(&wheel));
        assert!(room(&wheel) <= LEVELS * SLOTS * KEPT);
    }
    assert!(spare(&wheel) > MOST_SPARE / 2);
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
