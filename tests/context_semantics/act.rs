//! The actor that most of the tests use: it does what it is told, and notes what happens and when.

use std::time::Duration;

use actix::prelude::*;
use tokio::time::{Instant, sleep};

use super::{Ctx, Session};
use crate::support::{Log, millis};

pub(super) struct Act {
    log: Log,
    began: Instant,
    /// How often it declines to stop.
    pub(super) declines: u32,
}

impl Act {
    pub(super) fn new(log: &Log) -> Self {
        Self { log: log.clone(), began: Instant::now(), declines: 0 }
    }

    /// Notes the time with it, in milliseconds, rounded to tens for the ticks of the timer.
    pub(super) fn note(&self, what: impl std::fmt::Display) {
        let at = (self.began.elapsed().as_millis() + 5) / 10 * 10;
        self.log.note(format!("{at}: {what}"));
    }
}

impl Actor for Act {
    type Context = Ctx<Self>;

    fn stopping(&mut self, ctx: &mut Self::Context) -> Running {
        self.note(format!("stopping {:?}", ctx.state()));
        if self.declines > 0 {
            self.declines -= 1;
            return Running::Continue;
        }
        Running::Stop
    }

    fn stopped(&mut self, ctx: &mut Self::Context) {
        self.note(format!("stopped {:?}", ctx.state()));
    }
}

impl Session for Act {}

type Job = Box<dyn FnOnce(&mut Act, &mut Ctx<Act>) + Send>;

/// Runs code in the actor.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Do(Job);

impl Do {
    pub(super) fn new(job: impl FnOnce(&mut Act, &mut Ctx<Act>) + Send + 'static) -> Self {
        Self(Box::new(job))
    }
}

impl Handler<Do> for Act {
    type Result = ();

    fn handle(&mut self, job: Do, ctx: &mut Self::Context) {
        (job.0)(self, ctx);
    }
}

/// Is noted.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Note(pub(super) &'static str);

impl Handler<Note> for Act {
    type Result = ();

    fn handle(&mut self, note: Note, _: &mut Self::Context) {
        self.note(note.0);
    }
}

/// Is noted, and waits for so many milliseconds.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct NoteAndWait(pub(super) &'static str, pub(super) u64);

impl Handler<NoteAndWait> for Act {
    type Result = ();

    fn handle(&mut self, message: NoteAndWait, ctx: &mut Self::Context) {
        self.note(message.0);
        ctx.wait(sleep(millis(message.1)).into_actor(self));
    }
}

/// What an actor noted that was told `job` first, when so much time has passed, on a paused clock.
pub(super) async fn noted_after(
    time: Duration,
    job: impl FnOnce(&mut Act, &mut Ctx<Act>) + Send + 'static,
) -> Vec<String> {
    let log = Log::default();
    let (addr, _registry) = super::run(Act::new(&log));
    addr.do_send(Do::new(job));
    sleep(time).await;
    log.lines()
}
