//! One run: the model and the registry, side by side.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use actix::Addr;
use session_actors::{
    Checkpoint, EndReason, EventKind, NotSaved, Policy, SendError, SessionEvent, SessionId, SessionKey, StoreTask,
    Unserved,
    store::{MemoryStore, Store, StoreError},
};
use tokio::time::{Instant, sleep};

use super::{
    life::Life,
    session::{Known, SLACK},
    step::{KEYS, Step, own, policy},
};
use crate::actor::*;

/// The longest that anything is tried again after a store has failed.
const RECOVERY: Duration = Duration::from_secs(31);

/// As `registry_by` sets it.
const STORE_TIMEOUT: Duration = secs(2);

pub struct Case {
    life: Life,
    sessions: BTreeMap<&'static str, Known>,
    /// Addresses that somebody has kept, and which stay in memory they lead to.
    addresses: BTreeMap<&'static str, (u64, Addr<Tally>)>,
    /// How often each key has come into memory.
    stays: BTreeMap<&'static str, u64>,
    ended: BTreeSet<SessionId>,
    /// Ended while their records could not be removed: a crash may bring them back.
    owed: BTreeSet<SessionId>,
    last_id: SessionId,
    next: u64,
    reads_fail: bool,
    writes_fail: bool,
    /// Since when the store has failed no more.
    healthy_since: Instant,
    /// When deadlines changed last, or the registry began: something may have been over at that moment.
    changed: Instant,
}

impl Case {
    pub fn new() -> Self {
        let now = Instant::now();
        Self {
            life: Life::begin(MemoryStore::immediate(), 0),
            sessions: BTreeMap::new(),
            addresses: BTreeMap::new(),
            stays: BTreeMap::new(),
            ended: BTreeSet::new(),
            owed: BTreeSet::new(),
            last_id: SessionId::of_stored(0),
            next: 1,
            reads_fail: false,
            writes_fail: false,
            healthy_since: now,
            changed: now,
        }
    }

    pub async fn take(&mut self, step: &Step) {
        if matches!(step, Step::SetPolicy(_) | Step::Own(..) | Step::Resident(..)) {
            self.changed = Instant::now();
        }
        self.apply(step);
        match step {
            Step::Give(key) => self.give(KEYS[*key], By::Key).await,
            Step::GiveByAddress(key) => self.give(KEYS[*key], By::Address).await,
            Step::GiveForKeeps(key) => self.give(KEYS[*key], By::KeyForKeeps).await,
            Step::Look(key) => self.look(KEYS[*key]).await,
            Step::Open(key) => self.open(KEYS[*key]).await,
            Step::Own(key, true) => self.order(KEYS[*key], |_, ctx| ctx.set_limits(own()).unwrap()).await,
            Step::Own(key, false) => self.order(KEYS[*key], |_, ctx| ctx.set_limits(None).unwrap()).await,
            Step::Resident(key, true) => self.order(KEYS[*key], |_, ctx| ctx.set_resident(true)).await,
            Step::Resident(key, false) => self.order(KEYS[*key], |_, ctx| ctx.set_resident(false)).await,
            Step::Extend(key) => self.order(KEYS[*key], |tally, _| tally.extends = Some(secs(40))).await,
            Step::Stop(key) => self.order(KEYS[*key], |_, ctx| actix::ActorContext::stop(ctx)).await,
            Step::Close(key) => self.close(KEYS[*key]).await,
            Step::Pass(seconds) => self.pass(*seconds).await,
            Step::SetPolicy(number) => {
                self.life.registry.set_policy(Policy::new(policy(*number))).unwrap();
                self.life.policy = *number;
            }
            Step::FailReads(fail) => {
                self.reads_fail = *fail;
                self.faults();
            }
            Step::FailWrites(fail) => {
                self.writes_fail = *fail;
                self.faults();
            }
            Step::Damage(key) => {
                if let Some(known) = self.sessions.get_mut(KEYS[*key]).filter(|known| !known.in_memory) {
                    known.damaged = true;
                    self.life.store.damage(&SessionKey::new(KEYS[*key]).unwrap(), "no record");
                }
            }
            Step::Crash(number) => self.crash(*number).await,
            Step::Restart(number) => self.restart(*number).await,
        }
        self.hear().await;
        self.verify();
    }

    fn is_healthy(&self) -> bool {
        !self.reads_fail && !self.writes_fail
    }

    fn has_recovered(&self) -> bool {
        self.is_healthy() && self.healthy_since + RECOVERY < Instant::now()
    }

    fn faults(&mut self) {
        let error = |fails: bool| fails.then(|| StoreError::Unavailable("unplugged".into()));
        let (reads, writes) = (error(self.reads_fail), error(self.writes_fail));
        self.life.store.faults(|faults| (faults.load, faults.commit) = (reads, writes));
        self.healthy_since = Instant::now();
    }

    /// What a step asks of a session that is in memory.
    fn apply(&mut self, step: &Step) {
        let (key, change): (_, fn(&mut Known)) = match step {
            Step::Own(key, true) => (key, |known| known.own = true),
            Step::Own(key, false) => (key, |known| known.own = false),
            Step::Resident(key, true) => (key, |known| known.resident = true),
            Step::Resident(key, false) => (key, |known| known.resident = false),
            Step::Extend(key) => (key, |known| known.extends = true),
            _ => return,
        };
        if let Some(known) = self.sessions.get_mut(KEYS[*key]).filter(|known| known.in_memory) {
            change(known);
        }
    }

    /// Says how a message came out that reached the session of a key, by its own account: what it has been given.
    fn told(&mut self, key: &'static str, sent: Instant, number: Option<u64>, given: Option<Vec<u64>>) {
        let checkpoint = self.sessions.get(key).map(|known| known.checkpoint(self.life.policy));
        let Some(known) = self.sessions.get_mut(key) else {
            // It has ended while the message waited for the store.
            return assert!(given.is_none(), "{key}: answered by nobody");
        };
        known.handled += 1;
        if let Some(number) = number {
            known.given.push((number, sent));
            known.active = sent;
        }
        if let Some(given) = given {
            assert_eq!(given, known.numbers(), "what {key} has been given");
            if checkpoint == Some(Checkpoint::Always) {
                (known.durable, known.recorded) = (known.given.len(), true);
            }
        }
    }

    async fn give(&mut self, key: &'static str, by: By) {
        let (sent, number) = (Instant::now(), self.next);
        self.next += 1;
        let outcome = match by {
            By::Key => self.life.registry.send(key, Give(number)).await.map_err(cause),
            By::KeyForKeeps => match self.life.registry.send(key, GiveForKeeps(number)).await {
                Ok(Ok(given)) => {
                    self.hear().await;
                    self.told(key, sent, Some(number), Some(given));
                    let known = self.sessions.get_mut(key).unwrap();
                    (known.durable, known.recorded) = (known.given.len(), true);
                    return;
                }
                Ok(Err(NotSaved::Store { .. })) => {
                    assert!(self.writes_fail, "it could not be saved");
                    self.hear().await;
                    return self.told(key, sent + STORE_TIMEOUT, Some(number), None);
                }
                Ok(Err(error)) => panic!("{error}"),
                Err(error) => Err(cause(error)),
            },
            By::Address => return self.give_by_address(key, number).await,
        };
        self.hear().await;
        match outcome {
            Ok(given) => self.told(key, sent, Some(number), Some(given)),
            Err(Unserved::NotSaved { .. }) => {
                assert!(self.writes_fail, "it could not be saved");
                // The wait for a checkpoint was work of its own, whose end is activity.
                let wait = if matches!(by, By::KeyForKeeps) { STORE_TIMEOUT } else { Duration::ZERO };
                self.told(key, sent + wait, Some(number), None);
            }
            Err(cause) => self.refused(key, &cause),
        }
    }

    /// The session of a key could not be had.
    fn refused(&mut self, key: &'static str, error: &Unserved) {
        let Unserved::NotRestored { .. } = error else { panic!("{key}: {error:?}") };
        let damaged = self.sessions.get(key).is_some_and(|known| known.damaged);
        // One that is over is removed first.
        assert!(self.reads_fail || self.writes_fail || damaged || !self.sessions.contains_key(key), "{key}: {error:?}");
    }

    async fn give_by_address(&mut self, key: &'static str, number: u64) {
        let stay = self.stays.get(key).copied();
        let Some((of, addr)) = self.addresses.get(key) else { return };
        // Then it cannot be told whether it was heard.
        if self.writes_fail {
            return;
        }
        let leads = Some(*of) == stay && self.sessions.get(key).is_some_and(|known| known.in_memory);
        let sent = Instant::now();
        let outcome = addr.send(Give(number)).await;
        self.hear().await;
        match outcome {
            Ok(given) => {
                assert!(leads, "{key} was reached by an address of a stay that is over");
                self.told(key, sent, Some(number), Some(given));
            }
            Err(_) => assert!(!leads, "{key} is in memory and was not reached"),
        }
    }

    async fn look(&mut self, key: &'static str) {
        let sent = Instant::now();
        let outcome = self.life.registry.send(key, Look).await.map_err(cause);
        let events = self.life.events().await;
        // It may have come for that look alone, and gone again.
        let left = events.iter().any(|event| matches!(event.kind, EventKind::Passivated { .. }));
        self.take_events(events);
        match outcome {
            Ok(given) if left => {
                let known = self.sessions.get_mut(key).expect("it is in the store");
                known.handled += 1;
                assert_eq!(given, known.numbers(), "what {key} has been given");
            }
            Ok(given) => self.told(key, sent, None, Some(given)),
            Err(Unserved::NotSaved { .. }) => self.told(key, sent, None, None),
            Err(cause) => self.refused(key, &cause),
        }
    }

    async fn open(&mut self, key: &'static str) {
        let addr = self.life.registry.open(key).unwrap();
        let now = Instant::now();
        self.hear().await;
        if let Some(known) = self.sessions.get_mut(key).filter(|known| known.in_memory) {
            known.active = now;
            self.addresses.insert(key, (self.stays[key], addr));
        }
    }

    /// Only of a session that is in memory, and no activity.
    async fn order(&mut self, key: &'static str, what: fn(&mut Tally, &mut session_actors::SessionContext<Tally>)) {
        if !self.sessions.get(key).is_some_and(|known| known.in_memory) {
            return;
        }
        if let Some(known) = self.sessions.get_mut(key) {
            known.ending = Some(EndReason::Stopped);
        }
        let outcome = self.life.registry.send(key, DoPassively(what)).await.map_err(cause);
        self.hear().await;
        if let Some(known) = self.sessions.get_mut(key) {
            known.ending = None;
            known.handled += 1;
        }
        match outcome {
            Ok(()) | Err(Unserved::Ended { .. }) => {}
            Err(Unserved::NotSaved { .. }) => assert!(self.writes_fail),
            Err(cause) => self.refused(key, &cause),
        }
    }

    async fn close(&mut self, key: &'static str) {
        if let Some(known) = self.sessions.get_mut(key) {
            known.ending = Some(EndReason::Closed);
        }
        let ended = self.life.registry.close(key).await;
        self.hear().await;
        match self.sessions.get_mut(key) {
            Some(known) => {
                known.ending = None;
                let excused = known.damaged || !self.is_healthy();
                assert!(ended.is_err() && excused, "{key} was closed and is still there: {ended:?}");
            }
            None => assert!(ended.ok().is_none_or(|ended| ended.reason == EndReason::Closed)),
        }
    }

    /// In the middle of it somebody looks.
    async fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds {
            // A wait for a store that failed may have ended in between.
            sleep(secs(1)).await;
            self.hear().await;
            self.verify();
        }
    }

    async fn hear(&mut self) {
        let events = self.life.events().await;
        self.take_events(events);
    }

    fn take_events(&mut self, events: Vec<SessionEvent>) {
        for event in events {
            self.happened(&event);
        }
    }

    fn happened(&mut self, event: &SessionEvent) {
        let key = KEYS.into_iter().find(|key| *key == event.key.as_str()).expect("one of the keys");
        let (at, id, number) = (self.life.instant(event.at), event.session, self.life.policy);
        let recovered = self.has_recovered();
        match &event.kind {
            EventKind::Opened { .. } => {
                assert!(!self.sessions.contains_key(key), "{key} was opened twice");
                assert!(id > self.last_id, "{id} was given before");
                self.last_id = id;
                self.sessions.insert(key, Known::new(id, at));
                *self.stays.entry(key).or_default() += 1;
            }
            EventKind::Passivated { cut, dropped, .. } => {
                let known = self.sessions.get_mut(key).expect("a session");
                assert!(known.id == id && known.in_memory, "{event:?}");
                let rests = known.rests(number).expect("it may leave");
                assert!(rests <= at + SLACK, "{key} left {:?} too early", rests - at);
                assert_eq!((*cut, *dropped), (0, 0));
                known.in_memory = false;
                known.resident = false;
                known.extends = false;
                (known.durable, known.recorded) = (known.given.len(), true);
            }
            EventKind::Restored { .. } => {
                let known = self.sessions.get_mut(key).expect("a session");
                assert!(known.id == id && !known.in_memory && !known.damaged, "{event:?}");
                known.in_memory = true;
                *self.stays.entry(key).or_default() += 1;
            }
            EventKind::Extended { by } => {
                let known = self.sessions.get_mut(key).expect("a session");
                let (due, reason) = known.ends(number).expect("a deadline");
                assert!(known.extends && reason == EndReason::IdleTimeout && due <= at + SLACK, "{event:?}");
                known.extends = false;
                known.extended = Some(at + *by);
            }
            EventKind::Ended(ended) => {
                let known = self.sessions.remove(key).expect("a session");
                assert_eq!(known.id, id);
                assert!(self.ended.insert(id) || self.owed.contains(&id), "{key} ended twice");
                if known.ending == Some(ended.reason) {
                    assert!(matches!(ended.reason, EndReason::Stopped | EndReason::Closed));
                } else {
                    let (due, reason) = known.ends(number).expect("a deadline");
                    assert_eq!(reason, ended.reason, "of {key}, due {:?} ago", at.saturating_duration_since(due));
                    assert!(due <= at + SLACK, "{key} ended {:?} too early", due - at);
                    // Also what fell due while nobody was there.
                    let due = due.max(self.changed);
                    assert!(!recovered || at <= due + secs(1) + SLACK, "{key} ended {:?} late", at - due);
                }
                // Removed before it is told, if it could be.
                let left = self.life.store.page(None, 10);
                let left = left.is_ok_and(|page| page.iter().any(|entry| entry.key == event.key));
                if left || self.reads_fail {
                    assert!(!recovered, "the record of {key} is still there");
                    self.owed.insert(id);
                }
            }
            EventKind::StoreFailed { doing, .. } => {
                let damaged = self.sessions.get(key).is_some_and(|known| known.damaged);
                assert!(damaged || !self.is_healthy(), "{event:?}");
                if *doing == StoreTask::Load && damaged && self.is_healthy() {
                    // Whatever was asked, its record is out of the way.
                    self.sessions.remove(key);
                }
            }
            EventKind::StartFailed { .. } | EventKind::Draining { .. } => {}
            kind => panic!("unexpected {kind:?}"),
        }
    }

    fn verify(&self) {
        let (now, number) = (Instant::now(), self.life.policy);
        let in_memory = self.sessions.values().filter(|known| known.in_memory).count();
        let stats = self.life.registry.stats();
        assert_eq!((self.life.registry.len(), stats.live, self.life.lives.alive()), (in_memory, in_memory, in_memory));
        for (key, known) in &self.sessions {
            let info = self.life.registry.info(*key);
            assert_eq!(info.as_ref().map(|info| info.id), known.in_memory.then_some(known.id), "{key}");
            if let Some(info) = info {
                assert_eq!((info.handled, info.limits), (known.handled, known.limits(number)), "{key}");
            }
            if !self.has_recovered() || known.damaged {
                continue;
            }
            if let Some((due, reason)) = known.ends(number) {
                let due = due.max(self.changed);
                assert!(now <= due + secs(1) + SLACK, "{key} has not ended as {reason}, due {:?} ago", now - due);
            }
            if known.in_memory
                && let Some(due) = known.rests(number)
            {
                let due = due.max(self.changed);
                assert!(now <= due + SLACK, "{key} has not left memory, due {:?} ago", now - due);
            }
            let record = self.life.record(key);
            let must_be = known.must_be_left(number, self.changed, now, true);
            self.check_record(key, known, record.as_ref(), must_be);
            if let (Some(record), false) = (record, known.in_memory) {
                let ends_at = record.ends_at.map(|at| self.life.instant(at));
                let due = known.ends(number).map(|(due, _)| due);
                let apart = match (ends_at, due) {
                    (Some(stored), Some(due)) => stored.max(due) - stored.min(due),
                    (None, None) => Duration::ZERO,
                    _ => Duration::MAX,
                };
                assert!(apart <= SLACK, "{key} is stored as due at {ends_at:?} instead of {due:?}");
            }
        }
    }

    fn check_record(
        &self,
        key: &str,
        known: &Known,
        record: Option<&session_actors::store::Record>,
        must_be: usize,
    ) -> usize {
        let Some(record) = record else {
            assert!(must_be == 0 && !known.recorded, "{key} has no record of {must_be}");
            return 0;
        };
        assert_eq!(record.session, known.id, "the record of {key}");
        let stored = record.state.read::<Given>().unwrap().given;
        let numbers = known.numbers();
        assert_eq!(stored, numbers[..stored.len().min(numbers.len())], "the record of {key}");
        assert!(stored.len() >= must_be, "the record of {key} has {} of {must_be}", stored.len());
        stored.len()
    }

    /// What the next registry finds is what there is.
    fn find(&mut self) {
        let (now, number, healthy) = (Instant::now(), self.life.policy, self.has_recovered());
        let changed = self.changed;
        for key in KEYS {
            let record = self.life.record(key);
            let stored = record.as_ref().map(|record| record.session);
            let known = self.sessions.remove(key);
            if let Some(id) = stored.filter(|id| known.as_ref().is_none_or(|known| known.id != *id)) {
                // An end that was told, and whose record could not be removed. Nothing of what came after it is stored.
                assert!(self.owed.contains(&id), "{key} comes back");
                assert!(known.is_none_or(|known| !known.recorded && known.durable == 0));
                let record = record.expect("it is there");
                let mut known = Known::new(id, self.life.instant(record.opened_at));
                known.given = record.state.read::<Given>().unwrap().given.into_iter().map(|n| (n, now)).collect();
                self.sessions.insert(key, self.found(known, &record));
                continue;
            }
            let Some(mut known) = known else { continue };
            let must_be = known.must_be_left(number, changed, now, healthy);
            let left = self.check_record(key, &known, record.as_ref(), must_be);
            // Nobody was ever told that there was such a session, but by its events.
            let Some(record) = record else { continue };
            known.given.truncate(left);
            self.sessions.insert(key, self.found(known, &record));
        }
    }

    fn found(&self, mut known: Known, record: &session_actors::store::Record) -> Known {
        known.active = self.life.instant(record.last_activity);
        known.extended = record.extended_until.map(|at| self.life.instant(at));
        known.own = record.limits.is_some();
        known.handled = record.handled;
        (known.durable, known.recorded) = (known.given.len(), true);
        (known.in_memory, known.resident, known.extends) = (false, false, false);
        known
    }

    async fn begin_again(&mut self, number: usize) {
        (self.reads_fail, self.writes_fail) = (false, false);
        self.faults();
        self.sessions.retain(|_, known| !known.damaged);
        self.find();
        self.addresses.clear();
        self.life = loop {
            let begun = std::time::SystemTime::now();
            let life = Life::begin(self.life.copy(), number);
            // What the machine takes for it is time by the wall clock, and none by that of the model.
            if begun.elapsed().is_ok_and(|took| took < SLACK / 2) {
                break life;
            }
        };
        self.changed = Instant::now();
        // The store works: nothing is to be recovered from.
        self.healthy_since = Instant::now() - RECOVERY - secs(1);
        self.last_id = SessionId::of_stored(self.life.store.reserve_ids(0).unwrap() - (1 << 16) - 1);
    }

    /// Without a word to anybody.
    async fn crash(&mut self, number: usize) {
        let old = self.life.registry.clone();
        self.begin_again(number).await;
        // It goes on saving into a store that nobody looks at.
        drop(old);
    }

    async fn restart(&mut self, number: usize) {
        let report = self.life.registry.shutdown(secs(5)).await.unwrap();
        assert!(report.unsaved == 0 || self.writes_fail, "{report:?}");
        let saved: Vec<_> = self.life.events().await;
        for event in saved {
            match &event.kind {
                EventKind::Passivated { .. } => {
                    let key = KEYS.into_iter().find(|key| *key == event.key.as_str()).unwrap();
                    let known = self.sessions.get_mut(key).expect("a session");
                    assert!(known.in_memory, "{event:?}");
                    if !self.writes_fail {
                        (known.durable, known.recorded) = (known.given.len(), true);
                    }
                    known.in_memory = false;
                }
                EventKind::Ended(ended) if ended.reason == EndReason::Shutdown => {
                    assert!(self.writes_fail, "{event:?}");
                    let key = KEYS.into_iter().find(|key| *key == event.key.as_str()).unwrap();
                    let known = self.sessions.remove(key).expect("a session");
                    assert!(!known.recorded, "{key} was in the store, and ended");
                }
                _ => self.happened(&event),
            }
        }
        assert!(self.sessions.values().all(|known| !known.in_memory), "somebody is left");
        self.begin_again(number).await;
    }

    /// The store works, and everything that can end does.
    pub async fn end(mut self) {
        (self.reads_fail, self.writes_fail) = (false, false);
        self.faults();
        self.pass(40).await;
        self.restart(0).await;
        self.pass(120).await;
        assert!(self.sessions.is_empty(), "{:?}", self.sessions);
        assert_eq!((self.life.registry.len(), self.life.store.count()), (0, Ok(0)));
    }
}

#[derive(Debug, Clone, Copy)]
enum By {
    Key,
    Address,
    KeyForKeeps,
}

/// Why a message was not served; nobody is refused here.
fn cause<M>(error: SendError<M>) -> Unserved {
    match error {
        SendError::Unserved { cause } => cause,
        error => panic!("{error:?}"),
    }
}
