//! Promise 9 on several threads, in real time: hosts and their arbiters stop, a thread that is
//! blocked does not hold the shutdown up, and opens that race with it get one answer or another.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

#[path = "support/exact.rs"]
mod exact;
#[path = "support/gauge.rs"]
mod gauge;
mod support;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
    mpsc,
};

use actix::prelude::*;
use exact::{assert_about, end_of, inside, until};
use gauge::{Counted, Gauge};
use session_actors::{EndReason, OpenError, Policy, SendError, SessionRegistry, Unserved, Watched};
use support::*;
use tokio::time::{Instant, timeout};

fn on_arbiters(arbiters: usize, log: &Log) -> SessionRegistry<Probe> {
    let log = log.clone();
    SessionRegistry::builder(move |key| Probe::new(key, &log))
        .policy(Policy::new(limits()))
        .arbiters(arbiters)
        .start()
        .unwrap()
}

async fn arbiter_of(registry: &SessionRegistry<Probe>, key: &str) -> ArbiterHandle {
    inside(&registry.open(key).unwrap(), |_, _| Arbiter::current()).await
}

#[actix::test]
async fn the_arbiters_of_the_registry_stop_with_it() {
    let log = Log::default();
    let registry = on_arbiters(2, &log);
    let mut arbiters = Vec::new();
    for n in 0..16 {
        arbiters.push(arbiter_of(&registry, &format!("k{n}")).await);
    }
    assert!(arbiters.iter().all(ArbiterHandle::alive));
    let report = timeout(secs(30), registry.shutdown(secs(10))).await.unwrap().unwrap();
    assert_eq!((report.drained, report.cut, report.unresponsive), (16, 0, 0));
    until(|| arbiters.iter().all(|arbiter| !arbiter.alive())).await;
    assert_eq!(log.alive(), 0);
}

/// It runs on the arbiter of whoever started it, who has other things to do there.
#[actix::test]
async fn an_arbiter_that_is_not_the_registrys_goes_on() {
    let registry = on_arbiters(0, &Log::default());
    let arbiter = arbiter_of(&registry, "k").await;
    timeout(secs(30), registry.shutdown(secs(10))).await.unwrap().unwrap();
    let (answer, answered) = gate();
    assert!(arbiter.spawn(async move { answer.send(()).unwrap() }));
    timeout(secs(30), answered).await.unwrap().unwrap();
    // And another registry can be started on it.
    let registry = on_arbiters(0, &Log::default());
    assert_eq!(timeout(secs(30), registry.send("k", Ping)).await.unwrap().unwrap(), 1);
}

/// The end of a stream is how a feed learns that it is over: of one that follows, of one that is
/// made afterwards, and of an actor that is fed.
#[actix::test]
async fn the_streams_of_watchers_end() {
    struct Fed(mpsc::Sender<usize>, usize);
    impl Actor for Fed {
        type Context = Context<Self>;
    }
    impl Handler<Watched> for Fed {
        type Result = ();
        fn handle(&mut self, _: Watched, _: &mut Self::Context) {
            self.1 += 1;
        }
    }
    impl Drop for Fed {
        fn drop(&mut self) {
            self.0.send(self.1).unwrap();
        }
    }

    let registry = on_arbiters(1, &Log::default());
    let mut watch = registry.watch();
    let (gone, fed) = mpsc::channel();
    // Nobody else holds its address: it stops when the feed lets it go.
    registry.watch_to(Fed(gone, 0).start().recipient()).unwrap();
    for key in ["a", "b"] {
        registry.send(key, Ping).await.unwrap();
    }
    timeout(secs(30), registry.shutdown(secs(10))).await.unwrap().unwrap();

    let mut items = 0;
    while timeout(secs(30), watch.next()).await.expect("the stream ends").is_some() {
        items += 1;
    }
    assert_eq!(items, 5, "a snapshot, two opened, two ended");
    assert!(watch.next().await.is_none(), "and stays so");
    let mut late = registry.watch();
    assert!(matches!(late.next().await, Some(Watched::Snapshot(snapshot)) if snapshot.sessions.is_empty()));
    assert!(timeout(secs(30), late.next()).await.unwrap().is_none());
    let received = std::cell::Cell::new(0);
    until(|| fed.try_recv().is_ok_and(|items| received.replace(items) == 0)).await;
    assert_eq!(received.get(), items, "the actor was fed to the last event");
}

#[actix::test]
async fn a_blocked_thread_is_unresponsive_and_ends_when_it_is_not() {
    let log = Log::default();
    let registry = on_arbiters(1, &log);
    let mut watch = registry.watch();
    let (unblock, blocked) = mpsc::channel::<()>();
    let (entered, inside) = gate();
    let arbiter = arbiter_of(&registry, "neighbour").await;
    let reply = registry.send(
        "blocking",
        Run::new(move |_, _| {
            entered.send(()).unwrap();
            let _ = blocked.recv();
        }),
    );
    timeout(secs(30), inside).await.unwrap().unwrap();

    let begun = Instant::now();
    let report = timeout(secs(30), registry.shutdown(millis(200))).await.expect("it ends").unwrap();
    // "At most a second after the timeout", and what a busy machine adds to that.
    assert!(begun.elapsed() >= millis(200) && begun.elapsed() < secs(10), "{:?}", begun.elapsed());
    assert_eq!((report.drained, report.cut, report.unresponsive), (0, 0, 2), "the neighbour is on the same thread");
    assert!(matches!(registry.open("new"), Err(OpenError::ShuttingDown)));
    assert_eq!(registry.len(), 2);

    unblock.send(()).unwrap();
    timeout(secs(30), reply).await.unwrap().unwrap();
    for _ in 0..2 {
        let (key, ended) = timeout(secs(30), next_end(&mut watch)).await.unwrap();
        assert_eq!(ended.reason, EndReason::Shutdown, "{key}");
    }
    assert!(timeout(secs(30), watch.next()).await.unwrap().is_none());
    until(|| !arbiter.alive() && log.alive() == 0).await;
    // Whoever asks now hears that all is well.
    let report = timeout(secs(30), registry.shutdown(millis(1))).await.unwrap().unwrap();
    assert_eq!((report.drained + report.cut, report.unresponsive), (2, 0));
}

/// The clock of this thread stands still once the other one is blocked, and jumps to what is waited for.
#[actix::test]
async fn what_a_blocked_thread_holds_up_is_reported_a_second_after_the_timeout() {
    let registry = on_arbiters(1, &Log::default());
    let (unblock, blocked) = mpsc::channel::<()>();
    let (entered, inside) = gate();
    let reply = registry.send(
        "blocking",
        Run::new(move |_, _| {
            entered.send(()).unwrap();
            let _ = blocked.recv();
        }),
    );
    timeout(secs(30), inside).await.unwrap().unwrap();
    tokio::time::pause();

    let begun = Instant::now();
    let report = registry.shutdown(secs(4)).await.unwrap();
    assert_about(begun.elapsed(), secs(5), "the report");
    assert_eq!((report.drained, report.cut, report.unresponsive), (0, 0, 1));

    tokio::time::resume();
    unblock.send(()).unwrap();
    timeout(secs(30), reply).await.unwrap().unwrap();
    until(|| registry.is_empty()).await;
}

/// What a session that stopped itself has left to be finished is waited for, and cut at the timeout
/// like anything else; else it would be lost with the arbiter that it runs on.
#[actix::test]
async fn replies_that_go_on_without_their_session_are_waited_for() {
    for (lasts, within) in [(millis(300), secs(20)), (secs(600), millis(200))] {
        let registry = on_arbiters(1, &Log::default());
        let mut watch = registry.watch();
        let reply = registry.send("k", Slow(lasts));
        registry.do_send("k", Stop).unwrap();
        let ended = timeout(secs(30), end_of(&mut watch, "k")).await.unwrap();
        assert_eq!((ended.reason, ended.cut), (EndReason::Stopped, 0));

        let begun = Instant::now();
        let report = timeout(secs(30), registry.shutdown(within)).await.unwrap().unwrap();
        assert_eq!(report.unresponsive, 0);
        match reply.await {
            Ok(answer) => assert_eq!((answer, lasts, report.cut_replies), ("slow", millis(300), 0)),
            Err(SendError::Unserved { cause: Unserved::Ended { reason: EndReason::Stopped, .. } }) => {
                assert!(lasts == secs(600) && begun.elapsed() >= within);
                assert_eq!((report.cut, report.cut_replies), (0, 1));
            }
            Err(other) => panic!("{other:?}"),
        }
    }
}

/// Whatever was accepted is answered or told, whatever was refused is given back, nothing is left.
#[actix::test]
async fn opens_that_race_with_it_leave_nothing_behind() {
    for round in 0..20 {
        let gauge = Gauge::default();
        let registry = SessionRegistry::builder(Counted::factory(&gauge))
            .policy(Policy::new(limits()))
            .arbiters(2)
            .start()
            .unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let threads: Vec<_> = (0..4)
            .map(|thread| {
                let (registry, stop) = (registry.clone(), Arc::clone(&stop));
                std::thread::spawn(move || {
                    let mut replies = Vec::new();
                    for n in 0.. {
                        replies.push(registry.send(format!("t{thread}k{}", n % 50), Ping));
                        if n % 7 == 0 {
                            // Its key may be opened again behind it.
                            drop(registry.close(format!("t{thread}k{}", n % 50)));
                        }
                        if stop.load(Ordering::Relaxed) || n > 5000 {
                            break;
                        }
                    }
                    replies
                })
            })
            .collect();
        until(|| registry.stats().opened > round * 10).await;
        let report = timeout(secs(30), registry.shutdown(secs(10))).await.unwrap().unwrap();
        assert!(matches!(registry.open("late"), Err(OpenError::ShuttingDown)));
        stop.store(true, Ordering::Relaxed);
        assert_eq!((report.cut, report.unresponsive), (0, 0));
        let stats = registry.stats();
        assert_eq!((stats.live, stats.waiting, stats.keys), (0, 0, 0));
        assert_eq!(stats.opened, stats.ended.total());
        assert_eq!(gauge.now(), 0);

        for thread in threads {
            for reply in thread.join().unwrap() {
                match timeout(secs(30), reply).await.expect("everybody is told") {
                    Ok(_)
                    | Err(SendError::Refused { cause: OpenError::ShuttingDown, .. })
                    | Err(SendError::Unserved { cause: Unserved::Ended { reason: EndReason::Closed, .. } })
                    | Err(SendError::Unserved { cause: Unserved::Ended { reason: EndReason::Shutdown, .. } }) => {}
                    Err(other) => panic!("{other:?}"),
                }
            }
        }
    }
}

/// The last handle may go on a thread that knows nothing of actix.
#[actix::test]
async fn the_last_handle_may_be_dropped_on_any_thread() {
    let registry = on_arbiters(1, &Log::default());
    let mut watch = registry.watch();
    registry.send("k", Ping).await.unwrap();
    std::thread::spawn(move || drop(registry)).join().unwrap();
    let ended = timeout(secs(30), end_of(&mut watch, "k")).await.unwrap();
    assert_eq!(ended.reason, EndReason::Shutdown);
    assert!(timeout(secs(30), watch.next()).await.unwrap().is_none());
}
