//! What callers do.

use session_actors::EndReason;

use super::{Fate, Instant, Life, Mail, Model, Name, Orphan, Refusal, Rules, Waiting};
use crate::session::Outcome;

impl Model {
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
}
