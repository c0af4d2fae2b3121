//! What the test suites of Pekko's cluster sharding and of Orleans ask of an end, asked of
//! sessions. The names in brackets are theirs.

use crate::exact::assert_about;
use crate::hooked::{Do, Hooked, Mark, Place, Script, cause, ended, expect_booms};
use crate::support::{self, Log, Ping, Probe, Slow, gate, limits, millis, next_end, secs, settle};
use actix::prelude::*;
use session_actors::{EndReason, SessionContext, SessionRegistry};
use tokio::time::{Instant, timeout};

fn start(log: &Log) -> SessionRegistry<Hooked> {
    Script::new(log).registry(limits())
}

/// Everything delivered before the stop message is handled first, in order; what comes after it is
/// buffered and replayed in order to the next incarnation. (Pekko: Shard, passivation)
#[actix::test]
async fn what_came_before_an_end_is_handled_by_it_and_what_came_after_by_the_next() {
    tokio::time::pause();
    let log = Log::default();
    let registry = start(&log);
    let (open, gate) = gate();
    let wait = Do::new(move |act, ctx| ctx.wait(async { drop(gate.await) }.into_actor(act)));
    registry.do_send("a", wait).unwrap();
    let before = ["1", "2"].map(|text| registry.send("a", Mark(text)));
    settle().await;
    let closing = registry.close("a");
    settle().await;
    let after = ["3", "4"].map(|text| registry.send("a", Mark(text)));
    open.send(()).unwrap();
    for answer in before {
        assert_eq!(answer.await.unwrap(), 1);
    }
    for answer in after {
        assert_eq!(answer.await.unwrap(), 2);
    }
    assert_eq!(closing.await.unwrap().handled, 3);
    let mut lines = log.take();
    lines.retain(|line| line.ends_with(|last: char| last.is_ascii_digit()));
    assert_eq!(lines, ["a#1 1", "a#1 2", "a#2 3", "a#2 4"]);
}

/// (Pekko EntityTerminationSpec:89)
#[actix::test]
async fn a_session_that_stops_itself_disappears_and_its_siblings_keep_their_state() {
    tokio::time::pause();
    let log = Log::default();
    let registry: SessionRegistry<Probe> = support::registry(limits(), &log);
    let mut watch = registry.watch();
    for key in ["a", "b", "c"] {
        assert_eq!(registry.send(key, Ping).await.unwrap(), 1);
    }
    registry.send("a", support::Stop).await.unwrap();
    assert_eq!(next_end(&mut watch).await.1.reason, EndReason::Stopped);
    settle().await;
    assert!(registry.get("a").is_none());
    let keys: Vec<_> = registry.list().into_iter().map(|info| info.key.to_string()).collect();
    assert_eq!(keys, ["b", "c"]);
    for key in ["b", "c"] {
        assert_eq!(registry.send(key, Ping).await.unwrap(), 2, "a counter proves that nothing was restarted");
    }
    assert_eq!(registry.stats().opened, 3);
}

/// (Pekko StartEntitySpec:98)
#[actix::test]
async fn an_open_while_it_ends_is_granted_at_once_and_alive_when_the_end_is_over() {
    tokio::time::pause();
    let log = Log::default();
    let registry: SessionRegistry<Probe> = support::registry(limits(), &log);
    let slow = registry.send("a", Slow(secs(2)));
    settle().await;
    let closing = registry.close("a");
    settle().await;
    let addr = registry.open("a").unwrap();
    assert_eq!((registry.len(), registry.stats().waiting), (1, 1));
    slow.await.unwrap();
    let old = closing.await.unwrap();
    settle().await;
    assert_eq!(old.reason, EndReason::Closed);
    assert_eq!((registry.len(), registry.stats().waiting), (1, 0));
    assert_eq!(addr.send(Ping).await.unwrap(), 1);
}

/// The actor dies by itself before it gets to what was to end it, and a message is sent in that
/// window. (Pekko SupervisionSpec:136 "allow passivation and early stop")
#[actix::test]
async fn a_message_in_the_window_of_an_early_stop_is_answered_by_a_new_incarnation() {
    tokio::time::pause();
    expect_booms();
    let ways: [fn() -> Do; 3] =
        [Do::stop, || Do::panic("boom"), || Do::new(|_, ctx: &mut SessionContext<Hooked>| ctx.terminate())];
    for dies in ways {
        // Asked to end before it dies, after, and while it drains already; sent to before and after.
        for order in 0..4 {
            let log = Log::default();
            let registry = start(&log);
            assert_eq!(registry.send("a", Mark("")).await.unwrap(), 1);
            let old = registry.get("a").unwrap();
            let closing = match order {
                0 => {
                    old.do_send(dies());
                    registry.close("a")
                }
                1 => {
                    let closing = registry.close("a");
                    old.do_send(dies());
                    closing
                }
                2 => {
                    // Busy, so that it drains when it dies.
                    old.do_send(Do::new(|act, ctx| {
                        ctx.wait(tokio::time::sleep(secs(1)).into_actor(act));
                    }));
                    old.do_send(dies());
                    settle().await;
                    registry.close("a")
                }
                _ => {
                    old.do_send(dies());
                    let answer = registry.send("a", Mark("in the window"));
                    let closing = registry.close("a");
                    assert_eq!(answer.await.unwrap(), 2, "order {order}");
                    closing
                }
            };
            if order == 2 {
                settle().await;
            }
            let answer = timeout(secs(60), registry.send("a", Mark("in the window")));
            let number = answer.await.expect("it waits for ever").unwrap();
            assert!(number >= 2, "order {order}: answered by {number}");
            assert!(timeout(secs(60), closing).await.expect("closing waits for ever").is_ok());
            let stats = registry.stats();
            assert_eq!((stats.opened, stats.live), (u64::from(number), 1), "order {order}");
            assert_eq!(stats.ended.total(), u64::from(number) - 1, "order {order}");
        }
    }
}

/// (Orleans StuckGrainTests:58)
#[actix::test]
async fn a_session_that_is_busy_for_ever_lets_its_callers_time_out_and_ends_once_it_is_released() {
    tokio::time::pause();
    let log = Log::default();
    let registry = start(&log);
    let mut watch = registry.watch();
    let (open, gate) = gate();
    let busy = Do::new(move |act, ctx| ctx.wait(async { drop(gate.await) }.into_actor(act)));
    registry.send("a", busy).await.unwrap();
    assert!(timeout(secs(60), registry.send("a", Mark("1"))).await.is_err());
    assert_eq!(registry.len(), 1, "busy is not idle");
    open.send(()).unwrap();
    let released = Instant::now();
    let (_, ended) = next_end(&mut watch).await;
    assert_eq!((ended.reason, ended.handled), (EndReason::IdleTimeout, 1), "whose caller has gone is not handled");
    assert_about(released.elapsed(), secs(10), "idle from the release on");
}

/// (Orleans StuckGrainTests:80, :144)
#[actix::test]
async fn the_calls_that_wait_for_a_stuck_session_are_answered_by_a_new_one() {
    tokio::time::pause();
    let log = Log::default();
    let registry = Script::new(&log).registry(limits().max_busy(secs(3)));
    let mut watch = registry.watch();
    let blocked = registry.send("a", Do::block());
    let waiting = [(); 3].map(|()| registry.send("a", Mark("")));
    assert_eq!(blocked.await.unwrap(), 1);
    tokio::time::sleep(secs(2)).await;
    let new = registry.send("a", Mark(""));
    for answer in waiting.into_iter().chain([new]) {
        assert_eq!(timeout(secs(5), answer).await.expect("it stays stuck").unwrap(), 2);
    }
    let (_, ended) = next_end(&mut watch).await;
    assert_eq!((ended.reason, ended.handled, ended.cut), (EndReason::Stuck, 1, 1));
    assert_eq!((ended.handed_over, ended.dropped), (4, 0));
    assert_about(ended.age, secs(3), "max_busy");
    assert_eq!(registry.stats().opened, 2);
}

/// (Orleans StuckGrainTests:108)
#[actix::test]
async fn calls_to_a_session_that_is_stuck_while_it_ends_are_forwarded_exactly_once() {
    tokio::time::pause();
    let log = Log::default();
    let registry = Script::new(&log).registry(limits().max_age(secs(1)));
    let mut watch = registry.watch();
    let old = registry.open("a").unwrap();
    old.send(Do::block()).await.unwrap();
    let queued: Vec<_> = (0..5).map(|_| registry.send("a", Mark("call"))).collect();
    tokio::time::sleep(secs(2)).await;
    // Out of the directory, stuck in its drain: those by its address still queue up behind it.
    old.do_send(Mark("call"));
    let new: Vec<_> = (0..5).map(|_| registry.send("a", Mark("call"))).collect();
    for answer in queued.into_iter().chain(new) {
        assert_eq!(answer.await.unwrap(), 2);
    }
    let (_, ended) = next_end(&mut watch).await;
    assert_eq!((ended.reason, ended.cut, ended.handed_over), (EndReason::MaxAge, 1, 6));
    assert_about(ended.age, secs(6), "max_age and drain_timeout");
    assert_eq!(log.count("call"), 11);
}

/// (Orleans DeactivateOnIdleTests: from inside, with a timer, under many callers)
#[actix::test]
async fn sessions_that_stop_themselves_by_a_timer_never_fail_their_callers() {
    tokio::time::pause();
    let log = Log::default();
    let script = Script::new(&log).on(Place::Started, |_, ctx| {
        ctx.run_later(millis(7), |_, ctx| ctx.stop());
    });
    let registry = script.registry(limits());
    let mut callers = Vec::new();
    for caller in 0..20u64 {
        let registry = registry.clone();
        callers.push(actix::spawn(async move {
            for call in 0..50 {
                let key = format!("k{}", (caller + call) % 3);
                registry.send(key, Mark("call")).await.unwrap();
                tokio::time::sleep(millis(caller % 4)).await;
            }
        }));
    }
    for caller in callers {
        caller.await.unwrap();
    }
    assert_eq!(log.count("call"), 20 * 50, "each handled exactly once");
    assert!(registry.stats().opened > 20);
}

/// (Orleans DeactivateOnIdleTests: a call to an activation that is gone)
#[actix::test]
async fn an_address_that_has_outlived_its_session_says_so_and_the_key_works() {
    tokio::time::pause();
    let log = Log::default();
    let registry = start(&log);
    let mut old = Vec::new();
    for n in 1..=5 {
        let addr = registry.open("a").unwrap();
        assert_eq!(addr.send(Do::stop()).await.unwrap(), n);
        settle().await;
        old.push(addr);
        for addr in &old {
            assert!(!addr.connected());
            assert!(matches!(addr.send(Mark("")).await, Err(MailboxError::Closed)));
        }
    }
    assert_eq!(registry.send("a", Mark("")).await.unwrap(), 6);
}

/// (Orleans ShutdownSiloTests:84, :103, :119)
#[actix::test]
async fn a_shutdown_answers_what_is_pending_and_is_not_held_up_by_what_is_stuck() {
    tokio::time::pause();
    let log = Log::default();
    let registry: SessionRegistry<Probe> = support::registry(limits(), &log);
    let pending: Vec<_> = (0..100).map(|n| registry.send(format!("k{n}"), Slow(secs(n % 4)))).collect();
    let stuck = registry.send("stuck", support::SlowInContext(secs(1000)));
    settle().await;
    let before = Instant::now();
    let report = registry.shutdown(secs(20)).await.unwrap();
    assert_about(before.elapsed(), secs(20), "the timeout");
    assert_eq!((report.drained, report.cut, report.unresponsive), (100, 1, 0));
    for answer in pending {
        assert_eq!(answer.await.unwrap(), "slow");
    }
    assert_eq!(cause(stuck.await), ended(EndReason::Shutdown));
}

/// (Orleans StatelessWorkerSingleActivationRaceTests)
#[actix::test]
async fn a_late_delivery_and_a_fresh_call_make_exactly_one_replacement() {
    tokio::time::pause();
    let log = Log::default();
    // Both in the last hook: the late one goes into the closing mailbox, the fresh one opens the key.
    for fresh_first in [false, true] {
        let script = Script::new(&log).on(Place::Stopped, move |act, ctx| {
            if act.incarnation == 1 {
                let fresh = |ctx: &SessionContext<Hooked>| {
                    ctx.registry().upgrade().unwrap().do_send(ctx.key(), Mark("fresh")).unwrap();
                };
                if fresh_first {
                    fresh(ctx);
                }
                ctx.address().do_send(Mark("late"));
                if !fresh_first {
                    fresh(ctx);
                }
            }
        });
        let registry = script.registry(limits());
        let mut watch = registry.watch();
        registry.do_send("a", Do::stop()).unwrap();
        let (_, ended) = next_end(&mut watch).await;
        assert_eq!((ended.handed_over, ended.dropped), (1, 0));
        settle().await;
        assert_eq!((registry.stats().opened, registry.len(), registry.stats().keys), (2, 1, 1));
        let lines = log.take();
        assert_eq!(lines[lines.len() - 2..], ["a#2 late", "a#2 fresh"], "leftovers first");
    }
}
