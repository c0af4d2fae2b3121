//! The metrics of a registry, by the [`metrics`] facade: whatever recorder the process has installed gets them.
//!
//! Names and units are those of Prometheus. All have the label `registry`, the name given to [`RegistryMetrics::new`].
//!
//! | metric | kind | further labels | what |
//! |---|---|---|---|
//! | `session_actors_sessions` | gauge | `state`: `active`, `draining`, `waiting` | sessions there are; waiting ones may not start yet |
//! | `session_actors_stored` | gauge | | sessions that the store has, those in memory that have been saved among them; as of the last `period` |
//! | `session_actors_sessions_max` | gauge | | the cap; infinite if there is none |
//! | `session_actors_opened_total` | counter | | sessions opened |
//! | `session_actors_ended_total` | counter | `reason` | sessions ended |
//! | `session_actors_ended_in_store_total` | counter | | of them, those whose time came while they were in the store |
//! | `session_actors_start_failed_total` | counter | | starts that failed |
//! | `session_actors_refused_total` | counter | | opens refused for lack of room |
//! | `session_actors_passivated_total`, `session_actors_restored_total` | counter | | times that a session left memory for the store, and came back |
//! | `session_actors_store_failed_total` | counter | `task`: `load`, `save`, `remove` | times that the store could not do what it was asked |
//! | `session_actors_warned_total`, `session_actors_extended_total` | counter | | warnings before a deadline; extensions granted at one |
//! | `session_actors_would_end_total` | counter | | ends that observe mode did not carry out |
//! | `session_actors_messages_handed_over_total`, `session_actors_messages_dropped_total` | counter | | messages that ended sessions left to their successors, and to nobody |
//! | `session_actors_work_cut_total` | counter | | pieces of work that ends have cut |
//! | `session_actors_watchers`, `session_actors_watch_lagged_total` | gauge, counter | | watches that there are; times that one fell behind |
//! | `session_actors_age_seconds`, `session_actors_idle_seconds` | histogram | `reason` | of a session at its end |
//! | `session_actors_expiry_late_seconds` | histogram | `reason`: `idle_timeout`, `max_age`, `stuck` | from the deadline that a session passed until it began to end |
//! | `session_actors_drain_seconds` | histogram | `reason` | from the moment a session was to end until it had, if it had work to finish first |
//!
//! ```
//! # use actix::prelude::*;
//! # use session_actors::{Session, SessionContext, SessionRegistry};
//! # struct Chat;
//! # impl Actor for Chat { type Context = SessionContext<Self>; }
//! # impl Session for Chat {}
//! use std::time::Duration;
//! use session_actors::metrics::RegistryMetrics;
//!
//! # #[actix::main]
//! # async fn main() {
//! let sessions = SessionRegistry::builder(|_| Chat).start().unwrap();
//! // Install a recorder before this, such as that of metrics-exporter-prometheus.
//! let metrics = RegistryMetrics::new(&sessions, "chat");
//! actix::spawn(metrics.clone().run(Duration::from_secs(5)));
//! // And before a scrape, so that it sees the numbers of this very moment:
//! metrics.update();
//! # }
//! ```

use std::{
    collections::HashMap,
    fmt,
    future::{Future, pending},
    pin::Pin,
    sync::Arc,
    time::{Duration, SystemTime},
};

use metrics::{
    Counter, Gauge, Histogram, SharedString, Unit, counter, describe_counter, describe_gauge, describe_histogram,
    gauge, histogram,
};
use tokio::time::{MissedTickBehavior, interval};

use crate::{
    EndReason, Ended, EventKind, Session, SessionEvent, SessionId, SessionRegistry, Stats, StoreTask, Watched,
    WeakSessionRegistry,
};

/// Tells the metrics of a registry to the recorder of the process.
///
/// Counters and gauges come from [`SessionRegistry::stats`] when [`update`](Self::update) is called, so they are exact
/// however busy the registry is. The histograms come from its events, which [`run`](Self::run) watches.
pub struct RegistryMetrics<A: Session> {
    registry: WeakSessionRegistry<A>,
    handles: Arc<Handles>,
}

impl<A: Session> RegistryMetrics<A> {
    /// Describes the metrics to the recorder and registers them, each at zero. `name` tells the registries of a process
    /// apart.
    ///
    /// A recorder that is installed later than this gets none of them. Does not keep the registry open.
    pub fn new(registry: &SessionRegistry<A>, name: impl Into<String>) -> Self {
        let metrics = Self { registry: registry.downgrade(), handles: Arc::new(Handles::register(name.into())) };
        metrics.update();
        metrics
    }

    /// Reads the registry's numbers once. Nothing happens when the registry is gone.
    pub fn update(&self) {
        if let Some(registry) = self.registry.upgrade() {
            self.handles.set(&registry.stats());
        }
    }

    /// Watches the registry for the histograms, and [updates](Self::update) each `period`, until the registry has shut
    /// down. To be spawned, once.
    ///
    /// It never slows sessions down: if more than the registry's `event_history` happens while it is not polled, those
    /// ends are missing in the histograms, and `session_actors_watch_lagged_total` counts that.
    ///
    /// # Panics
    ///
    /// If `period` is zero.
    pub async fn run(self, period: Duration) {
        let Some(mut watch) = self.registry.upgrade().map(|registry| registry.watch()) else { return };
        let mut ticks = interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut draining = HashMap::new();
        let mut asked = None;
        loop {
            tokio::select! {
                watched = watch.next() => match watched {
                    Some(Watched::Event(event)) => self.handles.note(&event, &mut draining),
                    // What happened in between is not known: no end is taken for one that began to drain before it.
                    Some(Watched::Lagged { .. }) => draining.clear(),
                    Some(_) => {}
                    None => return self.update(),
                },
                _ = ticks.tick() => {
                    self.update();
                    if asked.is_none() {
                        asked = self.registry.upgrade().map(|registry| Box::pin(registry.stored()));
                    }
                }
                stored = answer(&mut asked) => {
                    asked = None;
                    if let Some(stored) = stored {
                        self.handles.set_stored(stored);
                    }
                }
            }
        }
    }
}

/// Of the store, if it was asked.
async fn answer(asked: &mut Option<Pin<Box<impl Future<Output = Option<u64>>>>>) -> Option<u64> {
    match asked {
        Some(asked) => asked.await,
        None => pending().await,
    }
}

impl<A: Session> Clone for RegistryMetrics<A> {
    fn clone(&self) -> Self {
        Self { registry: self.registry.clone(), handles: Arc::clone(&self.handles) }
    }
}

impl<A: Session> fmt::Debug for RegistryMetrics<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RegistryMetrics")
    }
}

/// Of one reason.
struct AtEnd {
    ended: Counter,
    age: Histogram,
    idle: Histogram,
    /// Of a deadline.
    late: Option<Histogram>,
    drain: Histogram,
}

/// How the registry's numbers tell a counter.
type Told = fn(&Stats) -> u64;

struct Handles {
    active: Gauge,
    draining: Gauge,
    waiting: Gauge,
    stored: Gauge,
    max: Gauge,
    watchers: Gauge,
    /// In the order of [`EndReason::ALL`].
    at_end: Vec<AtEnd>,
    /// In the order of [`StoreTask::ALL`].
    store_failed: Vec<Counter>,
    /// What is counted, and how the registry's numbers tell it.
    counters: Vec<(Counter, Told)>,
}

/// The counters without a label of their own.
const COUNTERS: [(&str, &str, Told); 13] = [
    ("session_actors_opened_total", "Sessions opened", |stats| stats.opened),
    ("session_actors_ended_in_store_total", "Sessions whose time came while they were in the store", |stats| {
        stats.ended_in_store
    }),
    ("session_actors_start_failed_total", "Starts that failed", |stats| stats.start_failed),
    ("session_actors_refused_total", "Opens refused for lack of room", |stats| stats.refused),
    ("session_actors_passivated_total", "Times that a session left memory for the store", |stats| stats.passivated),
    ("session_actors_restored_total", "Times that a session came back from the store", |stats| stats.restored),
    ("session_actors_warned_total", "Warnings before a deadline", |stats| stats.warned),
    ("session_actors_extended_total", "Extensions granted at an idle deadline", |stats| stats.extended),
    ("session_actors_would_end_total", "Ends that observe mode did not carry out", |stats| stats.would_end),
    ("session_actors_messages_handed_over_total", "Messages that ended sessions left to their successors", |stats| {
        stats.messages_handed_over
    }),
    ("session_actors_messages_dropped_total", "Messages that ended sessions left to nobody", |stats| {
        stats.messages_dropped
    }),
    ("session_actors_work_cut_total", "Pieces of work that ends have cut", |stats| stats.work_cut),
    ("session_actors_watch_lagged_total", "Times that a watch fell behind", |stats| stats.lagged),
];

const SESSIONS: &str = "session_actors_sessions";
const STORED: &str = "session_actors_stored";
const MAX: &str = "session_actors_sessions_max";
const WATCHERS: &str = "session_actors_watchers";
const ENDED: &str = "session_actors_ended_total";
const AGE: &str = "session_actors_age_seconds";
const IDLE: &str = "session_actors_idle_seconds";
const STORE_FAILED: &str = "session_actors_store_failed_total";
const LATE: &str = "session_actors_expiry_late_seconds";
const DRAIN: &str = "session_actors_drain_seconds";

impl Handles {
    fn register(name: String) -> Self {
        describe();
        let name = SharedString::from(name);
        let state = |state: &'static str| gauge!(SESSIONS, "registry" => name.clone(), "state" => state);
        let at_end = |of: &EndReason| {
            let reason = of.as_str();
            AtEnd {
                ended: counter!(ENDED, "registry" => name.clone(), "reason" => reason),
                age: histogram!(AGE, "registry" => name.clone(), "reason" => reason),
                idle: histogram!(IDLE, "registry" => name.clone(), "reason" => reason),
                late: of.is_deadline().then(|| histogram!(LATE, "registry" => name.clone(), "reason" => reason)),
                drain: histogram!(DRAIN, "registry" => name.clone(), "reason" => reason),
            }
        };
        let failed = |task: &StoreTask| counter!(STORE_FAILED, "registry" => name.clone(), "task" => task.as_str());
        Self {
            active: state("active"),
            draining: state("draining"),
            waiting: state("waiting"),
            stored: gauge!(STORED, "registry" => name.clone()),
            max: gauge!(MAX, "registry" => name.clone()),
            watchers: gauge!(WATCHERS, "registry" => name.clone()),
            at_end: EndReason::ALL.iter().map(at_end).collect(),
            store_failed: StoreTask::ALL.iter().map(failed).collect(),
            counters: COUNTERS.map(|(metric, _, of)| (counter!(metric, "registry" => name.clone()), of)).into(),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "gauges are floats")]
    fn set(&self, stats: &Stats) {
        self.active.set(stats.live.saturating_sub(stats.draining) as f64);
        self.draining.set(stats.draining as f64);
        self.waiting.set(stats.waiting as f64);
        self.max.set(stats.max_sessions.map_or(f64::INFINITY, |max| max as f64));
        self.watchers.set(stats.watchers as f64);
        for ((_, ended), at_end) in stats.ended.iter().zip(&self.at_end) {
            at_end.ended.absolute(ended);
        }
        for ((_, failed), counter) in stats.store_failed.iter().zip(&self.store_failed) {
            counter.absolute(failed);
        }
        for (counter, of) in &self.counters {
            counter.absolute(of(stats));
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "gauges are floats")]
    fn set_stored(&self, stored: u64) {
        self.stored.set(stored as f64);
    }

    fn note(&self, event: &SessionEvent, draining: &mut HashMap<SessionId, SystemTime>) {
        match &event.kind {
            EventKind::Draining { .. } => drop(draining.insert(event.session, event.at)),
            // A shutdown drains what it passivates as well.
            EventKind::Passivated { .. } => drop(draining.remove(&event.session)),
            EventKind::Ended(Ended { reason, age, idle, late, .. }) => {
                let Some(at_end) = self.at_end.get(*reason as usize) else { return };
                at_end.age.record(*age);
                at_end.idle.record(*idle);
                if let (Some(late), Some(histogram)) = (late, &at_end.late) {
                    histogram.record(*late);
                }
                if let Some(since) = draining.remove(&event.session) {
                    at_end.drain.record(event.at.duration_since(since).unwrap_or_default());
                }
            }
            _ => {}
        }
    }
}

fn describe() {
    describe_gauge!(SESSIONS, "Sessions there are, by state; waiting ones may not start yet");
    describe_gauge!(STORED, "Sessions that the store has, those in memory that have been saved among them");
    describe_gauge!(MAX, "The cap on sessions");
    describe_gauge!(WATCHERS, "Watches there are");
    describe_counter!(ENDED, "Sessions ended, by reason");
    describe_counter!(STORE_FAILED, "Times that the store could not do what it was asked, by what that was");
    for (metric, what, _) in COUNTERS {
        describe_counter!(metric, what);
    }
    describe_histogram!(AGE, Unit::Seconds, "Age of a session at its end");
    describe_histogram!(IDLE, Unit::Seconds, "How long a session had been idle at its end");
    describe_histogram!(LATE, Unit::Seconds, "From the deadline that a session passed until it began to end");
    describe_histogram!(
        DRAIN,
        Unit::Seconds,
        "From the moment a session was to end until it had, if it had work to finish"
    );
}
