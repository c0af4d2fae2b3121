//! What the tests of the journal and of watches share.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use futures_core::Stream;

use super::Journal;
use crate::{
    clock::Clock,
    event::{EndReason, Ended, EventKind, SessionId},
    key::SessionKey,
    limits::EffectiveLimits,
    rules::AppliedRule,
    session::vitals::Vitals,
    stats::{Capacity, Stats},
    watch::{Watch, Watched},
};

/// The one place where these tests make vitals.
pub(crate) fn vitals(key: &str, id: u64) -> Arc<Vitals> {
    Arc::new(Vitals::new(SessionKey::new(key).unwrap(), SessionId::new(id)))
}

pub(crate) fn journal(history: usize) -> Arc<Journal> {
    Journal::new(Arc::new(Clock::new()), history)
}

pub(crate) fn open(journal: &Journal, key: &str, id: u64) -> Arc<Vitals> {
    let vitals = vitals(key, id);
    opened(journal, &vitals);
    vitals
}

pub(crate) fn opened(journal: &Journal, vitals: &Arc<Vitals>) {
    vitals.set_started(journal.now(), journal.now(), 0);
    journal.opened(journal.now(), vitals, EffectiveLimits::default(), AppliedRule::Default);
}

pub(crate) fn end(journal: &Journal, vitals: &Arc<Vitals>) {
    journal.ended(journal.now(), vitals, ended(EndReason::Closed));
}

pub(crate) fn ended(reason: EndReason) -> Ended {
    Ended {
        reason,
        age: Duration::ZERO,
        idle: Duration::ZERO,
        late: None,
        handled: 0,
        cut: 0,
        handed_over: 0,
        dropped: 0,
        panic: None,
    }
}

pub(crate) fn extend(journal: &Journal, vitals: &Vitals) {
    journal.publish(journal.now(), vitals.key(), vitals.id(), EventKind::Extended { by: Duration::from_secs(1) });
}

pub(crate) fn drain(journal: &Journal, vitals: &Vitals) {
    journal.publish(
        journal.now(),
        vitals.key(),
        vitals.id(),
        EventKind::Draining { reason: EndReason::Closed, in_flight: 1 },
    );
}

pub(crate) fn stats(journal: &Journal) -> Stats {
    journal.stats(Capacity { waiting: 0, keys: 0, max_sessions: None, refused: 0 })
}

/// Counts how often it is woken.
#[derive(Default)]
pub(crate) struct Alarm(AtomicUsize);

impl Alarm {
    /// How often since the last time of asking.
    pub(crate) fn rung(&self) -> usize {
        self.0.swap(0, Ordering::SeqCst)
    }
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Polls once.
pub(crate) fn poll(watch: &mut Watch, alarm: &Arc<Alarm>) -> Poll<Option<Watched>> {
    let waker = Waker::from(Arc::clone(alarm));
    std::pin::Pin::new(watch).poll_next(&mut Context::from_waker(&waker))
}

/// What the watch has to deliver now, in short: `"open a"`, `"end a"`, `"snapshot 2: a b"`, `"lagged 3, 5: a"`,
/// `"none"`.
pub(crate) fn drained(watch: &mut Watch) -> Vec<String> {
    let alarm = Arc::default();
    let mut items = Vec::new();
    while let Poll::Ready(item) = poll(watch, &alarm) {
        let over = item.is_none();
        items.push(item.map_or_else(|| "none".to_owned(), |item| short(&item)));
        if over {
            break;
        }
    }
    items
}

fn short(item: &Watched) -> String {
    let sessions = |snapshot: &crate::watch::Snapshot| {
        let keys: Vec<_> = snapshot.sessions.iter().map(|info| info.key.as_str()).collect();
        format!("{}: {}", snapshot.at.sequence(), keys.join(" "))
    };
    match item {
        Watched::Snapshot(snapshot) => format!("snapshot {}", sessions(snapshot)),
        Watched::Lagged { missed, snapshot } => format!("lagged {missed}, {}", sessions(snapshot)),
        Watched::Event(event) => {
            let what = match event.kind {
                EventKind::Opened { .. } => "open",
                EventKind::Ended(_) => "end",
                EventKind::StartFailed { .. } => "fail",
                EventKind::Draining { .. } => "drain",
                _ => "report",
            };
            format!("{what} {}", event.key)
        }
    }
}
