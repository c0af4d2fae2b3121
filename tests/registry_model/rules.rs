//! Limits and policies as the model writes them: whole milliseconds, `None` for never.

use std::time::Duration;

use session_actors::{EffectiveLimits, Limits, Mode, OnFull, Policy};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    pub idle: Option<u64>,
    pub age: Option<u64>,
    pub busy: Option<u64>,
    pub warn: Option<u64>,
    pub drain: Option<u64>,
}

impl Times {
    pub fn limits(&self) -> Limits {
        Limits::new()
            .idle_timeout(millis(self.idle))
            .max_age(millis(self.age))
            .max_busy(millis(self.busy))
            .warn_before(millis(self.warn))
            .drain_timeout(millis(self.drain))
    }

    pub fn of(limits: &EffectiveLimits) -> Self {
        let whole = |limit: Option<Duration>| limit.map(|limit| u64::try_from(limit.as_millis()).unwrap());
        Self {
            idle: whole(limits.idle_timeout),
            age: whole(limits.max_age),
            busy: whole(limits.max_busy),
            warn: whole(limits.warn_before),
            drain: whole(limits.drain_timeout),
        }
    }

    /// A warning has to come before what it warns of.
    fn make_sense(&self) -> bool {
        let below = |limit: Option<u64>| limit.is_none_or(|limit| self.warn.is_none_or(|warn| warn < limit));
        below(self.idle) && below(self.age)
    }
}

fn millis(millis: Option<u64>) -> Option<Duration> {
    millis.map(Duration::from_millis)
}

/// Limits that a session sets for itself; what it leaves out is the policy's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Own {
    pub idle: Option<Option<u64>>,
    pub age: Option<Option<u64>>,
    pub busy: Option<Option<u64>>,
    pub warn: Option<Option<u64>>,
}

impl Own {
    pub fn limits(&self) -> Limits {
        let mut limits = Limits::new();
        if let Some(idle) = self.idle {
            limits = limits.idle_timeout(millis(idle));
        }
        if let Some(age) = self.age {
            limits = limits.max_age(millis(age));
        }
        if let Some(busy) = self.busy {
            limits = limits.max_busy(millis(busy));
        }
        if let Some(warn) = self.warn {
            limits = limits.warn_before(millis(warn));
        }
        limits
    }

    /// `None` if they contradict each other.
    pub fn over(&self, base: Times) -> Option<Times> {
        let times = Times {
            idle: self.idle.unwrap_or(base.idle),
            age: self.age.unwrap_or(base.age),
            busy: self.busy.unwrap_or(base.busy),
            warn: self.warn.unwrap_or(base.warn),
            drain: base.drain,
        };
        times.make_sense().then_some(times)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    pub times: Times,
    pub cap: Option<usize>,
    pub evict: bool,
    pub observe: bool,
}

impl Rules {
    pub fn policy(&self) -> Policy {
        Policy::new(self.times.limits())
            .max_sessions(self.cap)
            .on_full(if self.evict { OnFull::EvictIdle } else { OnFull::Reject })
            .mode(if self.observe { Mode::Observe } else { Mode::Enforce })
    }

    pub fn make_sense(&self) -> bool {
        self.times.make_sense()
    }

    /// An observing registry refuses nobody.
    pub fn cap(&self) -> Option<usize> {
        self.cap.filter(|_| !self.observe)
    }
}
