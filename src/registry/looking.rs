//! What there is, and what happens.

use std::sync::atomic::Ordering;

use actix::Recipient;

use super::SessionRegistry;
use crate::{
    error::OpenError,
    event::EventId,
    info::SessionInfo,
    journal::Detail,
    keeping::Keeper,
    key::IntoKey,
    session::Session,
    stats::{Capacity, Stats},
    watch::{Watch, Watched},
};

impl<A: Session> SessionRegistry<A> {
    /// A picture of the session of `key`, if it is live.
    pub fn info(&self, key: impl IntoKey) -> Option<SessionInfo> {
        let hub = self.hub();
        let vitals = hub.journal.find(key.as_str())?;
        Some(vitals.info(&hub.clock, hub.clock.now()))
    }

    /// A picture of every live session, in the order they were opened.
    pub fn list(&self) -> Vec<SessionInfo> {
        let hub = self.hub();
        let now = hub.clock.now();
        let mut live = hub.journal.live();
        live.sort_unstable_by_key(|vitals| vitals.id());
        live.iter().map(|vitals| vitals.info(&hub.clock, now)).collect()
    }

    /// How many sessions are live.
    pub fn len(&self) -> usize {
        self.hub().journal.len()
    }

    /// Whether no session is live.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What has happened so far, and what there is now.
    pub fn stats(&self) -> Stats {
        let hub = self.hub();
        let (keys, newcomers) = hub.capacity.used();
        hub.journal.stats(Capacity {
            waiting: hub.directory.waiting() + newcomers,
            keys,
            max_sessions: hub.policy().get_max_sessions(),
            refused: hub.refused.load(Ordering::Relaxed),
        })
    }

    /// How many sessions the store has: those that rest, and those in memory that have been saved. `None` if sessions are not
    /// [kept in one](Self::is_persistent), or if it does not answer within `store_timeout`.
    pub fn stored(&self) -> impl Future<Output = Option<u64>> + Send + use<A> {
        let count = self.hub().keeper.as_ref().map(Keeper::count);
        async move {
            match count {
                Some(count) => count.await,
                None => None,
            }
        }
    }

    /// Every live session now, then every event after it. See [`Watch`].
    pub fn watch(&self) -> Watch {
        self.hub().journal.watch(None)
    }

    /// As [`watch`](Self::watch), for a watcher that comes back: every event after `last`, without
    /// the snapshot, if they are all still known (`event_history`); otherwise from a new snapshot.
    pub fn watch_from(&self, last: EventId) -> Watch {
        self.hub().journal.watch(Some(last))
    }

    /// As [`watch`](Self::watch), or, after `last`, as [`watch_from`](Self::watch_from), but for whoever wants the events
    /// and not the sessions: snapshots only say how many there are ([`Snapshot::live`](crate::Snapshot::live)), which costs
    /// nothing however many that is.
    pub fn watch_events(&self, last: Option<EventId>) -> Watch {
        self.hub().journal.watch_as(last, Detail::Count)
    }

    /// Feeds an actor with what [`watch`](Self::watch) gives, one at a time: the next is sent when
    /// the last was handled. Ends when the recipient is gone, or with the last event of a shutdown.
    ///
    /// # Errors
    ///
    /// If the arbiter that started the registry has stopped: the feed runs there.
    pub fn watch_to(&self, recipient: Recipient<Watched>) -> Result<(), OpenError> {
        let mut watch = self.watch();
        let feed = async move {
            while let Some(watched) = watch.next().await {
                if recipient.send(watched).await.is_err() {
                    break;
                }
            }
        };
        // Not on an arbiter of the registry's own, which a shutdown stops before the feed has come to its end.
        if self.hub().spawn(feed) { Ok(()) } else { Err(OpenError::NoHost) }
    }
}
