//! The life of a session in whole milliseconds, as plainly as possible: the facts, and every deadline listed each time
//! it is asked.

use std::{collections::BTreeMap, time::Duration};

use crate::{event::EndReason, limits::EffectiveLimits, policy::Mode};

/// Beyond every deadline that limits of these tests can set.
pub(super) const HORIZON: u64 = 200;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Serving,
    /// Observe mode: this virtual life is over, the next has not begun.
    Over,
    Draining {
        reason: EndReason,
        until: Option<u64>,
    },
    Ended,
}

#[derive(Debug, Clone)]
pub(super) struct Model {
    pub(super) opened: u64,
    pub(super) active: u64,
    pub(super) progress: u64,
    pub(super) extended_to: u64,
    /// The deadline of each kind that was warned of last: one that has not moved is still the same approach, and one that
    /// has moved and come back is another.
    pub(super) warned: BTreeMap<EndReason, u64>,
    pub(super) stage: Stage,
    pub(super) mode: Mode,
    pub(super) limits: Limits,
    pub(super) busy: bool,
    pub(super) mail: bool,
}

/// Limits in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) idle: Option<u64>,
    pub(super) age: Option<u64>,
    pub(super) busy: Option<u64>,
    pub(super) warn: Option<u64>,
    pub(super) drain: Option<u64>,
}

impl Limits {
    pub(super) fn effective(&self) -> EffectiveLimits {
        let limit = |millis: Option<u64>| millis.map(Duration::from_millis);
        EffectiveLimits {
            idle_timeout: limit(self.idle),
            max_age: limit(self.age),
            max_busy: limit(self.busy),
            warn_before: limit(self.warn),
            drain_timeout: limit(self.drain),
            ..EffectiveLimits::default()
        }
    }
}

/// What the model says must be done, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    Warn(EndReason, u64),
    Consult,
    Drain(EndReason),
    WouldEnd(EndReason, bool),
    End(EndReason, bool),
}

impl Model {
    pub(super) fn new(now: u64, mode: Mode, limits: Limits) -> Self {
        Self {
            opened: now,
            active: now,
            progress: now,
            extended_to: 0,
            warned: BTreeMap::new(),
            stage: Stage::Serving,
            mode,
            limits,
            busy: false,
            mail: false,
        }
    }

    pub(super) fn at_rest(&self) -> bool {
        !self.busy && !self.mail
    }

    /// A busy session is not idle.
    pub(super) fn idle_deadline(&self) -> Option<u64> {
        let idle = self.limits.idle.filter(|_| !self.busy)?;
        Some((self.active + idle).max(self.extended_to))
    }

    pub(super) fn age_deadline(&self) -> Option<u64> {
        Some(self.opened + self.limits.age?)
    }

    /// Only a busy session can be stuck.
    pub(super) fn stuck_deadline(&self) -> Option<u64> {
        Some(self.progress + self.limits.busy.filter(|_| self.busy)?)
    }

    /// The nearer of idle and age; on a tie the one that cannot be vetoed.
    pub(super) fn nearer(&self) -> Option<(u64, EndReason)> {
        let idle = self.idle_deadline().map(|at| (at, EndReason::IdleTimeout));
        let age = self.age_deadline().map(|at| (at, EndReason::MaxAge));
        [age, idle].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// All that may be done now. More than one answer only where two deadlines have passed unseen, because the thread
    /// was blocked: then being stuck and being old are equally true.
    pub(super) fn due(&self, now: u64) -> Vec<Due> {
        let passed = |at: Option<u64>| at.is_some_and(|at| at <= now);
        let stuck = passed(self.stuck_deadline());
        match self.stage {
            Stage::Ended | Stage::Over => vec![Due::Nothing],
            Stage::Draining { reason, .. } if self.at_rest() => vec![Due::End(reason, false)],
            Stage::Draining { reason, until } if stuck || passed(until) => vec![Due::End(reason, true)],
            Stage::Draining { .. } => vec![Due::Nothing],
            Stage::Serving => {
                let nearer = self.nearer().filter(|(at, _)| *at <= now).map(|(_, reason)| reason);
                let reasons: Vec<_> = nearer.into_iter().chain(stuck.then_some(EndReason::Stuck)).collect();
                if reasons.is_empty() {
                    return vec![self.warning(now)];
                }
                let say = |reason| match (self.mode, reason) {
                    (Mode::Observe, reason) => Due::WouldEnd(reason, self.busy),
                    (Mode::Enforce, EndReason::IdleTimeout) => Due::Consult,
                    (Mode::Enforce, reason) => Due::Drain(reason),
                };
                reasons.into_iter().map(say).collect()
            }
        }
    }

    pub(super) fn warning(&self, now: u64) -> Due {
        let (Some((at, reason)), Some(before)) = (self.nearer(), self.limits.warn) else { return Due::Nothing };
        let told = self.warned.get(&reason) == Some(&at);
        if self.mode == Mode::Enforce && !told && now + before >= at {
            Due::Warn(reason, at - now)
        } else {
            Due::Nothing
        }
    }

    /// The instant at which something is due if nothing more happens.
    pub(super) fn next_due(&self, now: u64) -> Option<u64> {
        (now..=now + HORIZON).find(|at| self.due(*at) != [Due::Nothing])
    }

    pub(super) fn expires_at(&self) -> Option<u64> {
        match self.stage {
            Stage::Draining { until, .. } => until,
            _ => self.nearer().map(|(at, _)| at),
        }
    }

    pub(super) fn message(&mut self, now: u64) {
        if self.stage == Stage::Over {
            let Self { busy, mail, progress, .. } = *self;
            *self = Self { busy, mail, progress, ..Self::new(now, self.mode, self.limits) };
        }
    }

    pub(super) fn set_mode(&mut self, mode: Mode) {
        self.mode = mode;
        if mode == Mode::Enforce && self.stage == Stage::Over {
            // What has passed while it was only observed is due at the switch.
            self.stage = Stage::Serving;
        }
    }

    pub(super) fn drain(&mut self, reason: EndReason, until: Option<u64>) {
        self.stage = match self.stage {
            Stage::Draining { reason, until: Some(old) } => {
                Stage::Draining { reason, until: Some(until.map_or(old, |until| until.min(old))) }
            }
            Stage::Draining { reason, until: None } => Stage::Draining { reason, until },
            _ => Stage::Draining { reason, until },
        };
    }
}
