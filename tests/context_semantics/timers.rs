//! Notifications, timers and their handles.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use actix::prelude::*;
use tokio::time::{Instant, pause, sleep};

use super::act::{Act, Do, Note, noted_after};
use crate::{
    guard::or_give_up,
    support::{Log, millis, secs},
};

#[actix::test]
async fn a_notification_is_handled_when_the_handler_has_returned() {
    pause();
    let noted = noted_after(secs(1), |act, ctx| {
        ctx.notify(Note("notified"));
        ctx.notify(Note("notified"));
        act.note("handled");
    })
    .await;
    assert_eq!(noted, ["0: handled", "0: notified", "0: notified"]);
}

#[actix::test]
async fn what_is_to_happen_later_happens_at_its_time() {
    pause();
    let noted = noted_after(secs(1), |_, ctx| {
        ctx.run_later(millis(300), |act, ctx| {
            act.note("run");
            ctx.run_later(millis(100), |act, _| act.note("run again"));
        });
        ctx.notify_later(Note("notified"), millis(200));
        ctx.notify_later(Note("too late"), millis(1_100));
    })
    .await;
    assert_eq!(noted, ["200: notified", "300: run", "400: run again"]);
}

#[actix::test]
async fn what_is_cancelled_does_not_happen() {
    pause();
    let noted = noted_after(secs(1), |_, ctx| {
        let first = ctx.notify_later(Note("first"), millis(100));
        let second = ctx.run_later(millis(200), |act, _| act.note("second"));
        ctx.run_later(millis(300), |act, _| act.note("third"));
        ctx.run_later(millis(50), move |_, ctx| {
            assert!(ctx.cancel_future(second));
            assert!(ctx.cancel_future(first));
        });
    })
    .await;
    assert_eq!(noted, ["300: third"]);
}

#[actix::test]
async fn no_timer_fires_after_a_stop() {
    pause();
    let noted = noted_after(secs(1), |_, ctx| {
        ctx.run_later(millis(100), |act, _| act.note("run"));
        ctx.notify_later(Note("notified"), millis(100));
        ctx.notify(Note("notified at once"));
        ctx.stop();
    })
    .await;
    assert_eq!(noted, ["0: stopping Stopping", "0: stopped Stopped"]);
}

#[actix::test]
async fn an_interval_runs_until_it_is_cancelled() {
    pause();
    let noted = noted_after(secs(1), |_, ctx| {
        let interval = ctx.run_interval(millis(110), |act, _| act.note("tick"));
        ctx.run_later(millis(400), move |_, ctx| {
            ctx.cancel_future(interval);
        });
        // It can do so itself.
        ctx.run_interval(millis(500), |act, ctx| {
            act.note("once");
            ctx.cancel_future(ctx.handle());
        });
    })
    .await;
    assert_eq!(noted, ["110: tick", "220: tick", "330: tick", "500: once"]);
}

#[actix::test]
async fn an_interval_may_begin_at_a_certain_time() {
    pause();
    let noted = noted_after(secs(1), |_, ctx| {
        ctx.run_interval_at(Instant::now() + millis(500), millis(200), |act, _| act.note("tick"));
    })
    .await;
    assert_eq!(noted, ["500: tick", "700: tick", "900: tick"]);
}

/// Says when it is dropped.
struct Dropped(Arc<AtomicBool>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[actix::test]
async fn what_is_cancelled_in_the_same_handler_is_never_run_and_is_dropped_at_once() {
    pause();
    let log = Log::default();
    let (addr, _registry) = super::run(Act::new(&log));
    let gone = Arc::new(AtomicBool::new(false));
    let held = Dropped(Arc::clone(&gone));
    let job = Do::new(move |act, ctx| {
        // Something else that is there already.
        ctx.spawn(tokio::task::yield_now().into_actor(act));
        let timer = ctx.run_later(millis(0), move |act, _| {
            let _held = &held;
            act.note("run");
        });
        ctx.cancel_future(timer);
    });
    addr.send(job).await.unwrap();
    addr.send(Note("next")).await.unwrap();
    assert!(gone.load(Ordering::SeqCst));
    sleep(secs(1)).await;
    assert_eq!(log.lines(), ["0: next"]);
}

/// actix once spun for ever here.
#[test]
fn cancelling_what_is_done_already_is_nothing() {
    or_give_up("a cancelled future that is done", || async {
        pause();
        let log = Log::default();
        let (addr, _registry) = super::run(Act::new(&log));
        let (tx, rx) = tokio::sync::oneshot::channel();
        addr.do_send(Do::new(|act, ctx| {
            tx.send(ctx.spawn(async {}.into_actor(act))).unwrap();
        }));
        let done = rx.await.unwrap();
        sleep(millis(10)).await;
        addr.send(Do::new(move |_, ctx| {
            ctx.cancel_future(done);
            ctx.cancel_future(done);
            ctx.cancel_future(SpawnHandle::default());
        }))
        .await
        .unwrap();
        sleep(millis(10)).await;
        addr.send(Note("next")).await.unwrap();
        assert_eq!(log.lines(), ["20: next"]);
    });
}

#[actix::test]
async fn every_future_has_a_handle_of_its_own() {
    pause();
    let noted = noted_after(secs(1), |act, ctx| {
        let handles = [
            ctx.spawn(async {}.into_actor(act)),
            ctx.run_later(millis(1), |_, _| {}),
            ctx.run_interval(millis(500), |_, _| {}),
            ctx.notify_later(Note("later"), millis(1)),
        ];
        for (n, handle) in handles.iter().enumerate() {
            assert_ne!(*handle, SpawnHandle::default());
            assert!(!handles[..n].contains(handle));
        }
        act.note("different");
    })
    .await;
    assert_eq!(noted, ["0: different", "0: later"]);
}

#[actix::test]
async fn the_current_handle_is_that_of_the_future_that_runs() {
    pause();
    let noted = noted_after(secs(1), |act, ctx| {
        assert_eq!(ctx.handle(), SpawnHandle::default(), "a message has none");
        let expected = Arc::new(std::sync::Mutex::new(SpawnHandle::default()));
        let found = Arc::clone(&expected);
        let timer = ctx.run_later(millis(100), move |act, ctx| {
            assert_eq!(ctx.handle(), *found.lock().unwrap());
            act.note("the timer");
        });
        *expected.lock().unwrap() = timer;
        let spawned = async {}.into_actor(act).map(move |(), act: &mut Act, ctx: &mut super::Ctx<Act>| {
            assert_ne!(ctx.handle(), SpawnHandle::default());
            assert_ne!(ctx.handle(), timer);
            act.note("the other");
        });
        ctx.spawn(spawned);
    })
    .await;
    assert_eq!(noted, ["0: the other", "100: the timer"]);
}

#[actix::test]
async fn a_message_has_no_handle_after_a_future_has_run_either() {
    pause();
    let noted = noted_after(secs(1), |_, ctx| {
        ctx.run_later(millis(100), |_, ctx| {
            ctx.address().do_send(Do::new(|act, ctx| {
                assert_eq!(ctx.handle(), SpawnHandle::default());
                act.note("none");
            }));
        });
    })
    .await;
    assert_eq!(noted, ["100: none"]);
}
