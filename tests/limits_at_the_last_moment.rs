//! The last moment before an idle end (design, section 6, steps 1, 2 and 5): what is asked, what still calls it off, and
//! where a message goes that was taken out of the mailbox by then. Mail and an `open`: `order_of_an_end.rs`.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

#[path = "support/exact.rs"]
mod exact;
#[path = "support/hooked.rs"]
mod hooked;
mod support;

use std::{
    future::pending,
    sync::atomic::{AtomicBool, Ordering},
};

use actix::prelude::*;
use exact::{Stopwatch, assert_about, end_of, inside};
use hooked::{Hooked, Mark, Place, Script};
use session_actors::{EndReason, SessionContext};
use support::{Log, Run, limits, next_end, registry, secs, settle};
use tokio::time::sleep;

/// Mail that counts for nothing does not move the deadline. It is handled first all the same: more of it than one turn of
/// the session takes.
#[actix::test]
async fn expiring_is_asked_only_when_the_mailbox_was_seen_empty() {
    let clock = Stopwatch::start();
    let log = Log::default();
    let registry = registry(limits(), &log);
    let mut watch = registry.watch();
    let addr = registry.open("k").unwrap();
    clock.reach(secs(9)).await;
    // Its mail waits until the deadline has passed.
    inside(&addr, |act, ctx| {
        ctx.passive();
        ctx.wait(sleep(secs(2)).into_actor(act));
    })
    .await;
    for _ in 0..1_000 {
        let log = log.clone();
        addr.do_send(Run::new(move |_, ctx| {
            ctx.passive();
            log.note("handled");
        }));
    }

    let ended = end_of(&mut watch, "k").await;

    clock.assert_at(secs(11), "end");
    assert_eq!((ended.reason, ended.handled), (EndReason::IdleTimeout, 1_001));
    let lines = log.lines();
    let asked = lines.iter().position(|line| line.ends_with("expiring")).unwrap();
    assert_eq!(lines[..asked].iter().filter(|line| *line == "handled").count(), 1_000, "asked in between");
    assert_eq!(log.count("expiring"), 1);
}

/// The hook says that it may end, and has done something that says otherwise.
#[actix::test]
async fn activity_of_the_last_moment_calls_an_idle_end_off() {
    tokio::time::pause();
    type Deed = fn(&mut SessionContext<Hooked>);
    let deeds: [(&str, Deed); 2] = [("the end of a hold", |ctx| drop(ctx.hold())), ("a touch", |ctx| ctx.touch())];
    for (what, deed) in deeds {
        let log = Log::default();
        let done = AtomicBool::new(false);
        let script = Script::new(&log).on(Place::Expiring, move |_, ctx| {
            if !done.swap(true, Ordering::Relaxed) {
                deed(ctx);
            }
        });
        let registry = script.registry(limits());
        let mut watch = registry.watch();
        registry.send("a", Mark("first")).await.unwrap();

        let (_, ended) = next_end(&mut watch).await;

        assert_eq!((ended.reason, ended.handled), (EndReason::IdleTimeout, 1), "{what}");
        assert_about(ended.age, secs(20), what);
        assert_about(ended.idle, secs(10), what);
        assert_eq!(log.count("expiring"), 2, "{what}");
    }
}

/// It came before all that is still in the mailbox, and goes before it.
#[actix::test]
async fn a_message_that_was_taken_out_and_not_handled_goes_to_the_successor_first() {
    tokio::time::pause();
    let log = Log::default();
    // The last look takes the first of them out, which calls the end off; the wait keeps it from being handled.
    let script = Script::new(&log).on(Place::Expiring, |act, ctx| {
        if act.incarnation == 1 {
            ctx.wait(pending::<()>().into_actor(act));
            ["1", "2", "3"].into_iter().for_each(|text| ctx.address().do_send(Mark(text)));
        }
    });
    let registry = script.registry(limits().max_age(secs(15)));
    let mut watch = registry.watch();
    registry.open("a").unwrap();

    let (_, ended) = next_end(&mut watch).await;

    assert_about(ended.age, secs(20), "max_age and drain_timeout");
    assert_eq!((ended.reason, ended.handled, ended.cut), (EndReason::MaxAge, 0, 1));
    assert_eq!((ended.handed_over, ended.dropped), (3, 0));
    settle().await;
    let lines = log.lines();
    assert_eq!(lines[lines.len() - 3..], ["a#2 1", "a#2 2", "a#2 3"]);
}
