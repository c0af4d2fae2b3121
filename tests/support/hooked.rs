//! A session whose hooks the test writes, for what `Probe` does not do by itself.
//!
//! Every line it notes begins with `key#n`, `n` being the n-th actor that was made for the key.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, Once},
};

use actix::prelude::*;
use session_actors::{
    EndReason, Expiry, Limits, Policy, RegistryBuilder, SendError, Session, SessionContext, SessionKey,
    SessionRegistry, Unserved, Warning,
};

use crate::support::Log;

/// Where a hook may be put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Made,
    Started,
    Expiring,
    Warned,
    Draining,
    Stopping,
    Stopped,
    Dropped,
}

type Hook = Arc<dyn Fn(&mut Hooked, &mut SessionContext<Hooked>) + Send + Sync>;
type BareHook = Arc<dyn Fn(&Hooked) + Send + Sync>;

/// What all sessions of a registry do in their hooks.
#[derive(Clone)]
pub struct Script {
    log: Log,
    hooks: Vec<(Place, Hook)>,
    /// Those that have no context.
    bare: Vec<(Place, BareHook)>,
    refusals: u32,
    made: Arc<Mutex<HashMap<String, u32>>>,
}

impl Script {
    pub fn new(log: &Log) -> Self {
        Self { log: log.clone(), hooks: Vec::new(), bare: Vec::new(), refusals: 0, made: Arc::default() }
    }

    #[must_use]
    pub fn on(
        mut self,
        place: Place,
        hook: impl Fn(&mut Hooked, &mut SessionContext<Hooked>) + Send + Sync + 'static,
    ) -> Self {
        assert!(!matches!(place, Place::Made | Place::Dropped), "there is no context in {place:?}");
        self.hooks.push((place, Arc::new(hook)));
        self
    }

    /// For `Made` (in the factory) and `Dropped` (in `Drop`), which have no context.
    #[must_use]
    pub fn on_bare(mut self, place: Place, hook: impl Fn(&Hooked) + Send + Sync + 'static) -> Self {
        assert!(matches!(place, Place::Made | Place::Dropped), "there is a context in {place:?}");
        self.bare.push((place, Arc::new(hook)));
        self
    }

    /// The n-th actor of a key panics there, with words that tell which and where.
    #[must_use]
    pub fn booms(self, place: Place, incarnation: u32) -> Self {
        let boom = move |n: u32| assert!(n != incarnation, "boom in {place:?} of {n}");
        match place {
            Place::Made | Place::Dropped => self.on_bare(place, move |act| boom(act.incarnation)),
            _ => self.on(place, move |act, _| boom(act.incarnation)),
        }
    }

    /// `stopping` answers `Continue` so many times.
    #[must_use]
    pub fn refusing(mut self, times: u32) -> Self {
        self.refusals = times;
        self
    }

    pub fn make(&self, key: &SessionKey) -> Hooked {
        let incarnation = {
            let mut made = self.made.lock().unwrap();
            let made = made.entry(key.to_string()).or_default();
            *made += 1;
            *made
        };
        let act = Hooked {
            name: format!("{key}#{incarnation}"),
            incarnation,
            handled: 0,
            refusals: self.refusals,
            script: self.clone(),
        };
        act.note("made");
        act.run_bare(Place::Made);
        act
    }

    pub fn builder(&self) -> RegistryBuilder<Hooked> {
        let script = self.clone();
        SessionRegistry::builder(move |key| script.make(key))
    }

    /// A registry of them on this thread.
    pub fn registry(&self, limits: Limits) -> SessionRegistry<Hooked> {
        self.builder().policy(Policy::new(limits)).start().unwrap()
    }
}

pub struct Hooked {
    name: String,
    pub incarnation: u32,
    pub handled: u64,
    refusals: u32,
    script: Script,
}

impl Hooked {
    pub fn note(&self, what: impl std::fmt::Display) {
        self.script.log.note(format!("{} {what}", self.name));
    }

    pub fn key(&self) -> &str {
        self.name.split('#').next().unwrap()
    }

    fn run(&mut self, place: Place, ctx: &mut SessionContext<Self>) {
        let hooks = self.script.hooks.clone();
        for (_, hook) in hooks.iter().filter(|(at, _)| *at == place) {
            hook(self, ctx);
        }
    }

    fn run_bare(&self, place: Place) {
        for (_, hook) in self.script.bare.iter().filter(|(at, _)| *at == place) {
            hook(self);
        }
    }
}

impl Drop for Hooked {
    fn drop(&mut self) {
        self.note("dropped");
        self.run_bare(Place::Dropped);
    }
}

impl Actor for Hooked {
    type Context = SessionContext<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.note("started");
        self.run(Place::Started, ctx);
    }

    fn stopping(&mut self, ctx: &mut Self::Context) -> Running {
        self.note("stopping");
        self.run(Place::Stopping, ctx);
        if self.refusals == 0 {
            return Running::Stop;
        }
        self.refusals -= 1;
        Running::Continue
    }

    fn stopped(&mut self, ctx: &mut Self::Context) {
        self.note("stopped");
        self.run(Place::Stopped, ctx);
    }
}

impl Session for Hooked {
    fn expiring(&mut self, ctx: &mut Self::Context) -> Expiry {
        self.note("expiring");
        self.run(Place::Expiring, ctx);
        Expiry::End
    }

    fn warned(&mut self, _: Warning, ctx: &mut Self::Context) {
        self.note("warned");
        self.run(Place::Warned, ctx);
    }

    fn draining(&mut self, _: EndReason, ctx: &mut Self::Context) {
        self.note("draining");
        self.run(Place::Draining, ctx);
    }
}

/// Notes its text; answers with the number of the incarnation that handled it.
#[derive(Message)]
#[rtype(result = "u32")]
pub struct Mark(pub &'static str);

impl Handler<Mark> for Hooked {
    type Result = u32;

    fn handle(&mut self, mark: Mark, _: &mut Self::Context) -> u32 {
        self.handled += 1;
        self.note(mark.0);
        self.incarnation
    }
}

type Job = Box<dyn FnOnce(&mut Hooked, &mut SessionContext<Hooked>) + Send>;

/// Runs code inside of the session; answers as `Mark` does.
#[derive(Message)]
#[rtype(result = "u32")]
pub struct Do(pub Job);

impl Do {
    pub fn new(job: impl FnOnce(&mut Hooked, &mut SessionContext<Hooked>) + Send + 'static) -> Self {
        Self(Box::new(job))
    }

    /// Ends the session by its own will.
    pub fn stop() -> Self {
        Self::new(|_, ctx| ctx.stop())
    }

    /// Panics with these words, which should begin with `boom`.
    pub fn panic(words: &'static str) -> Self {
        Self::new(move |_, _| panic!("{words}"))
    }

    /// Blocks the mailbox for ever.
    pub fn block() -> Self {
        Self::new(|act, ctx| ctx.wait(std::future::pending::<()>().into_actor(act)))
    }
}

impl Handler<Do> for Hooked {
    type Result = u32;

    fn handle(&mut self, job: Do, ctx: &mut Self::Context) -> u32 {
        self.handled += 1;
        (job.0)(self, ctx);
        self.incarnation
    }
}

/// Why a message went unserved.
pub fn cause<T, M>(answer: Result<T, SendError<M>>) -> Unserved {
    match answer {
        Err(SendError::Unserved { cause }) => cause,
        Err(other) => panic!("not accepted: {other:?}"),
        Ok(_) => panic!("it was answered"),
    }
}

pub fn ended(reason: EndReason) -> Unserved {
    Unserved::Ended { reason, panic: None }
}

pub fn panicked(words: &str) -> Unserved {
    Unserved::Ended { reason: EndReason::Panicked, panic: Some(words.to_owned()) }
}

/// Silences the panics that tests provoke, whose words begin with `boom`, and no others.
pub fn expect_booms() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let payload = info.payload();
            let text = payload.downcast_ref::<&str>().copied();
            let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
            if !text.is_some_and(|text| text.starts_with("boom")) {
                usual(info);
            }
        }));
    });
}
