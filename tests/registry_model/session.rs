//! The session under test: it does what its messages say, and keeps a diary.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use actix::prelude::*;
use session_actors::{Expiry, Hold, Session, SessionContext, SessionKey};
use tokio::sync::oneshot;

use super::rules::Own;

/// What a message asks for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum What {
    Plain,
    /// `ctx.touch()`.
    Touch,
    /// An interval of the session's own, which must change nothing.
    Clockwork,
    /// `ctx.stop()`.
    Stop,
    /// `ctx.stop()`, and `stopping` answers `Running::Continue`.
    StopAndGoOn,
    Panic,
    SetLimits(Option<Own>),
    /// `expiring` asks for this much more, once.
    Extend(Duration),
    Hold,
    /// Replies by a `ResponseFuture`, a `ResponseActFuture`, an `AtomicResponse`.
    Future,
    InContext,
    Atomic,
}

/// How a slow reply comes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Answer,
    Panic,
}

/// What the next incarnation of a key does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fail {
    Factory,
    Started,
}

/// What everybody writes into.
#[derive(Debug, Default)]
pub struct Diary {
    /// Messages as they were handled: key and number.
    handled: Mutex<Vec<(String, u64)>>,
    pub holds: Mutex<BTreeMap<u64, Hold>>,
    /// By key, once.
    pub fail: Mutex<BTreeMap<String, Fail>>,
    pub actors: Counter,
    pub messages: Counter,
    pub futures: Counter,
}

impl Diary {
    pub fn take_handled(&self) -> Vec<(String, u64)> {
        std::mem::take(&mut self.handled.lock().unwrap())
    }
}

/// How many of something are alive.
#[derive(Debug, Default, Clone)]
pub struct Counter(Arc<AtomicI64>);

impl Counter {
    pub fn get(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }

    pub fn count(&self) -> Alive {
        self.0.fetch_add(1, Ordering::SeqCst);
        Alive(self.clone())
    }
}

#[derive(Debug)]
pub struct Alive(Counter);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::SeqCst);
    }
}

pub struct Subject {
    key: String,
    diary: Arc<Diary>,
    extend: Vec<Duration>,
    go_on: bool,
    fail: bool,
    hooks: Hooks,
    _alive: Alive,
}

/// The calls of actix's hooks; checked when the actor is dropped.
#[derive(Debug, Default)]
struct Hooks {
    started: u32,
    stopping: u32,
    stopped: u32,
    went_on: u32,
    panicked: bool,
}

impl Subject {
    pub fn make(key: &SessionKey, diary: &Arc<Diary>) -> Self {
        let fail = diary.fail.lock().unwrap().remove(key.as_str());
        if fail == Some(Fail::Factory) {
            panic!("planned: no such session");
        }
        Self {
            key: key.to_string(),
            diary: Arc::clone(diary),
            extend: Vec::new(),
            go_on: false,
            fail: fail == Some(Fail::Started),
            hooks: Hooks::default(),
            _alive: diary.actors.count(),
        }
    }

    fn panic(&mut self, task: u64) -> ! {
        self.hooks.panicked = true;
        panic!("planned: {task}");
    }

    fn note(&self, task: &Task, ctx: &mut SessionContext<Self>) {
        assert_eq!(self.hooks.started, 1, "handled before it was started");
        assert_eq!(self.hooks.stopped, 0, "handled after it was stopped");
        self.diary.handled.lock().unwrap().push((self.key.clone(), task.id));
        if task.passive {
            ctx.passive();
        }
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let Hooks { started, stopping, stopped, went_on, panicked } = self.hooks;
        let ended = if panicked { 0 } else { 1 };
        assert_eq!((started, stopping, stopped), (1, ended + went_on, ended), "hooks of {}", self.key);
    }
}

impl Actor for Subject {
    type Context = SessionContext<Self>;

    fn started(&mut self, _: &mut Self::Context) {
        self.hooks.started += 1;
        if self.fail {
            self.panic(0);
        }
    }

    fn stopping(&mut self, ctx: &mut Self::Context) -> Running {
        self.hooks.stopping += 1;
        if !std::mem::take(&mut self.go_on) {
            return Running::Stop;
        }
        // What drains already cannot go on.
        if ctx.phase() == session_actors::Phase::Active {
            self.hooks.went_on += 1;
        }
        Running::Continue
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        self.hooks.stopped += 1;
    }
}

impl Session for Subject {
    fn expiring(&mut self, _: &mut Self::Context) -> Expiry {
        if self.extend.is_empty() { Expiry::End } else { Expiry::Extend(self.extend.remove(0)) }
    }
}

/// A message's contents. Every reply is the id of the incarnation that gave it.
pub struct Task {
    pub id: u64,
    pub what: What,
    pub passive: bool,
    _alive: Alive,
}

impl Task {
    pub fn new(id: u64, what: What, passive: bool, diary: &Diary) -> Self {
        Self { id, what, passive, _alive: diary.messages.count() }
    }
}

/// What a slow reply waits for.
pub type Gate = oneshot::Receiver<Outcome>;

#[derive(Message)]
#[rtype(result = "u64")]
pub struct Now(pub Task);

#[derive(Message)]
#[rtype(result = "u64")]
pub struct ByFuture(pub Task, pub Gate);

#[derive(Message)]
#[rtype(result = "u64")]
pub struct ByContext(pub Task, pub Gate);

#[derive(Message)]
#[rtype(result = "u64")]
pub struct ByAtomic(pub Task, pub Gate);

impl Handler<Now> for Subject {
    type Result = u64;

    fn handle(&mut self, Now(task): Now, ctx: &mut Self::Context) -> u64 {
        self.note(&task, ctx);
        match &task.what {
            What::Touch => ctx.touch(),
            What::Clockwork => {
                ctx.run_interval(Duration::from_millis(7), |_, _| {});
            }
            What::Stop => ctx.stop(),
            What::StopAndGoOn => {
                self.go_on = true;
                ctx.stop();
            }
            What::Panic => self.panic(task.id),
            // Refused where it contradicts the policy; then everything stays as it was.
            What::SetLimits(own) => drop(ctx.set_limits(own.map(|own| own.limits()))),
            What::Extend(by) => self.extend.push(*by),
            What::Hold => {
                self.diary.holds.lock().unwrap().insert(task.id, ctx.hold());
            }
            What::Plain | What::Future | What::InContext | What::Atomic => {}
        }
        ctx.id().get()
    }
}

/// The work behind a slow reply.
async fn work(id: u64, gate: Gate, session: u64, _alive: Alive) -> u64 {
    if gate.await == Ok(Outcome::Panic) {
        panic!("planned: {id}");
    }
    session
}

impl Handler<ByFuture> for Subject {
    type Result = ResponseFuture<u64>;

    fn handle(&mut self, ByFuture(task, gate): ByFuture, ctx: &mut Self::Context) -> Self::Result {
        self.note(&task, ctx);
        Box::pin(work(task.id, gate, ctx.id().get(), self.diary.futures.count()))
    }
}

impl Subject {
    /// The same as a future of the actor's, whose panic is the session's.
    fn work(&mut self, id: u64, gate: Gate, ctx: &mut SessionContext<Self>) -> ResponseActFuture<Self, u64> {
        let (session, alive) = (ctx.id().get(), self.diary.futures.count());
        Box::pin(gate.into_actor(self).map(move |outcome, act, _| {
            let _alive = alive;
            if outcome == Ok(Outcome::Panic) {
                act.panic(id);
            }
            session
        }))
    }
}

impl Handler<ByContext> for Subject {
    type Result = ResponseActFuture<Self, u64>;

    fn handle(&mut self, ByContext(task, gate): ByContext, ctx: &mut Self::Context) -> Self::Result {
        self.note(&task, ctx);
        self.work(task.id, gate, ctx)
    }
}

impl Handler<ByAtomic> for Subject {
    type Result = AtomicResponse<Self, u64>;

    fn handle(&mut self, ByAtomic(task, gate): ByAtomic, ctx: &mut Self::Context) -> Self::Result {
        self.note(&task, ctx);
        AtomicResponse::new(self.work(task.id, gate, ctx))
    }
}
