//! The life of one session as a pure machine: instants and observations go in, actions come out.
//!
//! It knows no actix, no task and no clock. Whoever drives it (the session task) tells it what
//! happened and what time it is, asks [`Lifecycle::next`] what to do, and does that. All deadlines
//! are computed anew from stored instants at every question, so a timer is only ever a hint.

use std::time::Duration;

use crate::{event::EndReason, limits::EffectiveLimits, moment::Moment, policy::Mode};

/// Where a session stands in its life. Exits are listed with each state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Serving. Leaves to `Draining` (any reason), or to `Ghost` in observe mode.
    Active,
    /// Observe mode only: its virtual life is over. Leaves to `Active` with the next message or
    /// when the mode becomes `enforce`, to `Draining` by an explicit end.
    Ghost,
    /// Out of the directory, finishing what it has. Leaves only to its end.
    Draining(EndReason),
}

/// What the session has on its hands at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Load {
    /// A reply is pending, a hold is alive or a `ctx.wait` is running.
    pub(crate) busy: bool,
    /// That is nothing but replies that wait for the store, which are made: no work is stuck.
    pub(crate) awaits_store: bool,
    /// Nothing in flight and the mailbox was seen empty.
    pub(crate) at_rest: bool,
}

/// What the driver has to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Nothing is due; sleep until [`Lifecycle::wake_at`].
    Rest,
    /// A deadline is near: tell the session and the watchers. Given once per approach.
    Warn { reason: EndReason, remaining: Duration },
    /// The idle deadline has passed: ask the session, then call [`Lifecycle::extend`] or
    /// [`Lifecycle::drain`].
    Consult,
    /// A deadline that nobody can veto has passed: call [`Lifecycle::drain`].
    Drain { reason: EndReason },
    /// Observe mode: a deadline passed. Given once per virtual life.
    WouldEnd { reason: EndReason, busy: bool },
    /// End now. `hard` means that work in flight is cut.
    End { reason: EndReason, hard: bool },
}

/// The stored instants of one session, and the stage it is in.
///
/// In the order in which a message needs them: see `task.rs`.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Lifecycle {
    last_activity: Moment,
    /// The deadlines that have been warned of, so that one approach warns once. Two, because a
    /// session that is busy for a moment nears the other one meanwhile.
    warned_of_idle: Option<Moment>,
    stage: Stage,
    mode: Mode,
    warned_of_age: Option<Moment>,
    /// Start of the life that max age counts from: in observe mode, of the virtual life.
    began: Moment,
    /// When a piece of work last began or ended.
    last_progress: Moment,
    /// While serving: granted by `Session::expiring`; never shortens the ordinary deadline. While
    /// draining: when it is ended hard.
    until: Option<Moment>,
}

impl Lifecycle {
    pub(crate) fn new(opened: Moment, mode: Mode) -> Self {
        Self {
            last_activity: opened,
            warned_of_idle: None,
            stage: Stage::Active,
            mode,
            warned_of_age: None,
            began: opened,
            last_progress: opened,
            until: None,
        }
    }

    /// Something that counts as activity happened at `at`. Late news never moves the clock back.
    /// Answers when the last activity was.
    #[inline]
    pub(crate) fn activity(&mut self, at: Moment) -> Moment {
        self.last_activity = self.last_activity.max(at);
        self.last_activity
    }

    /// A message (counted or passive) was handled, or the session was opened again. In observe
    /// mode this begins the next virtual life, as an enforcing registry would have opened a new
    /// session for it. True if it did.
    #[inline]
    pub(crate) fn message(&mut self, now: Moment) -> bool {
        let begins = self.stage == Stage::Ghost;
        if begins {
            self.began = now;
            self.last_activity = self.began;
            self.until = None;
            self.warned_of_idle = None;
            self.warned_of_age = None;
            self.stage = Stage::Active;
        }
        begins
    }

    /// A piece of work began or ended.
    pub(crate) fn progress(&mut self, now: Moment) {
        self.last_progress = now;
    }

    /// `Session::expiring` asked for more time.
    pub(crate) fn extend(&mut self, now: Moment, by: Duration) {
        // Beyond the end of the clock is as late as there is.
        self.until = Some(now.checked_add(by).unwrap_or(Moment::LAST));
    }

    /// Somebody outside asked for more time. By how much it got it; `None` if it had that much, or drains.
    pub(crate) fn grant(&mut self, now: Moment, until: Moment) -> Option<Duration> {
        if self.is_draining() || self.until.is_some_and(|before| before >= until) || until <= now {
            return None;
        }
        self.until = Some(until);
        Some(until.saturating_since(now))
    }

    /// It had been granted more time when it was saved.
    pub(crate) fn resume_extended(&mut self, until: Option<Moment>) {
        self.until = until;
    }

    /// Follows a change of policy. Deadlines that passed while only observed are due at once.
    pub(crate) fn set_mode(&mut self, mode: Mode) {
        self.mode = mode;
        if mode == Mode::Enforce && self.stage == Stage::Ghost {
            self.stage = Stage::Active;
        }
    }

    /// Begins the drain. The first reason wins; a later call only brings the hard end nearer.
    pub(crate) fn drain(&mut self, reason: EndReason, until: Option<Moment>) {
        self.until = if self.is_draining() {
            earlier(self.until, until)
        } else {
            self.stage = Stage::Draining(reason);
            until
        };
    }

    #[inline]
    pub(crate) fn is_draining(&self) -> bool {
        matches!(self.stage, Stage::Draining(_))
    }

    /// Why the session is draining, once it is.
    pub(crate) fn end_reason(&self) -> Option<EndReason> {
        match self.stage {
            Stage::Draining(reason) => Some(reason),
            Stage::Active | Stage::Ghost => None,
        }
    }

    pub(crate) fn last_activity(&self) -> Moment {
        self.last_activity
    }

    /// The end that no activity moves: max age, or the hard end of a drain.
    pub(crate) fn fixed_end(&self, limits: &EffectiveLimits) -> Option<Moment> {
        match self.stage {
            Stage::Draining(_) => self.until,
            Stage::Active | Stage::Ghost => self.age_deadline(limits),
        }
    }

    /// Until when `Session::expiring` has extended it.
    pub(crate) fn extended(&self) -> Option<Moment> {
        self.until.filter(|_| !self.is_draining())
    }

    /// Whether activity alone can bring something nearer than it was: after a warning the next
    /// approach has to be warned of again.
    #[inline]
    pub(crate) fn has_warned(&self) -> bool {
        self.warned_of_idle.is_some()
    }

    /// What is due at `now`. Ask again after every action until it answers `Rest` or `End`.
    pub(crate) fn next(&mut self, now: Moment, load: Load, limits: &EffectiveLimits) -> Action {
        let stuck = self.stuck_at(load, limits).is_some_and(|at| at <= now);
        match self.stage {
            Stage::Draining(reason) => {
                let until = self.until;
                if load.at_rest {
                    Action::End { reason, hard: false }
                } else if stuck || until.is_some_and(|until| until <= now) {
                    Action::End { reason, hard: true }
                } else {
                    Action::Rest
                }
            }
            Stage::Ghost => Action::Rest,
            Stage::Active => {
                let due = match self.nearest(load, limits) {
                    Some((at, reason)) if at <= now => Some(reason),
                    _ if stuck => Some(EndReason::Stuck),
                    _ => None,
                };
                match (due, self.mode) {
                    (Some(reason), Mode::Observe) => {
                        self.stage = Stage::Ghost;
                        Action::WouldEnd { reason, busy: load.busy }
                    }
                    (Some(EndReason::IdleTimeout), Mode::Enforce) => Action::Consult,
                    (Some(reason), Mode::Enforce) => Action::Drain { reason },
                    (None, Mode::Observe) => Action::Rest,
                    (None, Mode::Enforce) => self.warning(now, load, limits),
                }
            }
        }
    }

    /// When the driver has to ask again at the latest, if nothing else happens.
    pub(crate) fn wake_at(&self, load: Load, limits: &EffectiveLimits) -> Option<Moment> {
        let stuck = self.stuck_at(load, limits);
        match self.stage {
            Stage::Draining(_) => earlier(self.until, stuck),
            Stage::Ghost => None,
            Stage::Active => {
                let nearest = self.nearest(load, limits);
                let warn = match (nearest, limits.warn_before, self.mode) {
                    (Some((at, reason)), Some(before), Mode::Enforce) if !self.has_warned_of(at, reason) => {
                        at.checked_sub(before)
                    }
                    _ => None,
                };
                earlier(earlier(nearest.map(|(at, _)| at), warn), stuck)
            }
        }
    }

    /// When the session will end if nothing more happens: the nearer of idle and max age.
    pub(crate) fn expires_at(&self, load: Load, limits: &EffectiveLimits) -> Option<Moment> {
        match self.stage {
            Stage::Draining(_) => self.until,
            Stage::Active | Stage::Ghost => self.nearest(load, limits).map(|(at, _)| at),
        }
    }

    /// When it came that the session is to end as this.
    pub(crate) fn due_at(&self, reason: EndReason, load: Load, limits: &EffectiveLimits) -> Option<Moment> {
        match reason {
            EndReason::Stuck => self.stuck_at(load, limits),
            EndReason::MaxAge => self.age_deadline(limits),
            _ => self.nearest(load, limits).map(|(at, _)| at),
        }
    }

    /// Whether max age has come. It may be later than the idle deadline, which can be called off
    /// again and again.
    pub(crate) fn is_too_old(&self, now: Moment, limits: &EffectiveLimits) -> bool {
        self.age_deadline(limits).is_some_and(|at| at <= now)
    }

    fn age_deadline(&self, limits: &EffectiveLimits) -> Option<Moment> {
        limits.max_age.and_then(|limit| self.began.checked_add(limit))
    }

    fn has_warned_of(&self, deadline: Moment, reason: EndReason) -> bool {
        let warned = if reason == EndReason::MaxAge { self.warned_of_age } else { self.warned_of_idle };
        warned == Some(deadline)
    }

    fn warning(&mut self, now: Moment, load: Load, limits: &EffectiveLimits) -> Action {
        let (Some((at, reason)), Some(before)) = (self.nearest(load, limits), limits.warn_before) else {
            return Action::Rest;
        };
        let remaining = at.saturating_since(now);
        if remaining > before || self.has_warned_of(at, reason) {
            return Action::Rest;
        }
        match reason {
            EndReason::MaxAge => self.warned_of_age = Some(at),
            _ => self.warned_of_idle = Some(at),
        }
        Action::Warn { reason, remaining }
    }

    /// The nearer of the idle and the max-age deadline. A busy session has no idle deadline. On a
    /// tie max age wins, because nobody can veto it.
    fn nearest(&self, load: Load, limits: &EffectiveLimits) -> Option<(Moment, EndReason)> {
        let idle = if load.busy {
            None
        } else {
            limits
                .idle_timeout
                .and_then(|limit| self.last_activity.checked_add(limit))
                .map(|at| self.until.map_or(at, |until| until.max(at)))
        };
        let age = self.age_deadline(limits);
        match (idle, age) {
            (Some(idle), Some(age)) if idle < age => Some((idle, EndReason::IdleTimeout)),
            (Some(idle), None) => Some((idle, EndReason::IdleTimeout)),
            (_, Some(age)) => Some((age, EndReason::MaxAge)),
            (None, None) => None,
        }
    }

    fn stuck_at(&self, load: Load, limits: &EffectiveLimits) -> Option<Moment> {
        let limit = limits.max_busy.filter(|_| load.busy && !load.awaits_store)?;
        self.last_progress.checked_add(limit)
    }
}

/// `None` is never.
pub(super) fn earlier(a: Option<Moment>, b: Option<Moment>) -> Option<Moment> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
