//! What sessions do.

use std::{collections::VecDeque, time::Duration};

use session_actors::{EndReason, Unserved};

use super::{Expected, Farewell, Fate, Instant, Life, Mail, Model, Name, Orphan, Waiting, Work};
use crate::session::{Fail, Outcome, What};

/// How an incarnation comes to its end.
struct End {
    reason: EndReason,
    /// Cut by the limits: replies outside of the actor are cut as well.
    hard: bool,
    panic: Option<String>,
}

impl Model {
    pub(super) fn open(&mut self, key: &str, waiting: Waiting, now: Instant) {
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
    pub(super) fn run(&mut self, key: &str, now: Instant) {
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

    pub(super) fn finish_of(&mut self, key: &str, id: u64, outcome: Outcome, now: Instant) {
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

    pub(super) fn reply(&mut self, work: &Work, name: Name, outcome: Outcome) {
        match (&work.what, outcome) {
            (What::Hold, _) => {}
            (_, Outcome::Answer) => drop(self.fates.insert(work.id, Fate::Answered(name))),
            (_, Outcome::Panic) => {
                self.tell(work.id, Unserved::ReplyPanicked { panic: format!("planned: {}", work.id) });
            }
        }
    }

    pub(super) fn tell(&mut self, id: u64, why: Unserved) {
        self.fates.insert(id, Fate::Unserved(why));
    }

    pub(super) fn begin_drain(&mut self, key: &str, reason: EndReason, now: Instant) {
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
