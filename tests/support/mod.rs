//! What the tests of the promises share: one session actor that does what it is told, and a
//! recorder of what it went through.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use actix::prelude::*;
use session_actors::{
    EndReason, Ended, EventKind, Expiry, Hold, Limits, Policy, Session, SessionContext, SessionEvent, SessionKey,
    SessionRegistry, Warning, Watch, Watched,
};
use tokio::sync::oneshot;

pub fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

pub fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Ten seconds idle, an hour old, five seconds to drain.
pub fn limits() -> Limits {
    Limits::new().idle_timeout(secs(10)).max_age(secs(3600)).drain_timeout(secs(5))
}

/// What every session of a test went through, in order.
#[derive(Clone, Default)]
pub struct Log {
    lines: Arc<Mutex<Vec<String>>>,
    /// Actors alive, by their `Drop`.
    alive: Arc<AtomicUsize>,
}

impl Log {
    pub fn note(&self, line: impl Into<String>) {
        self.lines.lock().unwrap().push(line.into());
    }

    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.lines.lock().unwrap())
    }

    pub fn count(&self, part: &str) -> usize {
        self.lines().iter().filter(|line| line.contains(part)).count()
    }

    pub fn alive(&self) -> usize {
        self.alive.load(Ordering::SeqCst)
    }
}

/// A session that notes what happens to it, as `name: what`, `name` being `key#incarnation`.
pub struct Probe {
    name: String,
    log: Log,
    pub handled: u64,
    /// What `expiring` answers, from the first on; `End` when there is none left.
    pub extend: Vec<Duration>,
}

impl Probe {
    pub fn new(key: &SessionKey, log: &Log) -> Self {
        log.alive.fetch_add(1, Ordering::SeqCst);
        Self { name: key.to_string(), log: log.clone(), handled: 0, extend: Vec::new() }
    }

    fn note(&self, what: impl std::fmt::Display) {
        self.log.note(format!("{}: {what}", self.name));
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.log.alive.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Actor for Probe {
    type Context = SessionContext<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.name = format!("{}#{}", ctx.key(), ctx.id());
        self.note("started");
    }

    fn stopping(&mut self, ctx: &mut Self::Context) -> Running {
        self.note(format!("stopping {:?}", ctx.end_reason()));
        Running::Stop
    }

    fn stopped(&mut self, ctx: &mut Self::Context) {
        self.note(format!("stopped {:?}", ctx.end_reason()));
    }
}

impl Session for Probe {
    fn expiring(&mut self, _: &mut Self::Context) -> Expiry {
        self.note("expiring");
        if self.extend.is_empty() { Expiry::End } else { Expiry::Extend(self.extend.remove(0)) }
    }

    fn warned(&mut self, warning: Warning, _: &mut Self::Context) {
        self.note(format!("warned {} in {:?}", warning.reason, warning.remaining));
    }

    fn draining(&mut self, reason: EndReason, _: &mut Self::Context) {
        self.note(format!("draining {reason}"));
    }
}

/// Answers with how many messages this incarnation has handled, this one included.
#[derive(Message)]
#[rtype(result = "u64")]
pub struct Ping;

impl Handler<Ping> for Probe {
    type Result = u64;

    fn handle(&mut self, _: Ping, _: &mut Self::Context) -> u64 {
        self.handled += 1;
        self.handled
    }
}

/// Noted by its text.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Note(pub &'static str);

impl Handler<Note> for Probe {
    type Result = ();

    fn handle(&mut self, note: Note, _: &mut Self::Context) {
        self.handled += 1;
        self.note(note.0);
    }
}

/// Replies after a while, by a future outside of the context.
#[derive(Message)]
#[rtype(result = "&'static str")]
pub struct Slow(pub Duration);

impl Handler<Slow> for Probe {
    type Result = ResponseFuture<&'static str>;

    fn handle(&mut self, slow: Slow, _: &mut Self::Context) -> Self::Result {
        self.handled += 1;
        Box::pin(async move {
            tokio::time::sleep(slow.0).await;
            "slow"
        })
    }
}

/// Replies after a while, by a future in the context.
#[derive(Message)]
#[rtype(result = "&'static str")]
pub struct SlowInContext(pub Duration);

impl Handler<SlowInContext> for Probe {
    type Result = ResponseActFuture<Self, &'static str>;

    fn handle(&mut self, slow: SlowInContext, _: &mut Self::Context) -> Self::Result {
        self.handled += 1;
        Box::pin(tokio::time::sleep(slow.0).into_actor(self).map(|(), act, _| {
            act.note("slow in context done");
            "slow in context"
        }))
    }
}

/// Replies after a while and blocks the mailbox meanwhile.
#[derive(Message)]
#[rtype(result = "&'static str")]
pub struct Atomic(pub Duration);

impl Handler<Atomic> for Probe {
    type Result = AtomicResponse<Self, &'static str>;

    fn handle(&mut self, atomic: Atomic, _: &mut Self::Context) -> Self::Result {
        self.handled += 1;
        AtomicResponse::new(Box::pin(tokio::time::sleep(atomic.0).into_actor(self).map(|(), _, _| "atomic")))
    }
}

/// Panics with these words.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Boom(pub &'static str);

impl Handler<Boom> for Probe {
    type Result = ();

    fn handle(&mut self, boom: Boom, _: &mut Self::Context) {
        self.handled += 1;
        panic!("{}", boom.0);
    }
}

/// Calls `ctx.stop()`.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Stop;

impl Handler<Stop> for Probe {
    type Result = ();

    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) {
        self.handled += 1;
        ctx.stop();
    }
}

/// Gives a hold guard out.
#[derive(Message)]
#[rtype(result = "Hold")]
pub struct TakeHold;

impl Handler<TakeHold> for Probe {
    type Result = MessageResult<TakeHold>;

    fn handle(&mut self, _: TakeHold, ctx: &mut Self::Context) -> Self::Result {
        self.handled += 1;
        MessageResult(ctx.hold())
    }
}

type Job = Box<dyn FnOnce(&mut Probe, &mut SessionContext<Probe>) + Send>;

/// Runs code inside of the session, as a counted message.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Run(pub Job);

impl Run {
    pub fn new(job: impl FnOnce(&mut Probe, &mut SessionContext<Probe>) + Send + 'static) -> Self {
        Self(Box::new(job))
    }
}

impl Handler<Run> for Probe {
    type Result = ();

    fn handle(&mut self, run: Run, ctx: &mut Self::Context) {
        self.handled += 1;
        (run.0)(self, ctx);
    }
}

/// A registry of probes on this thread.
pub fn registry(limits: Limits, log: &Log) -> SessionRegistry<Probe> {
    registry_by(Policy::new(limits), log)
}

pub fn registry_by(policy: Policy, log: &Log) -> SessionRegistry<Probe> {
    let log = log.clone();
    SessionRegistry::builder(move |key| Probe::new(key, &log)).policy(policy).start().unwrap()
}

/// The next event; snapshots are passed over. Panics on a lag or at the end of the stream.
pub async fn next_event(watch: &mut Watch) -> Arc<SessionEvent> {
    loop {
        match watch.next().await.expect("the stream of events ended") {
            Watched::Event(event) => return event,
            Watched::Snapshot(_) => {}
            other => panic!("unexpected {other:?}"),
        }
    }
}

/// The next `Ended`; other events are passed over.
pub async fn next_end(watch: &mut Watch) -> (SessionKey, Ended) {
    loop {
        let event = next_event(watch).await;
        if let EventKind::Ended(ended) = &event.kind {
            return (event.key.clone(), ended.clone());
        }
    }
}

/// Lets everything that is ready run, without moving a paused clock.
pub async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

/// A sender and a future that waits for it: for replies that a test answers by hand.
pub fn gate() -> (oneshot::Sender<()>, oneshot::Receiver<()>) {
    oneshot::channel()
}

/// Silences the panic messages that a test provokes.
pub fn quiet_panics() {
    std::panic::set_hook(Box::new(|_| {}));
}
