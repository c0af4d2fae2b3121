//! Sessions under constant load, of every kind.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

use actix::prelude::*;
use futures_util::stream;
use session_actors::{SessionContext, SessionRegistry};
use tokio::task::yield_now;

use crate::support::{Probe, Run};

/// How a flood goes on, once it has begun.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Load {
    /// A task beside the session, on the same thread, sends without end.
    Neighbour,
    /// Another thread does.
    Thread,
    /// The session sends to itself, through its mailbox.
    Itself,
    /// The same, and none of it counts as activity.
    ItselfPassively,
    /// `ctx.notify`.
    Notify,
    /// `ctx.notify`, two for one as long as there are less than a thousand.
    NotifyMore,
    /// `ctx.notify`, and a `ctx.wait` that is over at once.
    NotifyAndWait,
    /// A `ctx.wait` that is over at once and stages the next one.
    Wait,
    /// A stream that always has an item.
    Stream,
    /// A stream of messages that always has one.
    MessageStream,
}

/// Those that are the session's own clockwork and keep nothing alive. `NotifyAndWait` is none of
/// them: it has a wait running whenever it is looked at, and so is busy.
pub const CLOCKWORK: [Load; 4] = [Load::Notify, Load::NotifyMore, Load::Stream, Load::MessageStream];

pub const ALL: [Load; 10] = [
    Load::Neighbour,
    Load::Thread,
    Load::Itself,
    Load::ItselfPassively,
    Load::Notify,
    Load::NotifyMore,
    Load::NotifyAndWait,
    Load::Wait,
    Load::Stream,
    Load::MessageStream,
];

/// One drop of it.
#[derive(Message, Clone)]
#[rtype(result = "()")]
pub struct Tick {
    load: Load,
    handled: Arc<AtomicU64>,
}

impl Tick {
    fn again(self, probe: &Probe, ctx: &mut SessionContext<Probe>) {
        let so_far = self.handled.fetch_add(1, Ordering::Relaxed);
        match self.load {
            Load::Neighbour | Load::Thread | Load::Stream | Load::MessageStream => {}
            Load::Itself => ctx.address().do_send(self),
            Load::ItselfPassively => {
                ctx.passive();
                ctx.address().do_send(self);
            }
            Load::Notify => ctx.notify(self),
            Load::NotifyMore => {
                if so_far < 1_000 {
                    ctx.notify(self.clone());
                }
                ctx.notify(self);
            }
            Load::NotifyAndWait => {
                ctx.notify(self);
                ctx.wait(async {}.into_actor(probe));
            }
            Load::Wait => ctx.wait(async {}.into_actor(probe).map(|(), probe, ctx| self.again(probe, ctx))),
        }
    }
}

impl Handler<Tick> for Probe {
    type Result = ();

    fn handle(&mut self, tick: Tick, ctx: &mut Self::Context) {
        tick.again(self, ctx);
    }
}

impl StreamHandler<Tick> for Probe {
    fn handle(&mut self, tick: Tick, ctx: &mut Self::Context) {
        tick.again(self, ctx);
    }
}

/// Floods a session until it is dropped, or for as long as the session lives.
pub struct Flood {
    over: Arc<AtomicBool>,
    handled: Arc<AtomicU64>,
}

impl Flood {
    pub fn begin(registry: &SessionRegistry<Probe>, key: &'static str, load: Load) -> Self {
        let addr = registry.open(key).unwrap();
        let (over, handled) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let flood = Self { over: Arc::clone(&over), handled: Arc::clone(&handled) };
        let tick = Tick { load, handled };
        match load {
            Load::Neighbour => {
                actix::spawn(async move {
                    while !over.load(Ordering::Relaxed) && addr.connected() {
                        for _ in 0..500 {
                            addr.do_send(tick.clone());
                        }
                        yield_now().await;
                    }
                });
            }
            Load::Thread => {
                thread::spawn(move || {
                    while !over.load(Ordering::Relaxed) && addr.connected() {
                        if addr.try_send(tick.clone()).is_err() {
                            thread::yield_now();
                        }
                    }
                });
            }
            Load::Stream => addr.do_send(Run::new(|_, ctx| {
                ctx.add_stream(stream::repeat(tick));
            })),
            Load::MessageStream => addr.do_send(Run::new(|_, ctx| ctx.add_message_stream(stream::repeat(tick)))),
            _ => addr.do_send(tick),
        }
        flood
    }

    /// It is a flood by now.
    pub async fn rises(&self) {
        while self.handled.load(Ordering::Relaxed) < 2_000 {
            yield_now().await;
        }
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}
