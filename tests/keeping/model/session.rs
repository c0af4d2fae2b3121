//! What the model knows of one session.

use std::time::Duration;

use session_actors::{Checkpoint, EffectiveLimits, EndReason, Policy, SessionId};
use tokio::time::Instant;

use super::step::{own, policy};

/// Later than this a deadline is missed; the timer's ticks are milliseconds, as are the times in the store.
pub const SLACK: Duration = Duration::from_millis(60);

#[derive(Debug, Clone)]
pub struct Known {
    pub id: SessionId,
    /// What it was given, and when.
    pub given: Vec<(u64, Instant)>,
    /// So many of these must outlive a crash.
    pub durable: usize,
    /// There must be a record of it.
    pub recorded: bool,
    pub handled: u64,
    pub opened: Instant,
    pub active: Instant,
    pub extended: Option<Instant>,
    pub own: bool,
    pub in_memory: bool,
    pub resident: bool,
    /// What it will ask for.
    pub extends: bool,
    /// It ends now, as this, or nobody asked for it.
    pub ending: Option<EndReason>,
    pub damaged: bool,
}

impl Known {
    pub fn new(id: SessionId, now: Instant) -> Self {
        Self {
            id,
            given: Vec::new(),
            durable: 0,
            recorded: false,
            handled: 0,
            opened: now,
            active: now,
            extended: None,
            own: false,
            in_memory: true,
            resident: false,
            extends: false,
            ending: None,
            damaged: false,
        }
    }

    pub fn numbers(&self) -> Vec<u64> {
        self.given.iter().map(|(number, _)| *number).collect()
    }

    pub fn limits(&self, number: usize) -> EffectiveLimits {
        let mut limits = Policy::new(policy(number)).get_limits();
        if self.own {
            let own = Policy::new(own()).get_limits();
            (limits.idle_timeout, limits.passivate_after) = (own.idle_timeout, own.passivate_after);
        }
        limits
    }

    /// When it ends if nobody comes, and as what.
    pub fn ends(&self, number: usize) -> Option<(Instant, EndReason)> {
        let limits = self.limits(number);
        let idle = limits
            .idle_timeout
            .map(|idle| self.active + idle)
            .map(|at| self.extended.map_or(at, |until| until.max(at)));
        let age = limits.max_age.map(|age| self.opened + age);
        let idle = idle.map(|at| (at, EndReason::IdleTimeout));
        let age = age.map(|at| (at, EndReason::MaxAge));
        [age, idle].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// When it leaves memory if nobody comes.
    pub fn rests(&self, number: usize) -> Option<Instant> {
        let after = self.limits(number).passivate_after.filter(|_| !self.resident)?;
        Some(self.extended.map_or(self.active + after, |until| until.max(self.active + after)))
    }

    pub fn checkpoint(&self, number: usize) -> Checkpoint {
        self.limits(number).checkpoint
    }

    /// How much a crash must leave at this moment, with limits that hold `since` then.
    pub fn must_be_left(&self, number: usize, since: Instant, now: Instant, healthy: bool) -> usize {
        let Checkpoint::Every(interval) = self.checkpoint(number) else { return self.durable };
        let over = |at: Instant| self.in_memory && healthy && at.max(since) + interval + SLACK < now;
        self.durable.max(self.given.iter().filter(|(_, at)| over(*at)).count())
    }
}
