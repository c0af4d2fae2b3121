//! What must be, by the design: keys, incarnations, their mail and their work, without a clock and without tasks.
//!
//! Everything happens at an instant that the driver names: an operation at the instant it is carried out, a deadline at
//! the instant at which the registry acted on it, which the driver has checked to be right.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use session_actors::{EndReason, Unserved};

use super::{
    life::Life,
    rules::Rules,
    session::{Fail, Outcome, What},
};

/// One incarnation, numbered by the model.
pub type Name = usize;

/// Time since the registry was started.
pub type Instant = Duration;

/// An event that must come next for its key.
#[derive(Debug, Clone, PartialEq)]
pub enum Expected {
    Opened,
    Warned { reason: EndReason, deadline: Instant },
    Extended { by: Duration },
    Draining { reason: EndReason, in_flight: u32 },
    WouldEnd { reason: EndReason, busy: bool },
    Ended(Farewell),
    StartFailed,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Farewell {
    pub reason: EndReason,
    pub age: Duration,
    pub idle: Duration,
    pub handled: u64,
    pub cut: u32,
    pub handed_over: u64,
    pub dropped: u64,
    pub panic: Option<String>,
}

/// What whoever sent a message must have been told.
#[derive(Debug, Clone, PartialEq)]
pub enum Fate {
    Pending,
    Answered(Name),
    Unserved(Unserved),
    /// The mailbox was closed before.
    Closed,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Refusal {
    AtCapacity(usize),
    ShuttingDown,
}

#[derive(Debug, Clone)]
pub struct Mail {
    pub id: u64,
    pub what: What,
    pub passive: bool,
    /// Its caller has gone.
    pub abandoned: bool,
}

/// A reply in the making, or a hold.
#[derive(Debug, Clone)]
pub struct Work {
    pub id: u64,
    pub what: What,
    pub passive: bool,
    /// Its gate is open, but a `wait` stands before it.
    answered: bool,
}

/// Work that goes on without its session, and how that ended.
#[derive(Debug)]
pub struct Orphan {
    of: Name,
    work: Work,
    why: Unserved,
}

/// An incarnation that may not start yet.
#[derive(Debug, Default)]
pub struct Waiting {
    pub name: Name,
    pub mail: VecDeque<Mail>,
    closed: bool,
}

#[derive(Debug, Default)]
pub struct Key {
    pub live: Option<Life>,
    pub waiting: Option<Waiting>,
}

impl Key {
    fn is_used(&self) -> bool {
        self.live.is_some() || self.waiting.is_some()
    }

    /// What `open` and `send` lead to.
    pub fn route(&self) -> Option<Name> {
        let live = self.live.as_ref().filter(|life| life.draining.is_none());
        live.map(|life| life.name).or(self.waiting.as_ref().map(|waiting| waiting.name))
    }
}

/// How an incarnation comes to its end.
struct End {
    reason: EndReason,
    /// Cut by the limits: replies outside of the actor are cut as well.
    hard: bool,
    panic: Option<String>,
}

#[derive(Debug)]
pub struct Model {
    pub rules: Rules,
    pub keys: BTreeMap<String, Key>,
    names: Name,
    /// Begun, with its deadline.
    pub shutdown: Option<Option<Instant>>,
    pub fail: BTreeMap<String, Fail>,
    pub fates: BTreeMap<u64, Fate>,
    /// Work that outlives its session.
    pub orphans: Vec<Orphan>,
    pub expected: BTreeMap<String, VecDeque<(Name, Expected)>>,
    /// Messages in the order in which each key must have handled them.
    pub handled: Vec<(String, u64)>,
    pub refused: u64,
    /// Sessions that ended since the shutdown began, with nothing cut and with something cut.
    pub ended_since_shutdown: (usize, usize),
}

impl Model {
    pub fn new(rules: Rules, keys: &[&str]) -> Self {
        Self {
            rules,
            keys: keys.iter().map(|key| ((*key).to_owned(), Key::default())).collect(),
            names: 0,
            shutdown: None,
            fail: BTreeMap::new(),
            fates: BTreeMap::new(),
            orphans: Vec::new(),
            expected: BTreeMap::new(),
            handled: Vec::new(),
            refused: 0,
            ended_since_shutdown: (0, 0),
        }
    }

    pub fn used(&self) -> usize {
        self.keys.values().filter(|key| key.is_used()).count()
    }

    pub fn key(&mut self, key: &str) -> &mut Key {
        self.keys.get_mut(key).unwrap()
    }

    pub fn lives(&self) -> impl Iterator<Item = (&String, &Life)> {
        self.keys.iter().filter_map(|(key, state)| state.live.as_ref().map(|life| (key, life)))
    }

    fn emit(&mut self, key: &str, name: Name, event: Expected) {
        self.expected.entry(key.to_owned()).or_default().push_back((name, event));
    }

    /// Slow replies and holds that can be finished now.
    pub fn unfinished(&self) -> Vec<u64> {
        let live = self.lives().flat_map(|(_, life)| &life.work).filter(|work| !work.answered);
        live.chain(self.orphans.iter().map(|orphan| &orphan.work)).map(|work| work.id).collect()
    }

    /// Whether a panic of this work comes out at once; not if it stands behind a `wait`, with others.
    pub fn may_panic(&self, id: u64) -> bool {
        let blocked = |life: &Life| {
            life.is_blocked() && life.work.iter().any(|work| work.id == id && work.what == What::InContext)
        };
        !self.lives().any(|(_, life)| blocked(life))
    }

    /// Work that is a future, and messages that wait in mailboxes.
    pub fn outstanding(&self) -> (usize, usize) {
        let live = self.lives().flat_map(|(_, life)| &life.work);
        let futures = live.chain(self.orphans.iter().map(|orphan| &orphan.work)).filter(|work| work.what != What::Hold);
        let waiting = self.keys.values().filter_map(|key| key.waiting.as_ref()).map(|waiting| waiting.mail.len());
        let mail = self.lives().map(|(_, life)| life.mailbox.len()).chain(waiting).sum();
        (futures.count(), mail)
    }

    /// When something is due next, and for whom.
    pub fn next_due(&self) -> Option<(Instant, String)> {
        self.lives().filter_map(|(key, life)| Some((life.next_due(self.rules.observe)?, key.clone()))).min()
    }

    /// When a shutdown cuts what has outlived its session.
    pub fn orphans_due(&self) -> Option<Instant> {
        let any = self.orphans.iter().any(|orphan| orphan.work.what != What::Hold);
        self.shutdown.flatten().filter(|_| any)
    }

    pub fn cut_orphans(&mut self) {
        let cut: Vec<_> = self.orphans.extract_if(.., |orphan| orphan.work.what != What::Hold).collect();
        cut.into_iter().for_each(|orphan| self.tell(orphan.work.id, orphan.why));
    }

    fn new_name(&mut self) -> Name {
        self.names += 1;
        self.names
    }

    // ---- what callers do ----------------------------------------------------------------------

    /// Opens a key, if need be, and puts mail into the mailbox it leads to. `victim` is whom the registry evicted.
    pub fn enter(
        &mut self,
        key: &str,
        mail: Vec<Mail>,
        touch: bool,
        victim: Option<&str>,
        now: Instant,
    ) -> Result<Name, Refusal> {
        if self.shutdown.is_some() {
            return Err(Refusal::ShuttingDown);
        }
        let used = self.key(key).is_used();
        if !used && let Some(cap) = self.rules.cap().filter(|cap| self.used() >= *cap) {
            let Some(victim) = victim.filter(|_| self.used() == cap) else {
                assert_eq!(self.victims().len() * usize::from(self.used() == cap), 0, "it should have evicted");
                // Each message by itself.
                self.refused += mail.len().max(1) as u64;
                return Err(Refusal::AtCapacity(cap));
            };
            assert!(self.victims().contains(&victim), "{victim} was evicted instead of {:?}", self.victims());
            self.begin_drain(victim, EndReason::Evicted, now);
        }
        for mail in &mail {
            self.fates.insert(mail.id, Fate::Pending);
        }
        let name = match self.key(key).route() {
            Some(name) => name,
            None => self.new_name(),
        };
        let state = self.key(key);
        match (&mut state.live, &mut state.waiting) {
            (Some(life), _) if life.draining.is_none() => {
                if touch {
                    life.begin_again(now);
                    life.active = now;
                }
                life.mailbox.extend(mail);
                self.run(key, now);
                self.decide(key, now);
            }
            (Some(_), Some(waiting)) => waiting.mail.extend(mail),
            (Some(_), waiting @ None) => *waiting = Some(Waiting { name, mail: mail.into(), closed: false }),
            (None, _) => self.open(key, Waiting { name, mail: mail.into(), closed: false }, now),
        }
        Ok(name)
    }

    /// The longest-idle sessions that are not busy; more than one if they are equally so.
    fn victims(&self) -> Vec<&str> {
        let may_go = |life: &Life| life.draining.is_none() && life.work.is_empty();
        let idle: Vec<_> = self.lives().filter(|(_, life)| self.rules.evict && may_go(life)).collect();
        let oldest = idle.iter().map(|(_, life)| life.active).min();
        idle.iter().filter(|(_, life)| Some(life.active) == oldest).map(|(key, _)| key.as_str()).collect()
    }

    /// Mail for one incarnation by its address.
    pub fn enter_raw(&mut self, key: &str, name: Name, mail: Vec<Mail>, now: Instant) {
        let state = self.key(key);
        let live = state.live.as_mut().filter(|life| life.name == name).map(|life| &mut life.mailbox);
        let waiting = state.waiting.as_mut().filter(|waiting| waiting.name == name).map(|waiting| &mut waiting.mail);
        let ids: Vec<_> = mail.iter().map(|mail| mail.id).collect();
        let entered = live.or(waiting).map(|mailbox| mailbox.extend(mail)).is_some();
        let fate = if entered { Fate::Pending } else { Fate::Closed };
        self.fates.extend(ids.into_iter().map(|id| (id, fate.clone())));
        self.run(key, now);
        self.decide(key, now);
    }

    /// The caller of a message has gone.
    pub fn abandon(&mut self, id: u64) {
        for key in self.keys.values_mut() {
            let live = key.live.iter_mut().flat_map(|life| &mut life.mailbox);
            let waiting = key.waiting.iter_mut().flat_map(|waiting| &mut waiting.mail);
            live.chain(waiting).filter(|mail| mail.id == id).for_each(|mail| mail.abandoned = true);
        }
    }

    pub fn close(&mut self, key: &str, now: Instant) -> Option<Name> {
        let state = self.key(key);
        if let (Some(life), Some(waiting)) = (&state.live, &mut state.waiting) {
            assert!(life.draining.is_some());
            waiting.closed = true;
            return Some(waiting.name);
        }
        let name = state.live.as_ref()?.name;
        self.begin_drain(key, EndReason::Closed, now);
        Some(name)
    }

    pub fn set_rules(&mut self, rules: Rules, now: Instant) {
        for life in self.keys.values_mut().filter_map(|key| key.live.as_mut()) {
            life.follow(&rules);
        }
        self.rules = rules;
        for key in self.keys.keys().cloned().collect::<Vec<_>>() {
            self.decide(&key, now);
        }
    }

    pub fn shut_down(&mut self, deadline: Option<Instant>, now: Instant) {
        self.shutdown = Some(deadline);
        for key in self.keys.keys().cloned().collect::<Vec<_>>() {
            match self.key(&key).live.as_mut().and_then(|life| life.draining.as_mut()) {
                Some((_, until)) => *until = [*until, deadline].into_iter().flatten().min(),
                None => self.begin_drain(&key, EndReason::Shutdown, now),
            }
            self.decide(&key, now);
        }
    }

    /// The gate of a slow reply opens, or a hold is dropped.
    pub fn finish(&mut self, id: u64, outcome: Outcome, now: Instant) {
        if let Some(at) = self.orphans.iter().position(|orphan| orphan.work.id == id) {
            let Orphan { of, work, .. } = self.orphans.remove(at);
            self.reply(&work, of, outcome);
            return;
        }
        let of = |key: &&String| self.keys[*key].live.as_ref().is_some_and(|life| life.work_of(id).is_some());
        let Some(key) = self.keys.keys().find(of).cloned() else { return };
        self.finish_of(&key, id, outcome, now);
        self.run(&key, now);
        self.decide(&key, now);
    }

    // ---- what sessions do ---------------------------------------------------------------------

    fn open(&mut self, key: &str, waiting: Waiting, now: Instant) {
        let Waiting { name, mail, closed } = waiting;
        let fail = self.fail.remove(key);
        if fail == Some(Fail::Factory) {
            let why = Unserved::StartFailed { panic: "planned: no such session".into() };
            mail.iter().filter(|mail| !mail.abandoned).for_each(|mail| self.tell(mail.id, why.clone()));
            self.emit(key, name, Expected::StartFailed);
            return;
        }
        self.emit(key, name, Expected::Opened);
        self.key(key).live = Some(Life::new(name, mail, &self.rules, now));
        if fail == Some(Fail::Started) {
            self.end(key, End { reason: EndReason::Panicked, hard: false, panic: Some("planned: 0".into()) }, now);
            return;
        }
        self.run(key, now);
        if self.key(key).live.as_ref().is_some_and(|life| life.name == name && life.draining.is_none()) {
            if self.shutdown.is_some() {
                self.begin_drain(key, EndReason::Shutdown, now);
            } else if closed {
                self.begin_drain(key, EndReason::Closed, now);
            }
        }
        self.decide(key, now);
    }

    /// Mail, then the replies that waited behind a blocked mailbox.
    fn run(&mut self, key: &str, now: Instant) {
        while let Some(life) = self.key(key).live.as_mut().filter(|life| !life.is_blocked()) {
            if let Some(mail) = life.mailbox.pop_front() {
                if !mail.abandoned {
                    self.handle(key, mail, now);
                }
            } else if let Some(work) = life.work.iter().find(|work| work.answered).cloned() {
                self.finish_of(key, work.id, Outcome::Answer, now);
            } else {
                return;
            }
        }
    }

    fn handle(&mut self, key: &str, mail: Mail, now: Instant) {
        self.handled.push((key.to_owned(), mail.id));
        let rules = self.rules.clone();
        let Some(life) = self.key(key).live.as_mut() else { return };
        let Mail { id, what, passive, .. } = mail;
        let (name, draining) = (life.name, life.draining);
        life.handled += 1;
        life.begin_again(now);
        if !passive || what == What::Touch {
            life.active = now;
        }
        let mut end = None;
        match &what {
            What::Plain | What::Touch | What::Clockwork => {}
            What::Stop => end = Some(EndReason::Stopped),
            What::StopAndGoOn if draining.is_some() => end = Some(EndReason::Stopped),
            What::StopAndGoOn => {}
            What::Panic => {
                let panic = Some(format!("planned: {id}"));
                self.end_telling(key, End { reason: EndReason::Panicked, hard: false, panic }, id, now);
                return;
            }
            What::SetLimits(own) => life.set_limits(*own, &rules),
            What::Extend(by) => life.extensions.push_back(*by),
            What::Hold | What::Future | What::InContext | What::Atomic => {
                life.progress = now;
                life.work.push(Work { id, what, passive, answered: false });
            }
        }
        if !matches!(what, What::Future | What::InContext | What::Atomic) {
            self.fates.insert(id, Fate::Answered(name));
        }
        if let Some(reason) = end {
            let reason = draining.map_or(reason, |(reason, _)| reason);
            self.end(key, End { reason, hard: false, panic: None }, now);
        }
    }

    fn finish_of(&mut self, key: &str, id: u64, outcome: Outcome, now: Instant) {
        let Some(life) = self.key(key).live.as_mut() else { return };
        let blocked = life.is_blocked();
        let Some(at) = life.work_of(id) else { return };
        let (name, work) = (life.name, &mut life.work[at]);
        if work.what == What::InContext && blocked {
            work.answered = true;
            return;
        }
        if outcome == Outcome::Panic && matches!(work.what, What::InContext | What::Atomic) {
            let panic = Some(format!("planned: {id}"));
            self.end(key, End { reason: EndReason::Panicked, hard: false, panic }, now);
            return;
        }
        let work = life.work.remove(at);
        life.progress = now;
        if !work.passive {
            life.active = now;
        }
        self.reply(&work, name, outcome);
    }

    fn reply(&mut self, work: &Work, name: Name, outcome: Outcome) {
        match (&work.what, outcome) {
            (What::Hold, _) => {}
            (_, Outcome::Answer) => drop(self.fates.insert(work.id, Fate::Answered(name))),
            (_, Outcome::Panic) => {
                self.tell(work.id, Unserved::ReplyPanicked { panic: format!("planned: {}", work.id) });
            }
        }
    }

    fn tell(&mut self, id: u64, why: Unserved) {
        self.fates.insert(id, Fate::Unserved(why));
    }

    fn begin_drain(&mut self, key: &str, reason: EndReason, now: Instant) {
        let shutdown = self.shutdown;
        let Some(life) = self.key(key).live.as_mut() else { return };
        if life.draining.is_some() {
            return;
        }
        let by_policy = life.times.drain.map(|drain| now + Duration::from_millis(drain));
        let until = match (reason, shutdown) {
            (EndReason::Shutdown, Some(deadline)) => deadline,
            (EndReason::Stuck, _) => Some(now),
            _ => by_policy,
        };
        life.draining = Some((reason, until));
        life.over = false;
        let (name, in_flight) = (life.name, u32::try_from(life.work.len()).unwrap());
        if in_flight > 0 {
            self.emit(key, name, Expected::Draining { reason, in_flight });
        }
        self.decide(key, now);
    }

    /// Does all that is due.
    pub fn decide(&mut self, key: &str, now: Instant) {
        let observe = self.rules.observe;
        while let Some(life) = self.key(key).live.as_mut() {
            let name = life.name;
            if let Some((reason, until)) = life.draining {
                let cut = life.stuck_at().is_some_and(|at| at <= now) || until.is_some_and(|until| until <= now);
                if life.work.is_empty() || cut {
                    self.end(key, End { reason, hard: cut, panic: None }, now);
                    continue;
                }
                return;
            }
            match life.due(now) {
                None => {
                    let warning = if observe { None } else { life.warning(now) };
                    let Some((reason, deadline)) = warning else { return };
                    life.warned.insert((reason, deadline));
                    self.emit(key, name, Expected::Warned { reason, deadline });
                }
                Some(reason) if observe => {
                    life.over = true;
                    let busy = !life.work.is_empty();
                    self.emit(key, name, Expected::WouldEnd { reason, busy });
                }
                Some(EndReason::IdleTimeout) if !life.extensions.is_empty() => {
                    let by = life.extensions.pop_front().unwrap();
                    life.extended_to = now + by;
                    self.emit(key, name, Expected::Extended { by });
                }
                Some(reason) => self.begin_drain(key, reason, now),
            }
        }
    }

    /// Ends by a panic of the message that is being handled, whose caller is told as well.
    fn end_telling(&mut self, key: &str, end: End, id: u64, now: Instant) {
        self.tell(id, Unserved::Ended { reason: end.reason, panic: end.panic.clone() });
        self.end(key, end, now);
    }

    fn end(&mut self, key: &str, end: End, now: Instant) {
        let Some(life) = self.key(key).live.take() else { return };
        let End { reason, hard, panic } = end;
        let why = Unserved::Ended { reason, panic: panic.clone() };
        let mut cut = 0;
        let in_flight = !life.work.is_empty();
        for work in life.work {
            // What does not need the actor goes on without it, as in actix, unless it is cut by the limits.
            let runs_on = work.what == What::Future && !hard;
            cut += u32::from(!runs_on);
            match work.what {
                _ if runs_on || work.what == What::Hold => {
                    self.orphans.push(Orphan { of: life.name, work, why: why.clone() });
                }
                _ => self.tell(work.id, why.clone()),
            }
        }
        let (lost, mut mail): (VecDeque<_>, VecDeque<_>) = life.mailbox.into_iter().partition(|mail| mail.abandoned);
        let mut dropped = lost.len();
        let entitled =
            life.handled > 0 && self.shutdown.is_none() && !matches!(reason, EndReason::Closed | EndReason::Shutdown);
        let mut waiting = self.key(key).waiting.take();
        if waiting.is_none() && !mail.is_empty() && entitled {
            waiting = Some(Waiting { name: self.new_name(), ..Waiting::default() });
        }
        if waiting.is_none() {
            dropped += mail.len();
            mail.drain(..).for_each(|mail| self.tell(mail.id, why.clone()));
        }
        if self.shutdown.is_some() {
            let (drained, cut_off) = &mut self.ended_since_shutdown;
            *(if cut > 0 { cut_off } else { drained }) += 1;
        }
        let farewell = Farewell {
            reason,
            age: now - life.opened,
            idle: if in_flight { Duration::ZERO } else { now - life.active },
            handled: life.handled,
            cut,
            handed_over: mail.len() as u64,
            dropped: dropped as u64,
            panic,
        };
        self.emit(key, life.name, Expected::Ended(farewell));
        if let Some(mut successor) = waiting {
            mail.append(&mut successor.mail);
            successor.mail = mail;
            self.open(key, successor, now);
        }
    }
}
