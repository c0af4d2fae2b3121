//! The live sessions.

use std::{
    borrow::Borrow,
    collections::HashSet,
    hash::{Hash, Hasher},
    sync::Arc,
};

use crate::{
    event::SessionId,
    key::SessionKey,
    session::vitals::{VitalPhase, Vitals},
};

/// Who is live, by key. Writes the phase in a session's vitals together with the membership, so that both agree for
/// whoever holds the lock.
///
/// One pointer for each session: the key is looked up in the vitals. Who is draining is kept apart, because at most
/// times that is few.
#[derive(Default)]
pub(super) struct LiveSet {
    sessions: HashSet<ByKey, ahash::RandomState>,
    draining: HashSet<SessionId, ahash::RandomState>,
}

impl LiveSet {
    /// Takes in a session and makes it `Active`. Not if its key is live, nor if it has ended before.
    pub(super) fn insert(&mut self, vitals: &Arc<Vitals>) -> bool {
        if matches!(vitals.phase(), VitalPhase::Ended) || !self.sessions.insert(ByKey(Arc::clone(vitals))) {
            return false;
        }
        vitals.set_phase(VitalPhase::Active);
        true
    }

    /// Makes a session `Draining`, if it is live.
    pub(super) fn drain(&mut self, key: &SessionKey, id: SessionId) -> bool {
        let Some(vitals) = self.get(key, id) else { return false };
        vitals.set_phase(VitalPhase::Draining);
        self.draining.insert(id);
        true
    }

    /// Takes out a session and makes it `Ended`. By identity: a late exit cannot take out its successor.
    #[must_use = "dropping vitals is foreign code, which must not run under the lock"]
    pub(super) fn remove(&mut self, vitals: &Arc<Vitals>) -> Option<Arc<Vitals>> {
        let ByKey(removed) = self.sessions.take(vitals.key().as_str())?;
        if !Arc::ptr_eq(&removed, vitals) {
            // Its successor's: back with it.
            self.sessions.insert(ByKey(removed));
            return None;
        }
        if !self.draining.is_empty() {
            self.draining.remove(&removed.id());
        }
        removed.set_phase(VitalPhase::Ended);
        Some(removed)
    }

    pub(super) fn find(&self, key: &str) -> Option<&Arc<Vitals>> {
        self.sessions.get(key).map(|ByKey(vitals)| vitals)
    }

    /// Whether this very session is live.
    pub(super) fn contains(&self, key: &SessionKey, id: SessionId) -> bool {
        self.get(key, id).is_some()
    }

    pub(super) fn len(&self) -> usize {
        self.sessions.len()
    }

    pub(super) fn draining(&self) -> usize {
        self.draining.len()
    }

    pub(super) fn to_vec(&self) -> Vec<Arc<Vitals>> {
        self.sessions.iter().map(|ByKey(vitals)| Arc::clone(vitals)).collect()
    }

    fn get(&self, key: &SessionKey, id: SessionId) -> Option<&Arc<Vitals>> {
        self.find(key.as_str()).filter(|vitals| vitals.id() == id)
    }
}

/// Vitals that hash and compare as the text of their key, so that the set needs no second copy of it.
struct ByKey(Arc<Vitals>);

impl Borrow<str> for ByKey {
    fn borrow(&self) -> &str {
        self.0.key().as_str()
    }
}

impl PartialEq for ByKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.key().as_str() == other.0.key().as_str()
    }
}

impl Eq for ByKey {}

impl Hash for ByKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // As `str`, which `Borrow` demands.
        self.0.key().as_str().hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::fixture::vitals;

    #[test]
    fn a_late_exit_does_not_take_out_its_successor() {
        let mut live = LiveSet::default();
        let (first, second) = (vitals("a", 1), vitals("a", 2));
        assert!(live.insert(&first));
        assert!(!live.insert(&second), "the key is taken");
        assert!(live.remove(&first).is_some());
        assert!(live.insert(&second));

        assert!(live.remove(&first).is_none());
        assert!(!live.drain(first.key(), first.id()));
        assert!(live.contains(second.key(), second.id()));
        assert!(matches!(second.phase(), VitalPhase::Active));
    }

    #[test]
    fn the_phase_follows() {
        let mut live = LiveSet::default();
        let session = vitals("a", 1);
        assert!(live.insert(&session));
        assert!(matches!(session.phase(), VitalPhase::Active));
        assert!(live.drain(session.key(), session.id()));
        assert!(live.drain(session.key(), session.id()), "a second reason to drain is fine");
        assert!(matches!(session.phase(), VitalPhase::Draining));
        assert_eq!((live.len(), live.draining()), (1, 1));

        assert!(live.remove(&session).is_some());
        assert!(matches!(session.phase(), VitalPhase::Ended));
        assert_eq!((live.len(), live.draining()), (0, 0));
        assert!(!live.insert(&session), "an end absorbs");
    }
}
