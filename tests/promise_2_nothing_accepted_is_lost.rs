//! Promise 2: a message that entered a mailbox is handled by that incarnation or by its successor,
//! which takes the leftovers first, one at a time and in order. Who is told what when there is no
//! successor: `promise_2_whoever_is_not_served_is_told.rs`.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

#[path = "support/ends.rs"]
mod ends;
#[path = "support/exact.rs"]
mod exact;
#[path = "support/hooked.rs"]
mod hooked;
mod support;

use std::any::Any;

use actix::prelude::*;
use ends::{ALL_BUT_ABORTED, bring_about, registry_for};
use exact::{assert_about, end_of};
use hooked::{Do, Hooked, Mark, Place, Script, cause, expect_booms, panicked};
use session_actors::{EndReason, Session, SessionContext, SessionKey, SessionRegistry, Watch};
use support::{Log, gate, limits, next_end, secs, settle};

/// What was noted beside the life of the actors.
fn noted(log: &Log) -> Vec<String> {
    let life = ["made", "started", "stopping", "stopped", "dropped", "draining", "expiring"];
    let mut lines = log.take();
    lines.retain(|line| !life.contains(&line.split_once(' ').unwrap().1));
    lines
}

fn start(log: &Log) -> (SessionRegistry<Hooked>, Watch) {
    let registry = Script::new(log).registry(limits());
    let watch = registry.watch();
    (registry, watch)
}

#[actix::test]
async fn mail_behind_a_stop_goes_to_the_successor_in_order() {
    tokio::time::pause();
    let log = Log::default();
    let (registry, mut watch) = start(&log);
    let mut answers = vec![registry.send("a", Mark("1"))];
    let stop = registry.send("a", Do::stop());
    answers.extend(["2", "3", "4"].map(|text| registry.send("a", Mark(text))));
    registry.do_send("a", Mark("5")).unwrap();
    registry.try_send("a", Mark("6")).unwrap();
    registry.get("a").unwrap().do_send(Mark("7"));

    let mut by = vec![stop.await.unwrap()];
    for answer in answers {
        by.push(answer.await.unwrap());
    }
    assert_eq!(by, [1, 1, 2, 2, 2]);
    let (_, ended) = next_end(&mut watch).await;
    assert_eq!((ended.reason, ended.handled), (EndReason::Stopped, 2));
    assert_eq!((ended.handed_over, ended.dropped), (6, 0));
    settle().await;
    assert_eq!(noted(&log), ["a#1 1", "a#2 2", "a#2 3", "a#2 4", "a#2 5", "a#2 6", "a#2 7"]);
}

/// Of no use to another session if it says so.
#[derive(Message)]
#[rtype(result = "()")]
struct Letter {
    moot: bool,
    text: &'static str,
}

struct Reader(Log);

impl Actor for Reader {
    type Context = SessionContext<Self>;
}

impl Session for Reader {
    fn is_moot(message: &dyn Any) -> bool {
        let letter = message.downcast_ref::<Letter>();
        assert!(letter.is_none_or(|letter| letter.text != "boom"), "boom: it counts as no");
        letter.is_some_and(|letter| letter.moot)
    }
}

impl Handler<Letter> for Reader {
    type Result = ();

    fn handle(&mut self, letter: Letter, ctx: &mut Self::Context) {
        self.0.note(format!("{} {}", ctx.id(), letter.text));
        if letter.text == "stop" {
            ctx.stop();
        }
    }
}

#[actix::test]
async fn mail_for_one_incarnation_only_opens_no_successor() {
    expect_booms();
    tokio::time::pause();
    let log = Log::default();
    let its = log.clone();
    let registry = SessionRegistry::builder(move |_: &SessionKey| Reader(its.clone())).start().unwrap();
    let mut watch = registry.watch();
    let send = |moot, text| registry.do_send("a", Letter { moot, text }).unwrap();
    send(true, "1");
    send(false, "stop");
    send(true, "2");
    let (_, ended) = next_end(&mut watch).await;
    assert_eq!((ended.handled, ended.handed_over, ended.dropped), (2, 0, 0));
    settle().await;
    assert!(registry.is_empty());
    assert_eq!(log.take(), ["1 1", "1 stop"]);

    // Nor does one that is opened by other mail get it.
    send(false, "stop");
    send(true, "3");
    send(false, "4");
    send(true, "boom");
    let (_, ended) = next_end(&mut watch).await;
    assert_eq!((ended.handled, ended.handed_over, ended.dropped), (1, 2, 0));
    settle().await;
    assert_eq!(log.take(), ["2 stop", "3 4", "3 boom"]);
}

#[actix::test]
async fn mail_behind_a_panic_goes_to_the_successor_and_the_message_itself_is_not_tried_again() {
    tokio::time::pause();
    expect_booms();
    let log = Log::default();
    let (registry, mut watch) = start(&log);
    let boom = registry.send("a", Do::panic("boom"));
    let behind = registry.send("a", Mark("behind"));

    assert_eq!(cause(boom.await), panicked("boom"));
    assert_eq!(behind.await.unwrap(), 2);
    let (_, ended) = next_end(&mut watch).await;
    assert_eq!((ended.reason, ended.handled, ended.handed_over), (EndReason::Panicked, 1, 1));
    assert_eq!(ended.panic.as_deref(), Some("boom"));
    assert_eq!(noted(&log), ["a#2 behind"]);
}

#[actix::test]
async fn each_of_a_row_of_panics_costs_one_incarnation() {
    tokio::time::pause();
    expect_booms();
    let log = Log::default();
    let (registry, mut watch) = start(&log);
    let booms = ["boom 1", "boom 2", "boom 3"].map(|words| (words, registry.send("a", Do::panic(words))));
    let last = registry.send("a", Mark("last"));
    for (words, boom) in booms {
        assert_eq!(cause(boom.await), panicked(words));
    }
    assert_eq!(last.await.unwrap(), 4);
    for left in [3, 2, 1] {
        let (_, ended) = next_end(&mut watch).await;
        assert_eq!((ended.handled, ended.handed_over, ended.dropped), (1, left, 0));
    }
    assert_eq!((registry.len(), registry.stats().opened), (1, 4));
}

/// What the predecessor left comes before what was sent to the successor while it waited.
#[actix::test]
async fn leftovers_come_before_the_successors_own_mail() {
    tokio::time::pause();
    let log = Log::default();
    let (registry, mut watch) = start(&log);
    let old = registry.open("a").unwrap();
    old.do_send(Do::block());
    ["1", "2"].into_iter().for_each(|text| old.do_send(Mark(text)));
    settle().await;
    // As it is `Closed` nothing would be opened for them, but a successor is there already.
    drop(registry.close("a"));
    settle().await;
    let new = registry.send("a", Mark("3"));
    old.do_send(Mark("2b"));

    assert_eq!(new.await.unwrap(), 2);
    let (_, ended) = next_end(&mut watch).await;
    assert_eq!((ended.reason, ended.handed_over, ended.dropped), (EndReason::Closed, 3, 0));
    assert_eq!(noted(&log), ["a#2 1", "a#2 2", "a#2 2b", "a#2 3"]);
}

/// A session that ends before it is through with its predecessor's mail leaves that first.
#[actix::test]
async fn inherited_mail_is_handed_on_before_ones_own() {
    tokio::time::pause();
    let log = Log::default();
    let (registry, mut watch) = start(&log);
    let old = registry.open("a").unwrap();
    old.do_send(Do::block());
    old.do_send(Do::stop());
    ["1", "2"].into_iter().for_each(|text| old.do_send(Mark(text)));
    settle().await;
    drop(registry.close("a"));
    settle().await;
    // The second inherits three, the first of which stops it, and has one of its own.
    assert_eq!(registry.send("a", Mark("3")).await.unwrap(), 3);
    assert_eq!(noted(&log), ["a#3 1", "a#3 2", "a#3 3"]);
    assert_eq!(next_end(&mut watch).await.1.handed_over, 3);
    let (_, ended) = next_end(&mut watch).await;
    assert_eq!((ended.reason, ended.handled, ended.handed_over), (EndReason::Stopped, 1, 3));
}

/// A leftover that waits must hold up the next one, as any message would.
#[actix::test]
async fn leftovers_are_handled_one_at_a_time() {
    tokio::time::pause();
    let log = Log::default();
    let (registry, _watch) = start(&log);
    let slowly = |begin: &'static str, end: &'static str| {
        Do::new(move |act, ctx| {
            act.note(begin);
            ctx.wait(tokio::time::sleep(secs(1)).into_actor(act).map(move |(), act: &mut Hooked, _| act.note(end)));
        })
    };
    registry.do_send("a", Do::stop()).unwrap();
    registry.do_send("a", slowly("1 begins", "1 ends")).unwrap();
    registry.do_send("a", slowly("2 begins", "2 ends")).unwrap();
    let begun = tokio::time::Instant::now();
    let last = registry.send("a", Mark("3"));
    settle().await;
    assert_eq!(noted(&log), ["a#2 1 begins"]);

    assert_eq!(last.await.unwrap(), 2);
    assert_about(begun.elapsed(), secs(2), "one after the other");
    assert_eq!(noted(&log), ["a#2 1 ends", "a#2 2 begins", "a#2 2 ends", "a#2 3"]);
}

#[actix::test]
async fn leftovers_of_leftovers_keep_their_order() {
    tokio::time::pause();
    let log = Log::default();
    let (registry, mut watch) = start(&log);
    registry.do_send("a", Do::stop()).unwrap();
    registry.do_send("a", Do::stop()).unwrap();
    ["1", "2"].into_iter().for_each(|text| registry.do_send("a", Mark(text)).unwrap());
    registry.do_send("a", Do::stop()).unwrap();
    let last = registry.send("a", Mark("3"));
    assert_eq!(last.await.unwrap(), 4);
    assert_eq!(noted(&log), ["a#3 1", "a#3 2", "a#4 3"]);
    for (handled, left) in [(1, 5), (1, 4), (3, 1)] {
        let (_, ended) = next_end(&mut watch).await;
        assert_eq!((ended.handled, ended.handed_over, ended.dropped), (handled, left, 0));
    }
}

/// Two thousand are more than the mailbox takes and more than one turn of the session handles.
#[actix::test]
async fn a_great_deal_of_mail_survives_in_order() {
    tokio::time::pause();
    let log = Log::default();
    let script = Script::new(&log);
    let registry = script.builder().mailbox_capacity(16).start().unwrap();
    #[derive(Message)]
    #[rtype(result = "()")]
    struct Number(u64);
    impl Handler<Number> for Hooked {
        type Result = ();
        fn handle(&mut self, number: Number, ctx: &mut Self::Context) {
            self.note(format!("number {}", number.0));
            if number.0 % 300 == 299 {
                ctx.stop();
            }
        }
    }
    (0..2000).for_each(|n| registry.do_send("a", Number(n)).unwrap());
    let last = registry.open("a").unwrap();
    settle().await;
    while registry.stats().opened < 7 {
        settle().await;
    }
    assert_eq!(registry.send("a", Mark("last")).await.unwrap(), 7);
    drop(last);
    let numbers: Vec<u64> = noted(&log).iter().filter_map(|line| line.rsplit_once("number ")?.1.parse().ok()).collect();
    assert_eq!(numbers, (0..2000).collect::<Vec<_>>());
}

/// Between the last look at the mailbox and its closing, an old address still leads there.
#[actix::test]
async fn mail_sent_by_an_old_address_in_the_last_hooks_opens_a_successor() {
    tokio::time::pause();
    expect_booms();
    for reason in ALL_BUT_ABORTED {
        let log = Log::default();
        let script = Script::new(&log)
            .on(Place::Stopping, |act, ctx| {
                if act.incarnation == 1 {
                    ctx.address().do_send(Mark("in stopping"));
                }
            })
            .on(Place::Stopped, |act, ctx| {
                if act.incarnation == 1 {
                    ctx.address().do_send(Mark("in stopped"));
                }
            });
        let registry = registry_for(reason, &script);
        let mut watch = registry.watch();
        bring_about(reason, &registry).await;

        let ended = end_of(&mut watch, "a").await;
        settle().await;

        let mut lines = noted(&log);
        lines.retain(|line| line.contains(" in "));
        match reason {
            // No hook ran that could have sent anything.
            EndReason::Panicked => assert_eq!((ended.handed_over, ended.dropped, lines.len()), (0, 0, 0)),
            EndReason::Closed | EndReason::Shutdown => {
                assert_eq!((ended.handed_over, ended.dropped, lines.len()), (0, 2, 0), "{reason}");
                assert!(registry.info("a").is_none(), "{reason}");
            }
            _ => {
                assert_eq!((ended.handed_over, ended.dropped), (2, 0), "{reason}");
                assert_eq!(lines, ["a#2 in stopping", "a#2 in stopped"], "{reason}");
            }
        }
    }
}

/// It has taken nothing, but it has seen its mailbox empty: its successor can do better than it.
#[actix::test]
async fn late_mail_of_a_session_that_was_never_sent_anything_opens_a_successor() {
    tokio::time::pause();
    let log = Log::default();
    let late = |act: &mut Hooked, ctx: &mut SessionContext<Hooked>| {
        if act.incarnation == 1 {
            ctx.address().do_send(Mark("late"));
        }
    };
    let registry = Script::new(&log).on(Place::Stopped, late).registry(limits());
    let mut watch = registry.watch();
    registry.open("a").unwrap();
    let (_, ended) = next_end(&mut watch).await;
    assert_eq!((ended.handled, ended.handed_over, ended.dropped), (0, 1, 0));
    settle().await;
    assert_eq!(noted(&log), ["a#2 late"]);
}

#[actix::test]
async fn mail_sent_by_an_old_address_while_the_actor_is_dropped_opens_a_successor() {
    tokio::time::pause();
    expect_booms();
    for reason in ALL_BUT_ABORTED {
        let log = Log::default();
        let old: std::sync::Arc<std::sync::OnceLock<Addr<Hooked>>> = Default::default();
        let address = std::sync::Arc::clone(&old);
        let script = Script::new(&log).on_bare(Place::Dropped, move |act| {
            if act.incarnation == 1
                && let Some(old) = address.get()
            {
                old.do_send(Mark("in drop"));
            }
        });
        let registry = registry_for(reason, &script);
        let mut watch = registry.watch();
        old.set(registry.open("a").unwrap()).unwrap();
        bring_about(reason, &registry).await;

        let ended = end_of(&mut watch, "a").await;
        settle().await;

        if matches!(reason, EndReason::Closed | EndReason::Shutdown) {
            assert_eq!((ended.handed_over, ended.dropped, log.count("in drop")), (0, 1, 0), "{reason}");
        } else {
            assert_eq!((ended.handed_over, ended.dropped), (1, 0), "{reason}");
            assert_eq!(log.count("a#2 in drop"), 1, "{reason}");
        }
    }
}

#[actix::test]
async fn a_message_whose_caller_has_gone_is_dropped_and_opens_nothing() {
    tokio::time::pause();
    let log = Log::default();
    let (registry, mut watch) = start(&log);
    let (open, gate) = gate();
    // Stops when the gate opens; until then its mail waits.
    let job = Do::new(move |act, ctx| {
        let stop = async { drop(gate.await) }.into_actor(act);
        ctx.wait(stop.map(|(), _, ctx: &mut SessionContext<Hooked>| ctx.stop()));
    });
    registry.do_send("a", job).unwrap();
    let gone = ["1", "2"].map(|text| registry.send("a", Mark(text)));
    let by_address = Box::pin(registry.get("a").unwrap().send(Mark("3")));
    settle().await;
    drop((gone, by_address));
    open.send(()).unwrap();

    let (_, ended) = next_end(&mut watch).await;
    assert_eq!((ended.handled, ended.handed_over, ended.dropped), (1, 0, 3));
    settle().await;
    assert!(registry.is_empty());
    assert_eq!((registry.stats().opened, registry.stats().keys, noted(&log).len()), (1, 0, 0));
}

#[actix::test]
async fn a_caller_that_goes_while_its_message_is_handed_over_is_dropped_by_the_successor() {
    tokio::time::pause();
    let log = Log::default();
    let (registry, mut watch) = start(&log);
    registry.do_send("a", Do::stop()).unwrap();
    // The first leftover blocks the successor while the caller of the second goes.
    let (open, gate) = gate();
    let job = Do::new(move |act, ctx| ctx.wait(async { drop(gate.await) }.into_actor(act)));
    registry.do_send("a", job).unwrap();
    let gone = registry.send("a", Mark("gone"));
    let stays = registry.send("a", Mark("stays"));
    settle().await;
    drop(gone);
    open.send(()).unwrap();
    assert_eq!(stays.await.unwrap(), 2);
    assert_eq!(noted(&log), ["a#2 stays"]);
    assert_eq!(next_end(&mut watch).await.1.handed_over, 3);
    drop(registry.close("a"));
    assert_eq!(next_end(&mut watch).await.1.handled, 2, "a request whose caller has gone is not handled");
}
