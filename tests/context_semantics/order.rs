//! In which order an actor does what there is to do.

use actix::prelude::*;
use tokio::time::{pause, sleep};

use super::act::{Act, Do, Note, noted_after};
use crate::support::{millis, secs};

fn without_times(noted: &[String]) -> Vec<&str> {
    noted.iter().map(|line| line.split_once(": ").unwrap().1).collect()
}

#[actix::test]
async fn waits_come_before_mail_and_mail_before_what_was_spawned() {
    pause();
    let noted = noted_after(secs(1), |act, ctx| {
        ctx.spawn(async {}.into_actor(act).map(|(), act, _| act.note("spawned")));
        ctx.notify(Note("notified"));
        ctx.address().do_send(Note("mail"));
        ctx.address().do_send(Note("more mail"));
        ctx.wait(async {}.into_actor(act).map(|(), act, _| act.note("waited")));
        act.note("handled");
    })
    .await;
    assert_eq!(without_times(&noted)[..4], ["handled", "waited", "mail", "more mail"]);
    assert_eq!(noted.len(), 6);
}

/// A future that is done is replaced by the last: the order of more than two is not that in which
/// they were spawned. It is actix's, and who relies on it finds it here.
#[actix::test]
async fn futures_that_are_done_at_once_run_in_the_order_of_actix() {
    pause();
    let noted = noted_after(secs(1), |act, ctx| {
        for name in ["one", "two", "three", "four", "five"] {
            ctx.spawn(async {}.into_actor(act).map(move |(), act: &mut Act, _: &mut _| act.note(name)));
        }
    })
    .await;
    assert_eq!(without_times(&noted), ["one", "five", "four", "three", "two"]);
}

#[actix::test]
async fn futures_that_go_on_are_polled_in_the_order_they_were_spawned() {
    pause();
    let noted = noted_after(secs(1), |act, ctx| {
        for name in ["one", "two", "three"] {
            // Polled once, and then when its time has come, which is the same for all.
            ctx.spawn(sleep(millis(100)).into_actor(act).map(|(), _, _| ()));
            ctx.run_interval(millis(200), move |act, _| act.note(name));
        }
    })
    .await;
    let order = without_times(&noted);
    assert_eq!(order.len(), 12);
    assert!(order.chunks(3).all(|round| round == &order[..3]), "{order:?}");
}

#[actix::test]
async fn what_a_message_spawns_runs_after_the_mail_that_is_there() {
    pause();
    let noted = noted_after(secs(1), |_, ctx| {
        let addr = ctx.address();
        addr.do_send(Do::new(|act, ctx| {
            act.note("one");
            ctx.notify(Note("of one"));
        }));
        addr.do_send(Do::new(|act, ctx| {
            act.note("two");
            ctx.address().do_send(Note("three"));
        }));
    })
    .await;
    assert_eq!(without_times(&noted), ["one", "two", "three", "of one"]);
}

#[actix::test]
async fn a_message_that_waits_comes_before_the_next() {
    pause();
    let noted = noted_after(secs(1), |_, ctx| {
        let addr = ctx.address();
        addr.do_send(Do::new(|act, ctx| {
            act.note("one");
            ctx.notify(Note("of one"));
            ctx.wait(sleep(millis(100)).into_actor(act).map(|(), act, _| act.note("waited")));
        }));
        addr.do_send(Note("two"));
    })
    .await;
    assert_eq!(without_times(&noted), ["one", "waited", "two", "of one"]);
}
