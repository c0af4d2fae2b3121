//! Promise 7, first half: a session under constant load yields to its neighbours, and its own
//! deadlines are kept under the flood.
//!
//! All in real time: under a flood a paused clock never advances. Every test runs under
//! `or_give_up`, because on one thread a session that never yields stops the test as well.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

#[path = "support/guard.rs"]
mod guard;
mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use actix::prelude::*;
use futures_util::stream;
use session_actors::{EndReason, Ended, Limits, Policy, Session, SessionContext, SessionRegistry};
use tokio::{
    sync::oneshot,
    task::yield_now,
    time::{sleep, timeout},
};

use crate::{
    guard::or_give_up,
    support::{Log, Ping, Probe, Run, TakeHold, millis, next_end, registry, secs},
};

/// How a flood goes on, once it has begun.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Load {
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
const CLOCKWORK: [Load; 4] = [Load::Notify, Load::NotifyMore, Load::Stream, Load::MessageStream];

const ALL: [Load; 10] = [
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
struct Tick {
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
struct Flood {
    over: Arc<AtomicBool>,
    handled: Arc<AtomicU64>,
}

impl Flood {
    fn begin(registry: &SessionRegistry<Probe>, key: &'static str, load: Load) -> Self {
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
    async fn rises(&self) {
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

/// While a session is flooded, its neighbour on the same thread is served, and so is the flooded
/// session's own mail.
fn a_neighbour_gets_through(load: Load) {
    or_give_up(load, move || async move {
        let log = Log::default();
        let registry = registry(Limits::never(), &log);
        let neighbour = registry.open("neighbour").unwrap();
        let flood = Flood::begin(&registry, "flooded", load);
        flood.rises().await;

        for round in 1..=20 {
            sleep(millis(1)).await;
            let answer = timeout(secs(5), neighbour.send(Ping)).await.expect("a neighbour's request starves");
            assert_eq!(answer.unwrap(), round);
        }
        let (fired, timer) = oneshot::channel();
        neighbour.do_send(Run::new(|_, ctx| {
            ctx.run_later(millis(5), |_, _| fired.send(()).unwrap());
        }));
        timeout(secs(5), timer).await.expect("a neighbour's timer starves").unwrap();

        if load != Load::Wait {
            timeout(secs(5), registry.send("flooded", Ping)).await.expect("its own mail starves").unwrap();
            let (fired, timer) = oneshot::channel();
            registry.do_send("flooded", Run::new(|_, ctx| {
                ctx.run_later(millis(5), |_, _| fired.send(()).unwrap());
            })).unwrap();
            timeout(secs(5), timer).await.expect("its own timer starves").unwrap();
        }
    });
}

#[test]
fn a_session_that_a_neighbour_floods_yields() {
    a_neighbour_gets_through(Load::Neighbour);
}

#[test]
fn a_session_that_another_thread_floods_yields() {
    a_neighbour_gets_through(Load::Thread);
}

#[test]
fn a_session_that_sends_to_itself_without_end_yields() {
    a_neighbour_gets_through(Load::Itself);
}

#[test]
fn a_session_that_notifies_itself_without_end_yields() {
    a_neighbour_gets_through(Load::Notify);
    a_neighbour_gets_through(Load::NotifyMore);
}

#[test]
fn a_session_that_notifies_itself_and_waits_yields() {
    a_neighbour_gets_through(Load::NotifyAndWait);
}

#[test]
fn a_session_that_only_ever_waits_yields() {
    a_neighbour_gets_through(Load::Wait);
}

#[test]
fn a_session_with_a_stream_that_is_always_ready_yields() {
    a_neighbour_gets_through(Load::Stream);
}

#[test]
fn a_session_with_a_message_stream_that_is_always_ready_yields() {
    a_neighbour_gets_through(Load::MessageStream);
}

/// How a flooded session ends by `limits`, and by what `begin` does to it.
async fn end_under(
    load: Load,
    limits: Limits,
    begin: impl AsyncFnOnce(&SessionRegistry<Probe>),
) -> Ended {
    let log = Log::default();
    let registry = registry(limits, &log);
    let mut watch = registry.watch();
    let _flood = Flood::begin(&registry, "flooded", load);
    begin(&registry).await;
    let (key, ended) = timeout(secs(5), next_end(&mut watch)).await.unwrap_or_else(|_| panic!("{load:?} starves it"));
    assert_eq!(key, "flooded");
    ended
}

/// On a machine that does other things too; a deadline that is starved is never reached.
fn assert_in_time(load: Load, took: Duration, earliest: Duration, due: Duration) {
    assert!(took >= earliest && took < due + secs(2), "{load:?}: due after {due:?}, took {took:?}");
}

#[test]
fn max_age_is_kept_under_a_flood_and_so_is_the_drain() {
    for load in ALL {
        or_give_up(load, move || async move {
            let limits = Limits::never().max_age(millis(60)).drain_timeout(millis(60));
            let ended = end_under(load, limits, async |_| {}).await;
            assert_eq!(ended.reason, EndReason::MaxAge, "{load:?}");
            assert_in_time(load, ended.age, millis(60), millis(120));
        });
    }
}

#[test]
fn a_close_is_kept_under_a_flood() {
    for load in ALL {
        or_give_up(load, move || async move {
            let limits = Limits::never().drain_timeout(millis(60));
            let ended = end_under(load, limits, async |registry| {
                sleep(millis(20)).await;
                drop(registry.close("flooded"));
            })
            .await;
            assert_eq!(ended.reason, EndReason::Closed, "{load:?}");
            assert_in_time(load, ended.age, millis(20), millis(80));
        });
    }
}

#[test]
fn max_busy_is_kept_under_a_flood() {
    // A wait that begins and ends is progress.
    let makes_progress = [Load::Wait, Load::NotifyAndWait];
    for load in ALL.into_iter().filter(|load| !makes_progress.contains(load)) {
        or_give_up(load, move || async move {
            let limits = Limits::never().max_busy(millis(60));
            let ended = end_under(load, limits, async |registry| {
                // Never given back.
                std::mem::forget(registry.send("flooded", TakeHold).await.unwrap());
            })
            .await;
            assert_eq!(ended.reason, EndReason::Stuck, "{load:?}");
            assert_eq!(ended.cut, 1, "{load:?}");
            assert_in_time(load, ended.age, millis(60), millis(60));
        });
    }
}

#[test]
fn a_flood_of_its_own_clockwork_keeps_no_session_alive() {
    for load in CLOCKWORK {
        or_give_up(load, move || async move {
            let ended = end_under(load, Limits::never().idle_timeout(millis(60)), async |_| {}).await;
            assert_eq!(ended.reason, EndReason::IdleTimeout, "{load:?}");
            assert_in_time(load, ended.age, millis(60), millis(60));
        });
    }
}

#[test]
fn mail_that_counts_for_nothing_still_leaves_its_neighbours_alone_at_the_idle_deadline() {
    // Something is in the mailbox whenever it is looked at, so the idle end is called off each
    // time; that must not turn into a loop inside of one poll.
    or_give_up(Load::ItselfPassively, || async {
        let limits = Limits::never().idle_timeout(millis(20)).max_age(millis(200)).drain_timeout(millis(20));
        let ended = end_under(Load::ItselfPassively, limits, async |registry| {
            sleep(millis(100)).await;
            assert_eq!(registry.len(), 1);
        })
        .await;
        assert_in_time(Load::ItselfPassively, ended.age, millis(200), millis(220));
    });
}

/// Wants to stop, declines, and wants to stop again.
struct Undecided(Arc<AtomicU64>);

#[derive(Message)]
#[rtype(result = "()")]
struct Leave;

impl Actor for Undecided {
    type Context = SessionContext<Self>;

    fn stopping(&mut self, ctx: &mut Self::Context) -> Running {
        ctx.notify(Leave);
        Running::Continue
    }
}

impl Session for Undecided {}

impl Handler<Leave> for Undecided {
    type Result = ();

    fn handle(&mut self, _: Leave, ctx: &mut Self::Context) {
        self.0.fetch_add(1, Ordering::Relaxed);
        ctx.stop();
    }
}

#[test]
fn a_session_that_declines_to_stop_without_end_yields_and_ends_in_time() {
    or_give_up("Undecided", || async {
        let times = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&times);
        let policy = Policy::new(Limits::never().max_age(millis(60)));
        let registry =
            SessionRegistry::builder(move |_| Undecided(Arc::clone(&counted))).policy(policy).start().unwrap();
        let mut watch = registry.watch();
        registry.open("undecided").unwrap().do_send(Leave);

        while times.load(Ordering::Relaxed) < 2_000 {
            sleep(millis(1)).await;
        }
        let (_, ended) = timeout(secs(5), next_end(&mut watch)).await.expect("it is starved");
        assert_eq!(ended.reason, EndReason::MaxAge);
    });
}
