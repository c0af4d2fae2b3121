//! Following the sessions of a registry.

#[cfg(test)]
mod model;
#[cfg(test)]
mod race;
#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    fmt, future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures_core::Stream;
use serde::{Serialize, Serializer};
use tokio::task::coop;

use crate::{
    event::{EventId, SessionEvent},
    info::SessionInfo,
    journal::{Detail, Journal, Read, ReaderId},
};

/// A stream of the live sessions, and then of everything that happens to them.
///
/// The first item is a [`Snapshot`](Watched::Snapshot) of the moment in which the watch was made; each event after that
/// follows, in order, without gap or repetition. So at any moment the snapshot plus the events so far is exactly the
/// set of live sessions. A watch that was resumed from an [`EventId`] the registry still remembers begins with the
/// events right away.
///
/// A watch never slows sessions down. It holds no events back for itself: who is slower than the registry's
/// `event_history` gets [`Lagged`](Watched::Lagged) with a fresh snapshot, and goes on from there.
///
/// The stream ends (`None`, and from then on always) when the registry has shut down and every event is delivered. A
/// watch does not keep the registry alive. Dropping it is all it takes to stop watching.
///
/// Each snapshot costs time in proportion to the live sessions, in the task that asks for it.
#[must_use = "a watch delivers when it is polled"]
pub struct Watch {
    journal: Arc<Journal>,
    reader: ReaderId,
    /// The first snapshot, until it is delivered.
    first: Option<Snapshot>,
    /// Events taken from the journal and not yet delivered.
    batch: VecDeque<Arc<SessionEvent>>,
    /// Where the journal is to be read next: everything up to and including this is delivered or in `first` or `batch`.
    read_to: EventId,
    detail: Detail,
    ended: bool,
}

impl Watch {
    /// A watch of the events after `after`. The journal counts the reader already; it leaves when the watch is dropped.
    pub(crate) fn new(journal: Arc<Journal>, reader: ReaderId, after: EventId, detail: Detail) -> Self {
        Self { journal, reader, first: None, batch: VecDeque::new(), read_to: after, detail, ended: false }
    }

    pub(crate) fn begin_with(&mut self, snapshot: Snapshot) {
        debug_assert_eq!(snapshot.at, self.read_to, "events must follow the snapshot");
        self.first = Some(snapshot);
    }

    /// The next item, or `None` at the end of the stream.
    ///
    /// Safe to cancel: an item is either returned or still there.
    pub async fn next(&mut self) -> Option<Watched> {
        future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    fn poll_item(&mut self, cx: &Context<'_>) -> Poll<Option<Watched>> {
        if let Some(snapshot) = self.first.take() {
            return Poll::Ready(Some(Watched::Snapshot(snapshot)));
        }
        if self.batch.is_empty() && !self.ended {
            match self.journal.read(self.reader, self.read_to.sequence(), self.detail, &mut self.batch, cx.waker()) {
                Read::Events => {
                    if let Some(newest) = self.batch.back() {
                        self.read_to = newest.id;
                    }
                }
                Read::Lagged { missed, live } => {
                    self.read_to = live.at();
                    return Poll::Ready(Some(Watched::Lagged { missed, snapshot: self.journal.snapshot(live) }));
                }
                Read::Pending => return Poll::Pending,
                Read::Closed => self.ended = true,
            }
        }
        Poll::Ready(self.batch.pop_front().map(Watched::Event))
    }
}

impl Stream for Watch {
    type Item = Watched;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Watched>> {
        // Under a flood of events there is always a next one. Taking part in tokio's budget, as its own channels do,
        // lets the neighbours of a task that does nothing but follow this run too.
        let budget = ready!(coop::poll_proceed(cx));
        let item = self.poll_item(cx);
        if item.is_ready() {
            budget.made_progress();
        }
        item
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.journal.leave(self.reader);
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("read_to", &self.read_to).field("ended", &self.ended).finish_non_exhaustive()
    }
}

/// What a [`Watch`] delivers.
///
/// In JSON every item is one flat object with an `event` tag and an `id` to resume from: an event as it is, a snapshot
/// as `{"event":"snapshot","id":…,"live":…,"sessions":[…]}`, a lag the same with `"event":"lagged"` and `missed`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Watched {
    /// The live sessions: what follows is relative to this.
    Snapshot(Snapshot),
    /// The next event.
    Event(Arc<SessionEvent>),
    /// The watch was too slow, and the events between its last item and this are gone. What follows is relative to this
    /// new snapshot.
    Lagged {
        /// How many events there were in between: the sequence of the last item's id plus this is the sequence of the
        /// snapshot.
        missed: u64,
        /// The live sessions after them.
        snapshot: Snapshot,
    },
}

impl Watched {
    /// Where a watcher stands after this item, to resume from: everything up to and including this event is known to
    /// it.
    #[must_use]
    pub fn id(&self) -> EventId {
        match self {
            Self::Event(event) => event.id,
            Self::Snapshot(snapshot) | Self::Lagged { snapshot, .. } => snapshot.at,
        }
    }
}

/// So that a `Recipient` can be fed with what happens.
impl actix::Message for Watched {
    type Result = ();
}

impl Serialize for Watched {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        /// The items that are no events, which have a tag already.
        #[derive(Serialize)]
        #[serde(tag = "event", rename_all = "snake_case")]
        enum Tagged<'a> {
            Snapshot(&'a Snapshot),
            Lagged {
                missed: u64,
                #[serde(flatten)]
                snapshot: &'a Snapshot,
            },
        }

        match self {
            Self::Event(event) => event.as_ref().serialize(serializer),
            Self::Snapshot(snapshot) => Tagged::Snapshot(snapshot).serialize(serializer),
            Self::Lagged { missed, snapshot } => Tagged::Lagged { missed: *missed, snapshot }.serialize(serializer),
        }
    }
}

/// The live sessions of one moment.
///
/// *Which* sessions is exactly the set after the event [`at`](Self::at). *How* they are is of a moment later: an info
/// may show already what one of the next events reports.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Snapshot {
    /// The last event it includes; sequence 0 if there was none yet. `id` in JSON.
    #[serde(rename = "id")]
    pub at: EventId,
    /// How many live sessions there are.
    pub live: usize,
    /// The sessions, oldest first (by [`SessionInfo::id`]). None in a watch of
    /// [events alone](crate::SessionRegistry::watch_events).
    pub sessions: Vec<SessionInfo>,
}
