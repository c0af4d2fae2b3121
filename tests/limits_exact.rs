//! What is due at this very instant, in the middle of a flood of mail, or at the last moment: as exact as anything else.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

#[path = "support/exact.rs"]
mod exact;
#[path = "support/hooked.rs"]
mod hooked;
mod support;

use actix::prelude::*;
use exact::{Stopwatch, inside};
use hooked::{Place, Script};
use session_actors::{EndReason, Limits};
use support::*;
use tokio::time::{sleep, timeout};

/// The alarm, and something that makes the poll read the clock, at the very same instant: on a clock that was paused
/// from its begin, where whole milliseconds are whole ticks of tokio's timer.
#[test]
fn a_deadline_that_is_now_is_due() {
    let system = System::with_tokio_rt(|| {
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
    });
    system.block_on(async {
        let log = Log::default();
        let registry = registry(Limits::never().max_age(millis(100)), &log);
        let mut watch = registry.watch();
        let began = tokio::time::Instant::now();
        let addr = registry.open("k").unwrap();
        let touch = Run::new(|_, ctx| {
            ctx.run_later(millis(100), |_, ctx| ctx.touch());
        });
        addr.send(touch).await.unwrap();
        let end = tokio::time::timeout(secs(1_000_000), next_end(&mut watch)).await;
        let (_, ended) = end.expect("the deadline was missed");
        assert_eq!((ended.reason, began.elapsed()), (EndReason::MaxAge, millis(100)));
    });
}

/// The warning comes due in a turn that has spent its budget on mail; the rest of the mail is not forgotten.
#[actix::test]
async fn a_hook_that_is_due_in_the_middle_of_a_flood_leaves_no_mail_lying() {
    let clock = Stopwatch::start();
    let log = Log::default();
    let registry = registry(Limits::never().max_age(secs(100)).warn_before(secs(10)), &log);
    let addr = registry.open("k").unwrap();
    inside(&addr, |act, ctx| ctx.wait(sleep(secs(91)).into_actor(act))).await;
    for _ in 0..1_000 {
        addr.do_send(Run::new(|_, _| ()));
    }
    addr.send(Run::new(|_, _| ())).await.unwrap();
    clock.assert_at(secs(91), "the last message");
    assert_eq!(log.count("warned"), 1);
}

/// Nothing in flight, but more mail than one turn takes: the drain is over when that is handled.
#[actix::test]
async fn a_drain_of_nothing_but_mail_is_over_when_the_mail_is() {
    let clock = Stopwatch::start();
    let log = Log::default();
    let registry = registry(limits(), &log);
    let addr = registry.open("k").unwrap();
    settle().await;
    for _ in 0..1_000 {
        addr.do_send(Run::new(|_, _| ()));
    }
    let ended = timeout(secs(1_000), registry.close("k")).await.unwrap().unwrap();
    assert_eq!((ended.handled, ended.handed_over), (1_000, 0));
    clock.assert_at(secs(0), "end");
}

/// Its hooks are told of all that was handled.
#[actix::test]
async fn the_last_hook_sees_the_message_that_stopped_its_session() {
    let log = Log::default();
    let script = Script::new(&log).on(Place::Stopped, {
        let log = log.clone();
        move |_, ctx| {
            log.note(format!("handled {}", ctx.registry().upgrade().unwrap().info(ctx.key().as_str()).unwrap().handled))
        }
    });
    let registry = script.registry(limits());
    let mut watch = registry.watch();
    let addr = registry.open("k").unwrap();
    addr.do_send(hooked::Do::new(|_, ctx| ctx.stop()));
    next_end(&mut watch).await;
    assert_eq!(log.count("handled 1"), 1, "{:?}", log.lines());
}

/// A hold that `expiring` takes is work like any other: the drain waits for it.
#[actix::test]
async fn a_hold_taken_at_the_last_moment_is_waited_for() {
    let clock = Stopwatch::start();
    let log = Log::default();
    let script = Script::new(&log).on(Place::Expiring, |_, ctx| {
        let hold = ctx.hold();
        actix::spawn(async move {
            sleep(secs(2)).await;
            drop(hold);
        });
    });
    let registry = script.registry(limits());
    let mut watch = registry.watch();
    registry.open("k").unwrap();
    let (_, ended) = next_end(&mut watch).await;
    clock.assert_at(secs(12), "end");
    assert_eq!((ended.reason, ended.cut), (EndReason::IdleTimeout, 0));
}

/// A hold that this very handler has taken.
#[actix::test]
async fn a_session_that_holds_itself_has_no_idle_deadline_from_then_on() {
    let _clock = Stopwatch::start();
    let registry = registry(limits(), &Log::default());
    let addr = registry.open("k").unwrap();
    let (idle, busy, hold) = inside(&addr, |_, ctx| {
        let idle = ctx.expires_at();
        let hold = ctx.hold();
        (idle, ctx.expires_at(), hold)
    })
    .await;
    // Ten seconds idle, an hour old.
    assert_eq!(busy.unwrap() - idle.unwrap(), secs(3600 - 10));
    drop(hold);
}
