//! Whom to end when the registry is full: the longest-idle session that is not busy.
//!
//! A heap by the instant of last activity, corrected lazily: a session's entry is only a lower
//! bound of its true instant, because messages do not touch the heap. The top is compared with the
//! truth when it is needed; if it has moved it is put back where it belongs. What comes out with
//! its entry unchanged is the true oldest, at a cost of one step for each session that was active
//! since the last eviction, and of nothing at all where evictions never happen: the heap is built
//! at the first.
//!
//! Lock: a leaf but for that first time, when the journal is asked for its live sessions inside of it.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;

use crate::{
    moment::Moment,
    session::vitals::{VitalPhase, Vitals},
};

/// A session and the instant it was last known to be active.
struct Candidate {
    idle_since: Moment,
    vitals: Weak<Vitals>,
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.idle_since == other.idle_since
    }
}

impl Eq for Candidate {}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.idle_since.cmp(&other.idle_since)
    }
}

/// The sessions by how long they have been idle. `None` until the first eviction.
#[derive(Default)]
pub(crate) struct Eviction {
    heap: Mutex<Option<BinaryHeap<Reverse<Candidate>>>>,
}

impl Eviction {
    /// A session has started.
    pub(crate) fn add(&self, vitals: &Arc<Vitals>) {
        if let Some(heap) = self.heap.lock().as_mut() {
            if heap.len() == heap.capacity() {
                // About to grow: first without those that have ended. Room for as many again, or this would be done
                // each time.
                heap.retain(|Reverse(candidate)| candidate.vitals.strong_count() > 0);
                heap.reserve(heap.len().max(64));
            }
            heap.push(candidate(vitals.last_activity(), vitals));
        }
    }

    /// Chooses the longest-idle session that is not busy and marks it. `live` is asked for all
    /// sessions when the heap has to be built.
    pub(crate) fn choose(
        &self,
        now: Moment,
        live: impl FnOnce() -> Vec<Arc<Vitals>>,
        live_count: usize,
    ) -> Option<Arc<Vitals>> {
        let mut guard = self.heap.lock();
        // Ended sessions stay in it until they come up; rebuilt when they are the most of it.
        let stale = guard.as_ref().is_none_or(|heap| heap.len() > 2 * live_count + 1024);
        if stale {
            *guard = Some(live().iter().map(|vitals| candidate(vitals.last_activity(), vitals)).collect());
        }
        let heap = guard.as_mut()?;
        // Put back when somebody is chosen: what was looked at once is not looked at again.
        let mut busy = Vec::new();
        let mut chosen = None;
        while let Some(Reverse(oldest)) = heap.pop() {
            let Some(vitals) = oldest.vitals.upgrade() else {
                continue;
            };
            match vitals.phase() {
                VitalPhase::Starting | VitalPhase::Active => {}
                VitalPhase::Draining | VitalPhase::Ended => continue,
            }
            if vitals.victim().is_taken() {
                continue;
            }
            let idle_since = vitals.last_activity();
            if vitals.is_busy() {
                // Its idle time begins when its work ends, which is not before now.
                busy.push(candidate(now, &vitals));
            } else if idle_since > oldest.idle_since && oldest.idle_since < now {
                heap.push(candidate(idle_since, &vitals));
            } else if vitals.victim().choose() {
                chosen = Some(vitals);
                break;
            }
        }
        heap.extend(busy);
        chosen
    }
}

fn candidate(idle_since: Moment, vitals: &Arc<Vitals>) -> Reverse<Candidate> {
    Reverse(Candidate { idle_since, vitals: Arc::downgrade(vitals) })
}

impl std::fmt::Debug for Eviction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let known = self.heap.lock().as_ref().map(BinaryHeap::len);
        f.debug_struct("Eviction").field("known", &known).finish()
    }
}
