//! Promise 7, first part: a session under constant load yields to its neighbours, and its own
//! deadlines are kept under the flood.
//!
//! Nearly all in real time: under a flood a paused clock never advances. They run under
//! `or_give_up`, because on one thread a session that never yields stops the test as well.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

#[path = "support/flood.rs"]
mod flood;
#[path = "support/guard.rs"]
mod guard;
mod support;

use std::{
    future::poll_fn,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Poll, Waker},
    time::Duration,
};

use actix::prelude::*;
use session_actors::{EndReason, Ended, Limits, Policy, Session, SessionContext, SessionRegistry};
use tokio::{
    sync::oneshot,
    time::{pause, sleep, timeout},
};

use crate::{
    flood::{ALL, CLOCKWORK, Flood, Load},
    guard::or_give_up,
    support::{Log, Ping, Probe, Run, TakeHold, millis, next_end, registry, secs},
};

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
            registry
                .do_send(
                    "flooded",
                    Run::new(|_, ctx| {
                        ctx.run_later(millis(5), |_, _| fired.send(()).unwrap());
                    }),
                )
                .unwrap();
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
async fn end_under(load: Load, limits: Limits, begin: impl AsyncFnOnce(&SessionRegistry<Probe>)) -> Ended {
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
            // One that is at rest goes at once, another when it is cut; the 20 ms began before it did.
            assert_in_time(load, ended.age, millis(0), millis(80));
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

/// On a clock that stands still: what counts is how far the flood got before the neighbour's turn.
#[actix::test]
async fn a_burst_of_opens_lets_the_sessions_that_run_go_on() {
    pause();
    let registry = registry(Limits::never(), &Log::default());
    let neighbour = registry.open("neighbour").unwrap();
    neighbour.send(Ping).await.unwrap();
    for n in 0..10_000 {
        drop(registry.open(format!("key:{n}")).unwrap());
    }
    neighbour.send(Ping).await.unwrap();
    assert!(registry.len() < 2_000, "{} were started first", registry.len());
    sleep(millis(1)).await;
    assert_eq!(registry.len(), 10_001);
}

/// Replies when it is opened. Not by a channel of tokio's, which would make the session yield.
#[derive(Message, Clone, Default)]
#[rtype(result = "()")]
struct Gate(Arc<(AtomicBool, Mutex<Vec<Waker>>)>);

impl Gate {
    fn open(&self) {
        self.0.0.store(true, Ordering::SeqCst);
        self.0.1.lock().unwrap().drain(..).for_each(Waker::wake);
    }
}

impl Handler<Gate> for Probe {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, gate: Gate, _: &mut Self::Context) -> Self::Result {
        Box::pin(poll_fn(move |cx| {
            if gate.0.0.load(Ordering::SeqCst) {
                return Poll::Ready(());
            }
            gate.0.1.lock().unwrap().push(cx.waker().clone());
            Poll::Pending
        }))
    }
}

#[actix::test]
async fn many_replies_that_are_done_at_once_are_taken_in_turns() {
    pause();
    let registry = registry(Limits::never(), &Log::default());
    let neighbour = registry.open("neighbour").unwrap();
    let gate = Gate::default();
    for _ in 0..30_000 {
        registry.do_send("k", gate.clone()).unwrap();
    }
    sleep(millis(1)).await;
    assert_eq!(registry.info("k").unwrap().in_flight, 30_000);
    gate.open();
    neighbour.send(Ping).await.unwrap();
    let left = registry.info("k").unwrap().in_flight;
    assert!(left > 10_000, "only {left} were left");
    sleep(millis(1)).await;
    assert_eq!(registry.info("k").unwrap().in_flight, 0);
}
