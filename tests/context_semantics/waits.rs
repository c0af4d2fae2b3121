//! `ctx.wait` and what it blocks.

use std::future::pending;

use actix::prelude::*;
use futures_util::{StreamExt, future::join_all, stream};
use tokio::time::{Instant, pause, sleep};

use super::{
    Ctx, Session,
    act::{Act, Do, Note, NoteAndWait, noted_after},
};
use crate::{
    guard::assert_due_now,
    support::{Log, millis, secs},
};

#[actix::test]
async fn a_wait_blocks_the_mailbox() {
    pause();
    let noted = noted_after(secs(2), |_, ctx| {
        for name in ["one", "two", "three"] {
            ctx.address().do_send(NoteAndWait(name, 300));
        }
    })
    .await;
    assert_eq!(noted, ["0: one", "300: two", "600: three"]);
}

#[actix::test]
async fn a_wait_blocks_streams_and_notifications() {
    pause();
    let noted = noted_after(secs(2), |_, ctx| {
        ctx.add_message_stream(stream::iter(["one", "two", "three"]).map(|name| NoteAndWait(name, 300)));
    })
    .await;
    assert_eq!(noted, ["0: one", "300: two", "600: three"]);
    let noted = noted_after(secs(2), |_, ctx| {
        ctx.notify(NoteAndWait("one", 300));
        ctx.notify(NoteAndWait("two", 300));
    })
    .await;
    assert_eq!(noted, ["0: one", "300: two"]);
}

#[actix::test]
async fn a_wait_blocks_timers_and_spawned_futures() {
    pause();
    let noted = noted_after(secs(2), |act, ctx| {
        ctx.run_later(millis(100), |act, _| act.note("timer"));
        ctx.run_later(millis(600), |act, _| act.note("later timer"));
        ctx.spawn(sleep(millis(200)).into_actor(act).map(|(), act, _| act.note("future")));
        ctx.wait(sleep(millis(500)).into_actor(act).map(|(), act, _| act.note("waited")));
    })
    .await;
    assert_eq!(noted[..1], ["500: waited"]);
    let mut blocked = noted[1..3].to_vec();
    blocked.sort();
    assert_eq!(blocked, ["500: future", "500: timer"]);
    assert_eq!(noted[3..], ["600: later timer"]);
}

#[actix::test]
async fn the_latest_wait_comes_first() {
    pause();
    let noted = noted_after(secs(2), |act, ctx| {
        for name in ["first", "second", "third"] {
            let wait = async {}.into_actor(act).then(move |(), act: &mut Act, _| {
                act.note(name);
                sleep(millis(100)).into_actor(act)
            });
            ctx.wait(wait);
        }
        ctx.notify(Note("after all"));
    })
    .await;
    assert_eq!(noted, ["0: third", "100: second", "200: first", "300: after all"]);
}

#[actix::test]
async fn a_wait_that_begins_another_is_followed_by_it() {
    pause();
    let noted = noted_after(secs(2), |act, ctx| {
        let inner = |act: &mut Act, ctx: &mut Ctx<Act>| {
            act.note("outer");
            ctx.wait(sleep(millis(100)).into_actor(act).map(|(), act, _| act.note("inner")));
        };
        ctx.wait(sleep(millis(100)).into_actor(act).map(move |(), act, ctx| inner(act, ctx)));
        ctx.address().do_send(Note("mail"));
    })
    .await;
    assert_eq!(noted, ["100: outer", "200: inner", "200: mail"]);
}

#[actix::test]
async fn a_stop_ends_a_wait() {
    pause();
    let noted = noted_after(secs(1), |act, ctx| {
        ctx.wait(pending::<()>().into_actor(act));
        ctx.stop();
    })
    .await;
    assert_eq!(noted, ["0: stopping Stopping", "0: stopped Stopped"]);
    let noted = noted_after(secs(1), |act, ctx| {
        ctx.wait(pending::<()>().into_actor(act));
        ctx.wait(sleep(millis(100)).into_actor(act).map(|(), _, ctx| ctx.stop()));
    })
    .await;
    assert_eq!(noted, ["100: stopping Stopping", "100: stopped Stopped"]);
}

#[actix::test]
async fn the_context_says_that_it_waits() {
    pause();
    let noted = noted_after(secs(1), |act, ctx| {
        assert!(!ctx.waiting());
        ctx.wait(sleep(millis(100)).into_actor(act));
        assert!(ctx.waiting());
        ctx.notify(Note("over"));
        ctx.run_later(millis(200), |act, ctx| {
            assert!(!ctx.waiting());
            ctx.stop();
            assert!(ctx.waiting());
            act.note("asked");
        });
    })
    .await;
    assert_eq!(noted, ["100: over", "200: asked", "200: stopping Stopping", "200: stopped Stopped"]);
}

/// A future that begins a wait whenever it is polled does not keep the others from being polled.
#[actix::test]
async fn what_waits_again_and_again_lets_the_others_run() {
    pause();
    let noted = noted_after(millis(450), |_, ctx| {
        ctx.add_message_stream(stream::repeat(()).map(|()| NoteAndWait("waits", 100)));
        ctx.run_interval(millis(150), |act, _| act.note("tick"));
    })
    .await;
    assert_eq!(noted.iter().filter(|line| line.ends_with("waits")).count(), 5);
    assert!(noted.iter().filter(|line| line.ends_with("tick")).count() >= 2, "{noted:?}");
}

/// Waits before it does anything.
struct Reluctant(Log);

impl Actor for Reluctant {
    type Context = Ctx<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.0.note("started");
        ctx.wait(sleep(secs(1)).into_actor(self).map(|(), act, _| act.0.note("waited")));
    }
}

impl Session for Reluctant {}

impl Handler<Note> for Reluctant {
    type Result = ();

    fn handle(&mut self, note: Note, _: &mut Self::Context) {
        self.0.note(note.0);
    }
}

#[actix::test]
async fn a_wait_in_started_comes_before_the_first_message() {
    pause();
    let log = Log::default();
    let began = Instant::now();
    let (addr, _registry) = super::run(Reluctant(log.clone()));
    addr.send(Note("message")).await.unwrap();
    assert_due_now(began, secs(1));
    assert_eq!(log.lines(), ["started", "waited", "message"]);
}

/// Adds up, each number taking as many milliseconds.
#[derive(Message)]
#[rtype(result = "u64")]
struct Add(u64);

#[derive(Default)]
struct Sum(u64);

impl Actor for Sum {
    type Context = Ctx<Self>;
}

impl Session for Sum {}

impl Handler<Add> for Sum {
    type Result = AtomicResponse<Self, u64>;

    fn handle(&mut self, add: Add, _: &mut Self::Context) -> Self::Result {
        AtomicResponse::new(Box::pin(sleep(millis(add.0)).into_actor(self).map(move |(), sum, _| {
            sum.0 += add.0;
            sum.0
        })))
    }
}

#[actix::test]
async fn atomic_responses_come_one_after_the_other() {
    pause();
    let began = Instant::now();
    let (addr, _registry) = super::run(Sum::default());
    let answers = join_all([70, 60, 50, 40, 30, 20, 10].map(|n| addr.send(Add(n)))).await;
    let answers: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
    assert_eq!(answers, [70, 130, 180, 220, 250, 270, 280]);
    assert!(began.elapsed() >= millis(280) && began.elapsed() < millis(300));
}

#[actix::test]
async fn a_wait_by_one_message_holds_up_those_of_others() {
    pause();
    let log = Log::default();
    let began = Instant::now();
    let (addr, _registry) = super::run(Act::new(&log));
    addr.do_send(Do::new(|act, ctx| ctx.wait(sleep(secs(1)).into_actor(act))));
    // Given up before it is handled: it is not handled at all then.
    let given_up = addr.send(Note("given up")).timeout(millis(10)).await;
    assert_eq!(given_up, Err(MailboxError::Timeout));
    addr.send(Note("patient")).await.unwrap();
    assert_due_now(began, secs(1));
    assert_eq!(log.lines(), ["1000: patient"]);
}
