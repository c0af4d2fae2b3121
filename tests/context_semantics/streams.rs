//! Streams and message streams.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use actix::prelude::*;
use futures_util::stream;
use tokio::{
    sync::mpsc,
    time::{pause, sleep},
};

use super::{
    Ctx, Session,
    act::{Act, Note, NoteAndWait, noted_after},
};
use crate::{
    guard::or_give_up,
    support::{Log, millis, secs},
};

/// An item that is noted; the end of its stream is noted too, and nothing else.
struct Item(u32);

impl StreamHandler<Item> for Act {
    fn handle(&mut self, item: Item, _: &mut Self::Context) {
        self.note(item.0);
    }

    fn started(&mut self, _: &mut Self::Context) {
        self.note("begins");
    }

    fn finished(&mut self, _: &mut Self::Context) {
        self.note("is over");
    }
}

/// One with which the actor does something.
struct Does(fn(&mut Act, &mut Ctx<Act>));

impl StreamHandler<Does> for Act {
    fn handle(&mut self, item: Does, ctx: &mut Self::Context) {
        (item.0)(self, ctx);
    }
}

#[actix::test]
async fn a_stream_is_handled_from_its_start_to_its_end_in_order() {
    pause();
    let noted = noted_after(secs(1), |_, ctx| {
        ctx.add_stream(stream::iter((1..=40).map(Item)));
    })
    .await;
    let items = (1..=40).map(|n| format!("0: {n}"));
    let expected: Vec<_> = [String::from("0: begins")].into_iter().chain(items).chain(["0: is over".into()]).collect();
    assert_eq!(noted, expected);
}

#[actix::test]
async fn the_end_of_a_stream_stops_the_actor_unless_it_is_told_otherwise() {
    pause();
    let noted = noted_after(secs(1), |_, ctx| {
        ctx.add_stream(stream::iter([Does(|act, _| act.note("item"))]));
    })
    .await;
    assert_eq!(noted, ["0: item", "0: stopping Stopping", "0: stopped Stopped"]);
}

#[actix::test]
async fn a_stream_of_messages_is_handled_in_order_and_its_end_is_nothing() {
    pause();
    let noted = noted_after(secs(1), |_, ctx| {
        ctx.add_message_stream(stream::iter([Note("one"), Note("two"), Note("three")]));
        ctx.run_later(millis(100), |act, _| act.note("still there"));
    })
    .await;
    assert_eq!(noted, ["0: one", "0: two", "0: three", "100: still there"]);
}

#[actix::test]
async fn a_stream_goes_on_when_something_comes() {
    pause();
    let noted = noted_after(secs(1), |_, ctx| {
        let (tx, mut rx) = mpsc::unbounded_channel();
        ctx.add_stream(stream::poll_fn(move |cx| rx.poll_recv(cx)));
        let mut n = 0;
        ctx.run_interval(millis(100), move |_, ctx| {
            n += 1;
            tx.send(Item(n)).unwrap();
            if n == 3 {
                // The sender goes with it, and so the stream ends.
                ctx.cancel_future(ctx.handle());
            }
        });
    })
    .await;
    assert_eq!(noted, ["0: begins", "100: 1", "200: 2", "300: 3", "300: is over"]);
}

#[actix::test]
async fn several_streams_take_turns() {
    pause();
    let noted = noted_after(secs(1), |_, ctx| {
        ctx.add_stream(stream::repeat(()).map_into_waits("first"));
        ctx.add_stream(stream::repeat(()).map_into_waits("second"));
    })
    .await;
    let count = |name| noted.iter().filter(|line| line.ends_with(name)).count();
    assert!(count("first") >= 4 && count("second") >= 4, "{noted:?}");
}

/// Streams of items each of which blocks the actor for 100 ms.
trait IntoWaits: Sized {
    fn map_into_waits(self, name: &'static str) -> impl Stream<Item = Waits>;
}

struct Waits(&'static str);

impl<S: Stream<Item = ()>> IntoWaits for S {
    fn map_into_waits(self, name: &'static str) -> impl Stream<Item = Waits> {
        futures_util::StreamExt::map(self, move |()| Waits(name))
    }
}

impl StreamHandler<Waits> for Act {
    fn handle(&mut self, item: Waits, ctx: &mut Self::Context) {
        Handler::handle(self, NoteAndWait(item.0, 100), ctx);
    }
}

#[actix::test]
async fn a_stream_may_cancel_itself() {
    pause();
    let noted = noted_after(secs(1), |_, ctx| {
        let cancels = stream::unfold(0, |n| async move {
            sleep(millis(100)).await;
            let item = if n < 2 { Does(|act, _| act.note("item")) } else { Does(cancel) };
            Some((item, n + 1))
        });
        ctx.add_stream(cancels);
        ctx.run_later(millis(900), |act, _| act.note("still there"));
    })
    .await;
    assert_eq!(noted, ["100: item", "200: item", "300: cancels", "900: still there"]);
}

fn cancel(act: &mut Act, ctx: &mut Ctx<Act>) {
    act.note("cancels");
    assert!(ctx.cancel_future(ctx.handle()));
}

#[actix::test]
async fn the_current_handle_in_a_stream_is_the_one_it_was_given() {
    pause();
    let noted = noted_after(secs(1), |act, ctx| {
        let (tx, mut rx) = mpsc::unbounded_channel();
        let handle = ctx.add_stream(stream::poll_fn(move |cx| rx.poll_recv(cx)));
        tx.send(Handle(handle)).unwrap();
        ctx.run_later(secs(10), move |_, _| drop(tx));
        assert_ne!(ctx.handle(), handle);
        act.note("added");
    })
    .await;
    assert_eq!(noted, ["0: added", "0: the same"]);
}

struct Handle(SpawnHandle);

impl StreamHandler<Handle> for Act {
    fn handle(&mut self, item: Handle, ctx: &mut Self::Context) {
        assert_eq!(ctx.handle(), item.0);
        self.note("the same");
    }
}

/// Counts what comes from a stream without end.
struct Counter {
    count: Arc<AtomicU64>,
    log: Log,
}

impl Actor for Counter {
    type Context = Ctx<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.add_stream(stream::repeat(1_u64));
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        self.log.note("stopped");
    }
}

impl Session for Counter {}

impl StreamHandler<u64> for Counter {
    fn handle(&mut self, item: u64, _: &mut Self::Context) {
        self.count.fetch_add(item, Ordering::Relaxed);
    }

    fn finished(&mut self, _: &mut Self::Context) {
        self.log.note("is over");
    }
}

#[derive(Message)]
#[rtype(result = "u64")]
struct Stop;

impl Handler<Stop> for Counter {
    type Result = u64;

    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) -> u64 {
        ctx.stop();
        self.count.load(Ordering::Relaxed)
    }
}

/// In real time: there is always something to do, so a paused clock would stand still.
#[test]
fn messages_get_through_beside_a_stream_without_end() {
    or_give_up("a stream without end", || async {
        let (count, log) = (Arc::new(AtomicU64::new(0)), Log::default());
        let (addr, _registry) = super::run(Counter { count: Arc::clone(&count), log: log.clone() });
        while count.load(Ordering::Relaxed) < 10_000 {
            sleep(millis(1)).await;
        }
        assert!(addr.send(Stop).await.unwrap() >= 10_000);
        while addr.connected() {
            sleep(millis(1)).await;
        }
        let last = count.load(Ordering::Relaxed);
        sleep(millis(10)).await;
        assert_eq!(count.load(Ordering::Relaxed), last, "it is over");
        assert_eq!(log.lines(), ["stopped"], "the stream never came to its end");
    });
}

#[actix::test]
async fn a_stream_ends_with_its_actor() {
    pause();
    let (tx, mut rx) = mpsc::unbounded_channel();
    let noted = noted_after(secs(1), move |_, ctx| {
        ctx.add_stream(stream::poll_fn(move |cx| rx.poll_recv(cx)));
        ctx.run_later(millis(100), |_, ctx| ctx.stop());
    })
    .await;
    assert_eq!(noted, ["0: begins", "100: stopping Stopping", "100: stopped Stopped"]);
    assert!(tx.send(Item(1)).is_err(), "its stream was dropped");
}
