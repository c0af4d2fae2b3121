//! The lifecycle against a model: section 4 of the design said a second time, as plainly as possible.
//!
//! The model knows no cleverness. It keeps the facts in whole milliseconds, lists every deadline each time it is asked,
//! and finds out when something will be due by trying one millisecond after the other.

mod model;

use std::time::Duration;

use proptest::prelude::*;

use self::model::{Due, HORIZON, Limits, Model, Stage};
use super::lifecycle::{Action, Lifecycle, Load};
use crate::{event::EndReason, limits::EffectiveLimits, moment::Moment, policy::Mode};

#[derive(Debug, Clone)]
enum Step {
    /// A counted message, or the end of counted work.
    Activity,
    /// News of an activity some time ago, as an `open` leaves it.
    LateActivity(u64),
    /// A message was handled; one that does not count if it stands alone.
    Message,
    Progress,
    Busy(bool),
    Mail(bool),
    Close(EndReason, Option<u64>),
    Limits(Limits),
    Mode(Mode),
    /// Time passes, and the driver asks whenever it was told to.
    Pass(u64),
    /// Time passes while the thread is blocked.
    Block(u64),
    /// What the session answers the next time it is consulted.
    Veto(u64),
}

fn limits() -> impl Strategy<Value = Limits> {
    let limit = |range: std::ops::Range<u64>| prop_oneof![1 => Just(None), 4 => range.prop_map(Some)];
    (limit(2..30), limit(2..80), limit(1..30), limit(1..12), limit(1..30)).prop_map(|(idle, age, busy, warn, drain)| {
        let shortest = idle.unwrap_or(u64::MAX).min(age.unwrap_or(u64::MAX));
        Limits { idle, age, busy, warn: warn.filter(|warn| *warn < shortest), drain }
    })
}

fn mode() -> impl Strategy<Value = Mode> {
    prop_oneof![3 => Just(Mode::Enforce), 1 => Just(Mode::Observe)]
}

fn step() -> impl Strategy<Value = Step> {
    let closing = prop_oneof![Just(EndReason::Closed), Just(EndReason::Shutdown), Just(EndReason::Evicted)];
    prop_oneof![
        4 => Just(Step::Activity),
        1 => (0..20_u64).prop_map(Step::LateActivity),
        3 => Just(Step::Message),
        2 => Just(Step::Progress),
        8 => any::<bool>().prop_map(Step::Busy),
        1 => any::<bool>().prop_map(Step::Mail),
        1 => (closing, prop::option::of(0..30_u64)).prop_map(|(reason, until)| Step::Close(reason, until)),
        1 => limits().prop_map(Step::Limits),
        1 => mode().prop_map(Step::Mode),
        6 => (1..5_u64).prop_map(Step::Pass),
        8 => (1..25_u64).prop_map(Step::Pass),
        2 => (1..60_u64).prop_map(Step::Block),
        2 => (1..60_u64).prop_map(Step::Veto),
    ]
}

/// The machine and the model, driven side by side as a session task drives the machine.
struct Pair {
    base: Moment,
    now: u64,
    machine: Lifecycle,
    model: Model,
    veto: Option<u64>,
}

impl Pair {
    fn new(mode: Mode, limits: Limits) -> Self {
        let base = Moment::of_nanos(0);
        Self { base, now: 0, machine: Lifecycle::new(base, mode), model: Model::new(0, mode, limits), veto: None }
    }

    fn at(&self, millis: u64) -> Moment {
        self.base.checked_add(Duration::from_millis(millis)).unwrap()
    }

    fn load(&self) -> Load {
        Load { busy: self.model.busy, awaits_store: false, at_rest: self.model.at_rest() }
    }

    fn apply(&mut self, step: &Step) {
        let now = self.at(self.now);
        match *step {
            Step::Activity => {
                self.machine.activity(now);
                self.model.active = self.now;
            }
            Step::LateActivity(ago) => {
                let at = self.now.saturating_sub(ago);
                self.machine.activity(self.at(at));
                self.model.active = self.model.active.max(at);
            }
            Step::Message => {
                self.machine.message(now);
                self.model.message(self.now);
            }
            Step::Progress => {
                self.machine.progress(now);
                self.model.progress = self.now;
            }
            // Work begins and ends with progress, or it would not be known.
            Step::Busy(busy) => {
                if busy != self.model.busy {
                    self.machine.progress(now);
                    (self.model.progress, self.model.busy) = (self.now, busy);
                }
            }
            Step::Mail(mail) => self.model.mail = mail,
            Step::Close(reason, after) => {
                let until = after.map(|after| self.now + after);
                self.drain(reason, until);
            }
            Step::Limits(limits) => self.model.limits = limits,
            Step::Mode(mode) => {
                self.machine.set_mode(mode);
                self.model.set_mode(mode);
            }
            Step::Pass(millis) => self.pass(millis),
            Step::Block(millis) => self.now += millis,
            Step::Veto(by) => self.veto = Some(by),
        }
        self.ask();
    }

    fn drain(&mut self, reason: EndReason, until: Option<u64>) {
        self.machine.drain(reason, until.map(|until| self.at(until)));
        self.model.drain(reason, until);
    }

    /// Sleeps as the machine asks, and asks it each time it wakes.
    fn pass(&mut self, millis: u64) {
        let end = self.now + millis;
        while let Some(wake) = self.wake_at().filter(|wake| *wake <= end) {
            self.now = wake;
            self.ask();
        }
        self.now = end;
    }

    fn wake_at(&self) -> Option<u64> {
        if self.model.stage == Stage::Ended {
            return None;
        }
        let wake = self.machine.wake_at(self.load(), &self.model.limits.effective());
        let wake = wake.map(|at| u64::try_from(at.saturating_since(self.base).as_millis()).unwrap());
        if let Some(due) = self.model.next_due(self.now) {
            assert!(wake.is_some_and(|wake| wake <= due), "due at {due}, woken at {wake:?}");
        }
        assert!(wake.is_none_or(|wake| wake > self.now), "at {} and at rest, yet woken at {wake:?}", self.now);
        wake
    }

    /// Does all that is due now.
    fn ask(&mut self) {
        for _ in 0..20 {
            if self.model.stage == Stage::Ended || !self.act() {
                self.compare();
                return;
            }
        }
        panic!("it never comes to rest");
    }

    /// One question and its consequence. False if there was nothing to do.
    fn act(&mut self) -> bool {
        let limits = self.model.limits;
        let action = self.machine.next(self.at(self.now), self.load(), &limits.effective());
        let answer = match action {
            Action::Rest => Due::Nothing,
            Action::Warn { reason, remaining } => Due::Warn(reason, u64::try_from(remaining.as_millis()).unwrap()),
            Action::Consult => Due::Consult,
            Action::Drain { reason } => Due::Drain(reason),
            Action::WouldEnd { reason, busy } => Due::WouldEnd(reason, busy),
            Action::End { reason, hard } => Due::End(reason, hard),
        };
        let due = self.model.due(self.now);
        assert!(due.contains(&answer), "at {}: {answer:?} instead of {due:?} in {:?}", self.now, self.model);
        let until = limits.drain.map(|drain| self.now + drain);
        match answer {
            Due::Nothing => return false,
            Due::Warn(reason, remaining) => {
                self.model.warned.insert(reason, self.now + remaining);
            }
            Due::Consult => match self.veto.take() {
                Some(by) => {
                    self.machine.extend(self.at(self.now), Duration::from_millis(by));
                    self.model.extended_to = self.now + by;
                }
                None => self.drain(EndReason::IdleTimeout, until),
            },
            Due::Drain(EndReason::Stuck) => self.drain(EndReason::Stuck, Some(self.now)),
            Due::Drain(reason) => self.drain(reason, until),
            Due::WouldEnd(..) => self.model.stage = Stage::Over,
            Due::End(..) => self.model.stage = Stage::Ended,
        }
        true
    }

    fn compare(&self) {
        if self.model.stage == Stage::Ended {
            return;
        }
        let reason = match self.model.stage {
            Stage::Draining { reason, .. } => Some(reason),
            _ => None,
        };
        assert_eq!(self.machine.end_reason(), reason);
        assert_eq!(self.machine.is_draining(), reason.is_some());
        assert_eq!(self.machine.last_activity(), self.at(self.model.active));
        let expires = self.machine.expires_at(self.load(), &self.model.limits.effective());
        assert_eq!(expires, self.model.expires_at().map(|at| self.at(at)));
    }
}

proptest! {
    #[test]
    fn every_action_comes_when_the_design_says(
        mode in mode(),
        limits in limits(),
        steps in proptest::collection::vec(step(), 1..80),
    ) {
        let mut pair = Pair::new(mode, limits);
        for step in &steps {
            pair.apply(step);
            if pair.model.stage == Stage::Ended {
                break;
            }
            pair.wake_at();
        }
    }

    /// With nothing in flight, no veto and no stop of its own, what observe mode counts is what enforcing ends.
    #[test]
    fn virtual_lives_are_the_lives_of_an_enforcing_registry(
        limits in limits(),
        traffic in proptest::collection::vec((1..60_u64, any::<bool>()), 1..40),
    ) {
        assert_eq!(lives(Mode::Observe, limits, &traffic), lives(Mode::Enforce, limits, &traffic));
    }
}

/// When which session of a key would end, or does: each message finds it, or opens it anew. The traffic is how long
/// after the last a message comes, and whether it counts.
fn lives(mode: Mode, limits: Limits, traffic: &[(u64, bool)]) -> Vec<(u64, EndReason)> {
    let base = Moment::of_nanos(0);
    let at = |millis| base.checked_add(Duration::from_millis(millis)).unwrap();
    let idle = Load { busy: false, awaits_store: false, at_rest: true };
    let limits = limits.effective();
    let mut now = 0;
    let mut ends = Vec::new();
    let mut session: Option<Lifecycle> = None;
    for (pause, counts) in traffic.iter().copied().chain([(HORIZON, false)]) {
        let next = now + pause;
        while let Some(wake) = session.as_ref().and_then(|machine| machine.wake_at(idle, &limits)) {
            if wake >= at(next) {
                break;
            }
            now = u64::try_from(wake.saturating_since(base).as_millis()).unwrap();
            if let Some(reason) = end_of_life(&mut session, wake, &limits) {
                ends.push((now, reason));
            }
        }
        now = next;
        let machine = session.get_or_insert_with(|| Lifecycle::new(at(now), mode));
        machine.message(at(now));
        if counts {
            machine.activity(at(now));
        }
    }
    ends
}

/// Does all that is due. Tells whether a life, real or virtual, has ended.
fn end_of_life(session: &mut Option<Lifecycle>, now: Moment, limits: &EffectiveLimits) -> Option<EndReason> {
    let idle = Load { busy: false, awaits_store: false, at_rest: true };
    loop {
        let machine = session.as_mut()?;
        match machine.next(now, idle, limits) {
            Action::Rest => return None,
            Action::Warn { .. } => {}
            Action::Consult => machine.drain(EndReason::IdleTimeout, None),
            Action::Drain { reason } => machine.drain(reason, None),
            Action::WouldEnd { reason, busy: false } => return Some(reason),
            Action::End { reason, hard: false } => {
                *session = None;
                return Some(reason);
            }
            other => panic!("{other:?} with nothing in flight"),
        }
    }
}

/// Limits move the deadline, and news of an activity moves it back.
#[test]
fn a_deadline_that_comes_back_is_another_approach() {
    let limits = |idle| Limits { idle: Some(idle), age: None, busy: None, warn: Some(6), drain: None };
    let mut pair = Pair::new(Mode::Enforce, limits(23));
    for step in [Step::Pass(17), Step::Limits(limits(21)), Step::LateActivity(15)] {
        pair.apply(&step);
    }
    assert_eq!(pair.model.warned, [(EndReason::IdleTimeout, 23)].into());
}

/// Durations that no clock can add are as good as never, and nothing overflows.
#[test]
fn limits_beyond_the_end_of_the_clock_are_never() {
    let now = Moment::of_nanos(0);
    let far = Some(Duration::MAX);
    let limits = EffectiveLimits {
        idle_timeout: far,
        max_age: far,
        max_busy: far,
        warn_before: Some(Duration::from_secs(1)),
        drain_timeout: far,
        ..EffectiveLimits::default()
    };
    for busy in [false, true] {
        let load = Load { busy, awaits_store: false, at_rest: !busy };
        let mut machine = Lifecycle::new(now, Mode::Enforce);
        assert_eq!(machine.next(now, load, &limits), Action::Rest);
        assert_eq!(machine.wake_at(load, &limits), None);
        assert_eq!(machine.expires_at(load, &limits), None);
    }

    let day = Duration::from_secs(86_400);
    let limits = EffectiveLimits { idle_timeout: Some(day), max_age: None, ..limits };
    let idle = Load { busy: false, awaits_store: false, at_rest: true };
    let mut machine = Lifecycle::new(now, Mode::Enforce);
    let tomorrow = now.checked_add(day).unwrap();
    assert_eq!(machine.next(tomorrow, idle, &limits), Action::Consult);
    machine.extend(tomorrow, Duration::MAX);
    assert_eq!(machine.next(now.checked_add(1_000 * day).unwrap(), idle, &limits), Action::Rest);
}
