//! One incarnation, and its deadlines by section 4 of the design.

use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use session_actors::EndReason;

use super::{
    model::{Instant, Mail, Name, Work},
    rules::{Own, Rules, Times},
    session::What,
};

#[derive(Debug)]
pub struct Life {
    pub name: Name,
    pub opened: Instant,
    /// Start of the life that max age counts from: in observe mode a virtual one.
    born: Instant,
    pub active: Instant,
    pub progress: Instant,
    pub extended_to: Instant,
    pub warned: BTreeSet<(EndReason, Instant)>,
    /// Observe mode: this virtual life is over, the next has not begun.
    pub over: bool,
    pub draining: Option<(EndReason, Option<Instant>)>,
    pub times: Times,
    pub own: Option<Own>,
    pub mailbox: VecDeque<Mail>,
    pub work: Vec<Work>,
    pub handled: u64,
    pub extensions: VecDeque<Duration>,
}

fn after(at: Instant, millis: Option<u64>) -> Option<Instant> {
    millis.map(|millis| at + Duration::from_millis(millis))
}

impl Life {
    pub fn new(name: Name, mailbox: VecDeque<Mail>, rules: &Rules, now: Instant) -> Self {
        Self {
            name,
            opened: now,
            born: now,
            active: now,
            progress: now,
            extended_to: Instant::ZERO,
            warned: BTreeSet::new(),
            over: false,
            draining: None,
            times: rules.times,
            own: None,
            mailbox,
            work: Vec::new(),
            handled: 0,
            extensions: VecDeque::new(),
        }
    }

    /// An `AtomicResponse` stands before the mailbox.
    pub fn is_blocked(&self) -> bool {
        self.work.iter().any(|work| work.what == What::Atomic)
    }

    pub fn work_of(&self, id: u64) -> Option<usize> {
        self.work.iter().position(|work| work.id == id)
    }

    /// After a virtual life that is over, what comes in begins the next.
    pub fn begin_again(&mut self, now: Instant) {
        if self.over {
            self.over = false;
            (self.born, self.active, self.extended_to) = (now, now, Instant::ZERO);
            self.warned.clear();
        }
    }

    pub fn set_limits(&mut self, own: Option<Own>, rules: &Rules) {
        if let Some(times) = own.unwrap_or_default().over(rules.times) {
            (self.own, self.times) = (own, times);
        }
    }

    /// What the session set itself wins, also where it no longer fits.
    pub fn follow(&mut self, rules: &Rules) {
        if let Some(times) = self.own.unwrap_or_default().over(rules.times) {
            self.times = times;
        }
        if !rules.observe {
            // What passed while it was only observed is due at the switch.
            self.over = false;
        }
    }

    fn idle_at(&self) -> Option<Instant> {
        let at = after(self.active, self.times.idle.filter(|_| self.work.is_empty()))?;
        Some(at.max(self.extended_to))
    }

    fn age_at(&self) -> Option<Instant> {
        after(self.born, self.times.age)
    }

    pub fn stuck_at(&self) -> Option<Instant> {
        after(self.progress, self.times.busy.filter(|_| !self.work.is_empty()))
    }

    /// The nearer of idle and age; on a tie the one that cannot be vetoed.
    fn nearer(&self) -> Option<(Instant, EndReason)> {
        let idle = self.idle_at().map(|at| (at, EndReason::IdleTimeout));
        let age = self.age_at().map(|at| (at, EndReason::MaxAge));
        [age, idle].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    pub fn due(&self, now: Instant) -> Option<EndReason> {
        if self.over {
            return None;
        }
        let nearer = self.nearer().filter(|(at, _)| *at <= now).map(|(_, reason)| reason);
        nearer.or(self.stuck_at().filter(|at| *at <= now).map(|_| EndReason::Stuck))
    }

    fn warns_at(&self) -> Option<Instant> {
        let (deadline, reason) = self.nearer()?;
        let before = Duration::from_millis(self.times.warn?);
        (!self.warned.contains(&(reason, deadline))).then(|| deadline.saturating_sub(before))
    }

    pub fn warning(&self, now: Instant) -> Option<(EndReason, Instant)> {
        let (deadline, reason) = self.nearer()?;
        self.warns_at().filter(|at| *at <= now && !self.over).map(|_| (reason, deadline))
    }

    /// When something is due next, if nothing more happens.
    pub fn next_due(&self, observe: bool) -> Option<Instant> {
        match self.draining {
            Some((_, until)) => [until, self.stuck_at()].into_iter().flatten().min(),
            None if self.over => None,
            None => {
                let warns = self.warns_at().filter(|_| !observe);
                [self.nearer().map(|(at, _)| at), self.stuck_at(), warns].into_iter().flatten().min()
            }
        }
    }

    /// When it will end if nothing more happens.
    pub fn expires_at(&self) -> Option<Instant> {
        match self.draining {
            Some((_, until)) => until,
            None => self.nearer().map(|(at, _)| at),
        }
    }
}
