//! Promise 3 when the ground goes away: an arbiter stops, or a whole system ends. Real time, as
//! other threads take part; every wait is bounded.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

#[path = "support/exact.rs"]
mod exact;
#[path = "support/hooked.rs"]
mod hooked;
#[path = "support/responses.rs"]
mod responses;
mod support;

use std::{
    collections::HashSet,
    future::Future,
    sync::{Arc, Barrier},
    time::Duration,
};

use actix::prelude::*;
use exact::name_of;
use hooked::{Do, Hooked, Mark, Place, Script, cause, ended, expect_booms};
use responses::{ByActFuture, ByFuture, ResponseLater, Work};
use session_actors::{EndReason, OpenError, SendError, SessionRegistry, Unserved, Watch, Watched};
use support::{Log, Probe, limits, next_end, secs, settle};

const PATIENCE: Duration = Duration::from_secs(20);

/// For what another thread has to do.
async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what}: nothing happens"))
}

/// Runs a system to its end, and with it the arbiter of its thread; `run` gives out what is to be
/// looked at afterwards.
fn after_a_system<T, F: Future<Output = T>>(run: impl FnOnce() -> F) -> T {
    let system = System::new();
    let left = system.block_on(run());
    drop(system);
    left
}

/// Looks from outside of any actix system.
fn outside<F: Future>(look: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(soon("outside", look))
}

/// The names of all events of the past.
async fn past(watch: &mut Watch) -> Vec<(String, &'static str)> {
    let mut names = Vec::new();
    while let Ok(Some(watched)) = tokio::time::timeout(Duration::from_millis(20), watch.next()).await {
        if let Watched::Event(event) = watched {
            names.push((event.key.to_string(), name_of(&event.kind)));
        }
    }
    names
}

#[test]
fn sessions_of_a_system_that_ends_are_aborted_with_all_their_hooks() {
    let log = Log::default();
    let script = Script::new(&log).on(Place::Stopped, |act, ctx| {
        act.note(ctx.end_reason().unwrap());
        // There is nothing left that could run what they begin.
        assert!(tokio::runtime::Handle::try_current().is_err(), "in a runtime");
    });
    let (registry, mut watch) = after_a_system(|| async {
        let registry = script.registry(limits());
        let watch = registry.watch();
        for key in ["a", "b"] {
            registry.send(key, Mark("hi")).await.unwrap();
        }
        (registry, watch)
    });
    for _ in 0..2 {
        let (key, ended) = outside(next_end(&mut watch));
        assert_eq!((ended.reason, ended.handled, ended.cut, ended.panic), (EndReason::Aborted, 1, 0, None));
        let life = ["made", "started", "hi", "stopping", "stopped", "aborted", "dropped"];
        let mut lines = log.lines();
        lines.retain(|line| line.starts_with(key.as_str()));
        assert_eq!(lines, life.map(|line| format!("{key}#1 {line}")));
    }
    assert!(outside(past(&mut watch)).is_empty(), "each ended once");
    assert!(registry.is_empty());
    assert_eq!(registry.stats().keys, 0);
    assert!(matches!(registry.open("a"), Err(OpenError::NoHost)));
    let report = outside(registry.shutdown(secs(5))).unwrap();
    assert_eq!((report.drained, report.cut, report.unresponsive), (0, 0, 0));
}

#[test]
fn work_of_a_system_that_ends_is_cut_and_its_callers_are_told() {
    let long = Work { lasts: secs(1000), passive: false };
    let (mut watch, replies, straggler, registry) = after_a_system(|| async {
        let registry: SessionRegistry<Probe> = support::registry(limits(), &Log::default());
        let watch = registry.watch();
        let replies = (
            registry.send("a", ByFuture(long)),
            registry.send("a", ByActFuture(long)),
            registry.send("a", ResponseLater(long)),
        );
        registry.do_send("a", support::Atomic(secs(1000))).unwrap();
        let straggler = registry.send("a", support::Ping);
        settle().await;
        (watch, replies, straggler, registry)
    });
    let (_, end) = outside(next_end(&mut watch));
    assert_eq!((end.reason, end.handled, end.cut), (EndReason::Aborted, 4, 4));
    assert_eq!((end.handed_over, end.dropped), (0, 1), "there is no host left for a successor");
    assert_eq!(cause(outside(replies.0)), ended(EndReason::Aborted));
    assert_eq!(cause(outside(replies.1)), ended(EndReason::Aborted));
    assert_eq!(cause(outside(replies.2)), ended(EndReason::Aborted));
    assert_eq!(cause(outside(straggler)), ended(EndReason::Aborted));
    assert_eq!((registry.len(), registry.stats().work_cut), (0, 4));
}

/// The system goes down by a panic of somebody else's, in the middle of whose unwinding nothing of
/// a session's may panic any more.
#[test]
fn sessions_of_a_system_that_is_unwound_end_without_hooks() {
    expect_booms();
    let log = Log::default();
    let script = Script::new(&log).booms(Place::Dropped, 1);
    let kept = std::sync::Mutex::new(None);
    let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        after_a_system(|| async {
            let registry = script.registry(limits());
            let watch = registry.watch();
            let reply = registry.send("a", Sleep);
            settle().await;
            *kept.lock().unwrap() = Some((registry, watch, reply));
            panic!("boom outside");
        });
    }));
    assert!(unwound.is_err());
    let (_registry, mut watch, reply) = kept.into_inner().unwrap().unwrap();
    let (_, end) = outside(next_end(&mut watch));
    assert_eq!((end.reason, end.handled, end.cut), (EndReason::Panicked, 1, 1));
    assert!(matches!(cause(outside(reply)), Unserved::Ended { .. }));
    assert_eq!(log.lines(), ["a#1 made", "a#1 started", "a#1 dropped"]);
}

/// Replies after a thousand seconds, by a future that needs a runtime.
#[derive(Message)]
#[rtype(result = "()")]
struct Sleep;

impl Handler<Sleep> for Hooked {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Sleep, _: &mut Self::Context) -> Self::Result {
        Box::pin(tokio::time::sleep(secs(1000)))
    }
}

#[test]
fn a_panic_in_the_hooks_of_an_aborted_session_is_noted() {
    expect_booms();
    for place in [Place::Stopping, Place::Stopped, Place::Dropped] {
        let (mut watch, reply) = after_a_system(|| async {
            let registry = Script::new(&Log::default()).booms(place, 1).registry(limits());
            let watch = registry.watch();
            let reply = registry.send("a", Sleep);
            settle().await;
            // Kept, or its drop would begin a shutdown.
            std::mem::forget(registry);
            (watch, reply)
        });
        let (_, end) = outside(next_end(&mut watch));
        assert_eq!((end.reason, end.panic), (EndReason::Panicked, Some(format!("boom in {place:?} of 1"))));
        assert_eq!(end.cut, 1);
        let told = cause(outside(reply));
        assert!(matches!(told, Unserved::Ended { .. }), "in {place:?}: {told:?}");
    }
}

#[test]
fn a_draining_session_that_is_aborted_ends_once_and_who_waits_for_its_successor_is_told() {
    let (mut watch, waits, registry) = after_a_system(|| async {
        let registry = Script::new(&Log::default()).registry(limits());
        let watch = registry.watch();
        registry.send("a", Do::block()).await.unwrap();
        drop(registry.close("a"));
        settle().await;
        let waits = registry.send("a", Mark(""));
        assert_eq!(registry.stats().waiting, 1);
        (watch, waits, registry)
    });
    let (_, end) = outside(next_end(&mut watch));
    assert_eq!((end.reason, end.cut), (EndReason::Aborted, 1));
    // There is no arbiter left that could start it.
    assert_eq!(cause(outside(waits)), Unserved::HostGone);
    let after: Vec<_> = outside(past(&mut watch)).into_iter().map(|(_, name)| name).collect();
    assert_eq!(after, ["start_failed"]);
    let stats = registry.stats();
    assert_eq!((stats.keys, stats.waiting, stats.live), (0, 0, 0));
}

#[actix::test]
async fn the_keys_and_the_mail_of_an_arbiter_that_stops_go_to_another() {
    let log = Log::default();
    let registry = Script::new(&log).builder().arbiters(2).start().unwrap();
    let mut watch = registry.watch();
    let job = Do::new(|act, ctx| {
        ctx.wait(std::future::pending::<()>().into_actor(act));
        Arbiter::current().stop();
    });
    let stops = registry.send("a", Do::new(|_, _| ()));
    soon("open", stops).await.unwrap();
    let first_host = registry.info("a").unwrap().host;
    registry.do_send("a", job).unwrap();
    let left: Vec<_> = (0..3).map(|_| registry.send("a", Mark("left"))).collect();

    for answer in left {
        assert_eq!(soon("a leftover", answer).await.unwrap(), 2);
    }
    let (_, end) = soon("the end", next_end(&mut watch)).await;
    assert_eq!((end.reason, end.handled, end.cut), (EndReason::Aborted, 2, 1));
    // They may have come after the end, too.
    assert!(end.handed_over <= 3 && end.dropped == 0, "{end:?}");
    assert_ne!(registry.info("a").unwrap().host, first_host);
    for n in 0..20 {
        assert_eq!(soon("a new key", registry.send(format!("k{n}"), Mark(""))).await.unwrap(), 1);
        assert_ne!(registry.info(format!("k{n}")).unwrap().host, first_host);
    }

    // The last one.
    registry
        .do_send(
            "a",
            Do::new(|_, _| {
                Arbiter::current().stop();
            }),
        )
        .unwrap();
    for _ in 0..21 {
        let (_, end) = soon("the ends", next_end(&mut watch)).await;
        assert_eq!(end.reason, EndReason::Aborted);
    }
    soon("the last host", async {
        // A slot is free a moment after the end of its session was published.
        while !matches!(registry.open("z"), Err(OpenError::NoHost)) || registry.stats().keys > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    let refused = registry.send("a", Mark("given back")).await;
    assert!(matches!(&refused, Err(SendError::Refused { cause: OpenError::NoHost, .. })), "{refused:?}");
    assert_eq!(refused.unwrap_err().into_message().unwrap().0, "given back");
    assert!(registry.is_empty());
}

/// That its arbiter stops says nothing about a session, so one that has taken nothing yet has a
/// successor all the same.
#[actix::test]
async fn mail_that_an_aborted_session_has_not_looked_at_goes_to_another_arbiter() {
    let script = Script::new(&Log::default()).on(Place::Started, |act, ctx| {
        if act.incarnation == 1 {
            ctx.wait(std::future::pending::<()>().into_actor(act));
            Arbiter::current().stop();
        }
    });
    let registry = script.builder().arbiters(2).start().unwrap();
    let answers = [registry.send("a", Mark("")), registry.send("a", Mark(""))];
    for answer in answers {
        assert_eq!(soon("an answer", answer).await.unwrap(), 2);
    }
}

#[actix::test]
async fn sends_that_race_with_the_end_of_an_arbiter_are_all_answered() {
    for round in 0..20usize {
        let registry = Script::new(&Log::default()).builder().arbiters(2).start().unwrap();
        let watch = registry.watch();
        let mut answers = Vec::new();
        for n in 0..200 {
            if n == round * 10 {
                registry
                    .do_send(
                        "stops",
                        Do::new(|_, _| {
                            Arbiter::current().stop();
                        }),
                    )
                    .unwrap();
            }
            answers.push(registry.send(format!("k{}", n % 70), Mark("")));
        }
        for answer in answers {
            // None was being handled when the arbiter stopped, so each is for another one to take.
            soon("an answer", answer).await.unwrap();
        }
        soon("shutdown", registry.shutdown(secs(10))).await.unwrap();
        let stats = registry.stats();
        assert_eq!((stats.opened, stats.keys, stats.live), (stats.ended.total(), 0, 0));
        assert_eq!(stats.messages_dropped, 0);
        drop(watch);
    }
}

/// As in actix: `stopped` may rely on what `started` has done.
#[actix::test]
async fn a_session_aborted_before_its_first_turn_has_all_of_its_hooks() {
    let log = Log::default();
    let all_queued = Arc::new(Barrier::new(2));
    let wait = Arc::clone(&all_queued);
    let script = Script::new(&log).on_bare(Place::Made, move |act| match act.key() {
        "k0" => drop(wait.wait()),
        "k95" => drop(Arbiter::current().stop()),
        _ => {}
    });
    // Those that run keep the arbiter so busy that those made last have no turn before it stops.
    let script = script.on(Place::Started, |act, ctx| {
        if ctx.end_reason().is_some() {
            act.note("started too late");
        }
        let for_ever = async {
            loop {
                tokio::task::yield_now().await;
            }
        };
        ctx.spawn(for_ever.into_actor(act));
    });
    let registry = script.builder().arbiters(1).start().unwrap();
    let mut watch = registry.watch();
    for n in 0..96 {
        registry.open(format!("k{n}")).unwrap();
    }
    all_queued.wait();
    soon("the end", async {
        while registry.stats().ended.total() == 0 || !registry.is_empty() {
            drop(watch.next().await);
        }
    })
    .await;
    let who = |what: &str| -> HashSet<String> {
        log.lines().iter().filter_map(|line| line.strip_suffix(what)).map(str::to_owned).collect()
    };
    assert!(!who(" started too late").is_empty(), "all had a turn: this has shown nothing");
    assert_eq!(who(" made"), who(" started"));
    assert_eq!(who(" made"), who(" stopped"));
}
