//! Compares the registry with the model, after every step.

use std::{collections::BTreeMap, time::Duration};

use session_actors::{AppliedRule, EndReason, EventKind, Phase, SessionEvent, SessionInfo, Stats};

use super::{
    belief::Live,
    life::Life,
    model::{Expected, Farewell, Instant},
    rules::Times,
    world::World,
};

impl World {
    /// Events that came with an operation came at its instant.
    pub fn explain_all(&mut self) {
        let now = self.now();
        for key in self.model.keys.keys().cloned().collect::<Vec<_>>() {
            self.explain(&key, now);
        }
        self.observed.retain(|_, events| !events.is_empty());
        assert!(self.observed.is_empty(), "nobody expected {:?} in {:?}", self.observed, self.model);
    }

    /// Takes the events that the model says have come at `now`, in the order of the key.
    pub fn explain(&mut self, key: &str, now: Instant) {
        for (name, expected) in self.model.expected.remove(key).unwrap_or_default() {
            let event = self.observed.get_mut(key).and_then(|events| events.pop_front());
            let Some(event) = event else { panic!("{key}: no {expected:?} in {:?}", self.model) };
            assert_eq!(self.at(&event), now, "{key}: {event:?}");
            self.explain_one(name, &expected, &event, now);
        }
    }

    fn explain_one(&mut self, name: usize, expected: &Expected, event: &SessionEvent, now: Instant) {
        let id = event.session;
        let known = self.ids.get(&name).copied();
        let right = match (expected, &event.kind) {
            (Expected::Opened, EventKind::Opened { limits, rule }) => {
                // An id is never used again.
                assert!(!self.ids.values().any(|used| *used == id));
                self.ids.insert(name, id);
                return assert_eq!((Times::of(limits), rule), (self.model.rules.times, &AppliedRule::Default));
            }
            (Expected::StartFailed, EventKind::StartFailed { error }) => {
                assert_eq!(known, None);
                self.ends.insert(name, None);
                return assert!(error.contains("planned: no such session"), "{error}");
            }
            (Expected::Warned { reason, deadline }, EventKind::Warned { reason: got, remaining }) => {
                reason == got && now + *remaining == *deadline
            }
            (Expected::Extended { by }, EventKind::Extended { by: got }) => by == got,
            (Expected::Draining { reason, in_flight }, EventKind::Draining { reason: got, in_flight: number }) => {
                (reason, in_flight) == (got, number)
            }
            (Expected::WouldEnd { reason, busy }, EventKind::WouldEnd { reason: got, busy: was }) => {
                (reason, busy) == (got, was)
            }
            (Expected::Ended(farewell), EventKind::Ended(ended)) => {
                self.ends.insert(name, Some(ended.clone()));
                // A virtual life that the very message began which ended the session is nobody's concern.
                let cut_short = matches!(ended.reason, EndReason::Stopped | EndReason::Panicked);
                let virtual_life = self.model.rules.observe && cut_short;
                let got = Farewell {
                    reason: ended.reason,
                    age: ended.age,
                    idle: if virtual_life { farewell.idle } else { ended.idle },
                    handled: ended.handled,
                    cut: ended.cut,
                    handed_over: ended.handed_over,
                    dropped: ended.dropped,
                    panic: ended.panic.clone(),
                };
                assert_eq!(&got, farewell, "of {}", event.key);
                true
            }
            _ => false,
        };
        assert!(right && known == Some(id), "{event:?} instead of {expected:?} of {known:?} in {:?}", self.model);
    }

    pub fn verify(&mut self, watchers: usize) {
        self.verify_messages();
        self.replies.check(&self.model.fates, &self.ids, &self.ends);
        let live: Live = self.model.lives().map(|(key, life)| (key.clone(), self.ids[&life.name])).collect();
        assert_eq!(self.past.now(), &live, "events and model disagree about who is live");
        let (futures, mail) = self.model.outstanding();
        let alive = [live.len(), mail, futures].map(|number| i64::try_from(number).unwrap());
        let counted = [&self.diary.actors, &self.diary.messages, &self.diary.futures].map(|counter| counter.get());
        assert_eq!(counted, alive, "alive of actors, messages, futures");

        let Some(registry) = self.registry.clone() else { return };
        assert_eq!(registry.len(), live.len());
        assert_eq!(registry.is_empty(), live.is_empty());
        let list = registry.list();
        assert!(list.is_sorted_by_key(|info| info.id));
        assert_eq!(list.iter().map(|info| (info.key.to_string(), info.id)).collect::<Live>(), live);
        for (key, state) in &self.model.keys {
            assert_eq!(registry.get(key).is_some(), state.route().is_some(), "the route of {key}");
            let info = registry.info(key);
            match &state.live {
                Some(life) => self.verify_info(life, &info.unwrap()),
                None => assert!(info.is_none()),
            }
        }
        // One more: the recorder.
        let watchers = if self.model.shutdown.is_some() { None } else { Some(watchers + 1) };
        self.verify_stats(&registry.stats(), watchers);
    }

    /// Each key has handled what it must have, in order, once.
    fn verify_messages(&mut self) {
        let by_key = |handled: Vec<(String, u64)>| {
            let mut by_key = BTreeMap::<String, Vec<u64>>::new();
            handled.into_iter().for_each(|(key, id)| by_key.entry(key).or_default().push(id));
            by_key
        };
        let handled = by_key(self.diary.take_handled());
        let expected = by_key(std::mem::take(&mut self.model.handled));
        assert_eq!(handled, expected, "handled messages");
    }

    fn verify_info(&self, life: &Life, info: &SessionInfo) {
        let now = self.now();
        let phase = if life.draining.is_some() { Phase::Draining } else { Phase::Active };
        assert_eq!((info.phase, info.handled), (phase, life.handled));
        assert_eq!(info.age, now - life.opened);
        assert_eq!(info.in_flight as usize, life.work.len());
        let idle = if life.work.is_empty() { now - life.active } else { Duration::ZERO };
        assert_eq!(info.idle, idle, "idle of {}", info.key);
        assert_eq!(Times::of(&info.limits), life.times);
        assert_eq!(info.rule == AppliedRule::Session, life.own.is_some());
        let busy_since = (!life.work.is_empty()).then_some(life.progress);
        assert_eq!(info.busy_since.map(|at| self.since_start(at)), busy_since, "busy since");
        if !life.over {
            let expires = life.expires_at().map(|at| at.saturating_sub(now));
            assert_eq!(info.expires_in, expires, "expiry of {} in {life:?}", info.key);
        }
    }

    fn verify_stats(&self, stats: &Stats, watchers: Option<usize>) {
        let model = &self.model;
        let draining = model.lives().filter(|(_, life)| life.draining.is_some()).count();
        let waiting = model.keys.values().filter(|key| key.waiting.is_some()).count();
        assert_eq!((stats.live, stats.draining, stats.waiting), (model.lives().count(), draining, waiting));
        assert_eq!((stats.keys, stats.max_sessions), (model.used(), model.rules.cap));
        assert_eq!(stats.refused, model.refused, "refused");
        if let Some(watchers) = watchers {
            assert_eq!(stats.watchers, watchers);
        }
        assert_eq!(stats.opened, self.ids.len() as u64);
        let ends = || self.ends.values().flatten();
        assert_eq!(stats.start_failed, self.ends.values().filter(|end| end.is_none()).count() as u64);
        for reason in EndReason::ALL {
            let ended = ends().filter(|ended| ended.reason == *reason).count() as u64;
            assert_eq!(stats.ended.get(*reason), ended, "ended as {reason}");
        }
        assert_eq!(stats.messages_handed_over, ends().map(|ended| ended.handed_over).sum::<u64>());
        assert_eq!(stats.messages_dropped, ends().map(|ended| ended.dropped).sum::<u64>());
        assert_eq!(stats.work_cut, ends().map(|ended| u64::from(ended.cut)).sum::<u64>());
    }
}
