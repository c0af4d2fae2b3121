//! The rounds: whatever falls due in the store is ended when it does, also what fell due while nobody was there.
//!
//! One task, on the arbiter that started the registry. It asks the index of deadlines, never for all records; but after a
//! change of policy, at run time or between two runs, which may move any deadline, it goes through them once, a page at a
//! time. The store knows by which policy its deadlines are, so that a start with the same one need not.

use std::{
    collections::HashSet,
    pin::pin,
    sync::{Arc, Weak, atomic::Ordering},
    time::Duration,
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::{sync::oneshot, time::Instant};

use super::{keeper, resting::Looked};
use crate::{
    clock::until,
    key::SessionKey,
    moment::Moment,
    policy::Mode,
    registry::hub::Hub,
    session::{Session, panics::quietly, wishes::Wishes},
    store::{Change, Deadline, StoreError},
};

/// Sessions looked at together.
const SLICE: usize = 256;
/// Slices of all records between two looks at what is due, after a change of policy.
const PAGES: usize = 16;
/// After something went wrong, and for sessions that are in memory though the store thinks that they are due.
const AGAIN: Duration = Duration::from_secs(1);

/// Makes them, on the first arbiter that is there, until the registry is shut down.
pub(crate) fn begin<A: Session>(hub: &Arc<Hub<A>>) {
    begin_on(hub, 0);
}

fn begin_on<A: Session>(hub: &Arc<Hub<A>>, arbiter: usize) {
    let Some(whose) = hub.arbiters.get(arbiter) else { return };
    let rounds = Rounds { hub: Arc::downgrade(hub), arbiter };
    whose.spawn(async move { rounds.run().await });
}

/// Dropped with its arbiter, or because there is none, it goes on on the next.
struct Rounds<A: Session> {
    hub: Weak<Hub<A>>,
    arbiter: usize,
}

impl<A: Session> Drop for Rounds<A> {
    fn drop(&mut self) {
        let Some(hub) = self.hub() else { return };
        if let Some(keeper) = &hub.keeper {
            // It may have been on its way through the records.
            keeper.reindex.store(true, Ordering::Relaxed);
        }
        begin_on(&hub, self.arbiter + 1);
    }
}

impl<A: Session> Rounds<A> {
    fn hub(&self) -> Option<Arc<Hub<A>>> {
        self.hub.upgrade().filter(|hub| !hub.shutdown.is_complete())
    }

    /// While the registry shuts down nothing is ended here any more, but who waits still gives up.
    async fn run(&self) {
        let told = |hub: Arc<Hub<A>>| {
            let keeper = hub.keeper.as_ref()?;
            Some((Arc::clone(&keeper.news), Arc::clone(&keeper.waits.begin)))
        };
        let Some((news, waits)) = self.hub().and_then(told) else { return };
        let mut next = Some(Instant::now());
        let mut reindexing = None;
        loop {
            let gives_up = {
                let Some(hub) = self.hub() else { return };
                let Some(keeper) = &hub.keeper else { return };
                keeper.waits.next()
            };
            tokio::select! {
                () = until([next, gives_up].into_iter().flatten().min()) => {}
                () = waits.notified() => {}
                () = news.notified() => next = Some(Instant::now()),
            }
            let Some(hub) = self.hub() else { return };
            let Some(keeper) = &hub.keeper else { return };
            let now = Instant::now();
            keeper.give_up(&hub, now);
            if next.is_some_and(|next| next <= now) {
                let looks_at = if hub.shutdown.begun() { None } else { hub.go_around(&mut reindexing).await };
                next = looks_at.map(|at| hub.clock.instant(at));
            }
        }
    }
}

/// The deadlines are being computed by another policy than before.
struct Reindexing {
    /// The policy, as the store is to know it when that is done.
    policy: Option<String>,
    /// The last key that was looked at.
    after: Option<SessionKey>,
    /// All were.
    looked: bool,
    /// Sessions in memory, which have to save themselves with their new deadlines.
    unsettled: Vec<SessionKey>,
}

/// How a round goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pace {
    Rest,
    Done,
    AtOnce,
    Later,
}

impl<A: Session> Hub<A> {
    /// Makes rounds; who waits gives up meanwhile.
    async fn go_around(self: &Arc<Self>, reindexing: &mut Option<Reindexing>) -> Option<Moment> {
        let keeper = self.keeper.as_ref()?;
        let mut rounds = pin!(self.make_rounds(reindexing));
        loop {
            tokio::select! {
                looks_at = &mut rounds => return looks_at,
                () = until(keeper.waits.next()) => keeper.give_up(self, Instant::now()),
                () = keeper.waits.begin.notified() => {}
            }
        }
    }

    /// Ends what is due. Returns when to look again.
    async fn make_rounds(self: &Arc<Self>, reindexing: &mut Option<Reindexing>) -> Option<Moment> {
        let keeper = self.keeper.as_ref()?;
        // From here on whoever saves something tells.
        keeper.looks_at.store(u64::MAX, Ordering::Relaxed);
        if self.mode() == Mode::Observe {
            // Nothing is ended. A change of policy tells.
            return None;
        }
        if keeper.reindex.swap(false, Ordering::Relaxed) {
            let policy = keeper::text(&self.policy());
            *reindexing = Some(Reindexing { policy, after: None, looked: false, unsettled: Vec::new() });
        }
        // First: it is judged by the policy in force, whatever the index goes by.
        let due = self.end_due().await;
        let pace = match reindexing.as_mut() {
            Some(now) => self.reindex(now).await,
            None => Pace::Rest,
        };
        if pace == Pace::Done {
            *reindexing = None;
        }
        let next = match (due, pace) {
            // What was computed anew may be due before what was due next.
            (_, Pace::AtOnce | Pace::Done) => Some(self.clock.now()),
            (Some(next), Pace::Rest) => next,
            _ => self.clock.now().checked_add(AGAIN),
        };
        keeper.looks_at.store(next.map_or(u64::MAX, Moment::nanos), Ordering::Relaxed);
        next
    }

    /// `None` if the store failed; otherwise when the next is due.
    async fn end_due(self: &Arc<Self>) -> Option<Option<Moment>> {
        let keeper = self.keeper.as_ref()?;
        // Looked at, once. Those that the index has first all the same are in memory, unreadable, failed, or owed.
        let mut seen = HashSet::new();
        loop {
            let due = self.due(Duration::ZERO, SLICE + seen.len()).await?;
            let still_due = !due.is_empty();
            let new: Vec<_> = due.into_iter().map(|due| due.key).filter(|key| !seen.contains(key)).collect();
            if new.is_empty() {
                if still_due {
                    return self.due_after(&seen).await.map(Some);
                }
                break;
            }
            let looked = self.look_at(new).await?;
            if looked.iter().all(|(_, looked)| matches!(looked, Looked::Failed(_))) {
                return None;
            }
            for (key, looked) in looked {
                if matches!(looked, Looked::Elsewhere) {
                    // It has been active since it was saved: then it is saved with its new deadline.
                    if let Some(vitals) = self.journal.find(key.as_str()) {
                        vitals.wish(Wishes::SAVE);
                    }
                }
                if !matches!(looked, Looked::Ended(_)) {
                    seen.insert(key);
                }
            }
        }
        let next = keeper.ask(|asked| asked.call(|store| store.next_deadline())).await;
        Some(self.heard(next)?.map(|at| self.clock.of_wall(at)))
    }

    /// When the first is due that is none of these, which are looked at again after a while.
    async fn due_after(self: &Arc<Self>, seen: &HashSet<SessionKey>) -> Option<Moment> {
        let again = self.clock.now().checked_add(AGAIN)?;
        let soon = self.due(AGAIN, seen.len() + 1).await?;
        let next = soon.into_iter().find(|due| !seen.contains(&due.key));
        Some(next.map_or(again, |due| self.clock.of_wall(due.at).min(again)))
    }

    /// What is due by then, from now on.
    async fn due(&self, within: Duration, limit: usize) -> Option<Vec<Deadline>> {
        let until = self.clock.wall(self.clock.now()) + within;
        let due = self.keeper.as_ref()?.ask(move |asked| asked.call(|store| store.due(until, limit))).await;
        self.heard(due)
    }

    /// Looks at more of the records, because their deadlines may be others now, and sees to it in the end that all are
    /// right.
    async fn reindex(self: &Arc<Self>, reindexing: &mut Reindexing) -> Pace {
        for _ in 0..PAGES {
            if !reindexing.looked && self.look_at_page(reindexing).await.is_none() {
                return Pace::Later;
            }
        }
        if !reindexing.looked {
            return Pace::AtOnce;
        }
        if self.settle(reindexing).await == Some(true) { Pace::Done } else { Pace::Later }
    }

    /// `None` if the store failed: the same page again.
    async fn look_at_page(self: &Arc<Self>, reindexing: &mut Reindexing) -> Option<()> {
        let keeper = self.keeper.as_ref()?;
        let from = reindexing.after.clone();
        let page = keeper.ask(move |asked| asked.call(|store| store.page(from.as_ref(), SLICE))).await;
        let keys: Vec<_> = self.heard(page)?.into_iter().map(|entry| entry.key).collect();
        let Some(last) = keys.last().cloned() else {
            reindexing.looked = true;
            return Some(());
        };
        for (key, looked) in self.look_at(keys).await? {
            match looked {
                Looked::Elsewhere => reindexing.unsettled.push(key),
                Looked::Failed(_) => return None,
                Looked::Rests | Looked::Unreadable | Looked::Ended(_) => {}
            }
        }
        reindexing.after = Some(last);
        Some(())
    }

    /// Whether all deadlines are by this policy, and the store knows that. `None` if it failed.
    async fn settle(self: &Arc<Self>, reindexing: &mut Reindexing) -> Option<bool> {
        let keeper = self.keeper.as_ref()?;
        let mut unsettled = Vec::new();
        for keys in reindexing.unsettled.chunks(SLICE) {
            let (keys, hub) = (keys.to_vec(), Arc::clone(self));
            let asked = keeper.ask(move |asked| {
                let is_right = |key: &SessionKey| match asked.load(key) {
                    Ok(record) => Ok(record.is_none_or(|record| hub.has_its_deadline(key, record))),
                    // Whoever comes for it sets it aside.
                    Err(StoreError::Undecodable { .. }) => Ok(true),
                    Err(error) => Err(error),
                };
                keys.into_iter().map(|key| Ok((is_right(&key)?, key))).collect::<Result<Vec<_>, _>>()
            });
            let asked = self.heard(asked.await)?;
            unsettled.extend(asked.into_iter().filter(|(right, _)| !right).map(|(_, key)| key));
        }
        reindexing.unsettled = unsettled;
        let mut gone = Vec::new();
        for key in &reindexing.unsettled {
            match self.journal.find(key.as_str()) {
                Some(vitals) => vitals.wish(Wishes::SAVE),
                // It was on its way, and is in the store by now.
                None => gone.push(key.clone()),
            }
        }
        for keys in gone.chunks(SLICE) {
            self.look_at(keys.to_vec()).await?;
        }
        // Not if another policy has come meanwhile: what is saved goes by that already.
        if !reindexing.unsettled.is_empty() || self.shutdown.begun() || keeper.reindex.load(Ordering::Relaxed) {
            return Some(false);
        }
        // The first by itself: with it the store knows of every change so far, and one that comes after it is told apart.
        for policy in [None, reindexing.policy.clone()] {
            let (tell, told) = oneshot::channel();
            keeper.desk.write(Change::Policy(policy), move |outcome| drop(tell.send(outcome)));
            let told = tokio::time::timeout(keeper.timeout(), told).await;
            self.heard(told.ok().and_then(Result::ok))?;
        }
        Some(true)
    }

    /// Looks at these, and waits for the outcome no longer than for any answer of the store's. `None` if that was not
    /// enough.
    async fn look_at(self: &Arc<Self>, keys: Vec<SessionKey>) -> Option<Vec<(SessionKey, Looked)>> {
        let timeout = self.keeper.as_ref()?.timeout();
        let looks: FuturesUnordered<_> = keys
            .into_iter()
            .map(|key| {
                let (tell, told) = oneshot::channel();
                self.look(&key, None, move |looked| drop(tell.send(looked)));
                async move { (key, told.await.unwrap_or_else(|_| Looked::Failed(String::new()))) }
            })
            .collect();
        tokio::time::timeout(timeout, looks.collect()).await.ok()
    }

    /// What the store said, if it said something of use.
    fn heard<T>(&self, answer: Option<Result<T, StoreError>>) -> Option<T> {
        match answer {
            Some(Ok(answer)) => Some(answer),
            Some(Err(error)) => {
                // A subscriber that panics must not end the rounds.
                let _ = quietly(|| tracing::error!(%error, "the session store failed: what is due in it waits"));
                None
            }
            None => {
                let _ = quietly(|| tracing::error!("the session store does not answer: what is due in it waits"));
                None
            }
        }
    }
}
