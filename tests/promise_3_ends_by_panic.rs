//! Promise 3 when code of the user's panics: exactly one `Ended`, with the words of the panic, no
//! hook on the broken actor, and neighbours who notice nothing.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

#[path = "support/ends.rs"]
mod ends;
#[path = "support/exact.rs"]
mod exact;
#[path = "support/hooked.rs"]
mod hooked;
mod support;

use actix::prelude::*;
use ends::{ALL_BUT_ABORTED, bring_about, registry_for};
use exact::{end_of, name_of};
use futures_util::stream;
use hooked::{Do, Hooked, Mark, Place, Script, cause, expect_booms, panicked};
use session_actors::{EndReason, Ended, SessionRegistry, Unserved, Watch};
use support::{Log, limits, next_event, secs, settle};

/// The last of `a`, after making sure that there is exactly one and that the neighbour is well.
async fn the_only_end(registry: &SessionRegistry<Hooked>, mut watch: Watch, name: &str) -> Ended {
    let ended = end_of(&mut watch, "a").await;
    settle().await;
    assert_eq!(registry.send("neighbour", Mark("")).await.unwrap(), 1, "{name}");
    // A key that panicked its session can be opened again.
    assert!(registry.send("a", Mark("again")).await.is_ok(), "{name}");
    drop(registry.close("a").await);
    let mut row = Vec::new();
    while row.len() < 2 {
        let event = next_event(&mut watch).await;
        if event.key.as_str() == "a" {
            row.push(name_of(&event.kind));
        }
    }
    assert_eq!(row, ["opened", "ended"], "{name}: the first had ended once and for all");
    ended
}

/// Starts a registry with a session `a` that has taken nothing and a neighbour that is well.
async fn start(script: &Script) -> (SessionRegistry<Hooked>, Watch) {
    let registry = script.registry(limits().warn_before(secs(1)));
    registry.send("neighbour", Mark("")).await.unwrap();
    let watch = registry.watch();
    (registry, watch)
}

struct Falls(&'static str);

impl Drop for Falls {
    fn drop(&mut self) {
        panic!("{}", self.0);
    }
}

struct Nothing;

impl StreamHandler<Nothing> for Hooked {
    fn handle(&mut self, _: Nothing, _: &mut Self::Context) {
        panic!("boom in a stream's handler");
    }

    fn finished(&mut self, _: &mut Self::Context) {
        panic!("boom at a stream's end");
    }
}

impl StreamHandler<u8> for Hooked {
    fn handle(&mut self, _: u8, _: &mut Self::Context) {}
}

/// What runs inside of the session and the words that it ends with.
type Case = (&'static str, fn(&mut Hooked, &mut session_actors::SessionContext<Hooked>));

const INSIDE: [Case; 13] = [
    ("boom in a handler", |_, _| panic!("boom in a handler")),
    ("boom in a notification", |_, ctx| ctx.notify(Do::panic("boom in a notification"))),
    ("boom in a timer", |_, ctx| {
        ctx.run_later(secs(1), |_, _| panic!("boom in a timer"));
    }),
    ("boom in an interval", |_, ctx| {
        ctx.run_interval(secs(1), |_, _| panic!("boom in an interval"));
    }),
    ("boom in a spawned future", |act, ctx| {
        ctx.spawn(async { panic!("boom in a spawned future") }.into_actor(act));
    }),
    ("boom in a wait", |act, ctx| ctx.wait(async { panic!("boom in a wait") }.into_actor(act))),
    ("boom in a stream's handler", |_, ctx| {
        ctx.add_stream(stream::iter([Nothing]));
    }),
    ("boom at a stream's end", |_, ctx| {
        ctx.add_stream(stream::empty::<Nothing>());
    }),
    ("boom in a stream", |_, ctx| {
        ctx.add_stream(stream::poll_fn(|_| -> std::task::Poll<Option<u8>> { panic!("boom in a stream") }));
    }),
    ("boom in the drop of a future that is done", |act, ctx| {
        let falls = Falls("boom in the drop of a future that is done");
        ctx.spawn(
            std::future::poll_fn(move |_| {
                let _ = &falls;
                std::task::Poll::Ready(())
            })
            .into_actor(act),
        );
    }),
    ("boom in the drop of a future that was cancelled", |act, ctx| {
        let falls = Falls("boom in the drop of a future that was cancelled");
        let handle = ctx.spawn(
            async move {
                std::future::pending::<()>().await;
                drop(falls)
            }
            .into_actor(act),
        );
        ctx.run_later(secs(1), move |_, ctx| {
            ctx.cancel_future(handle);
        });
    }),
    ("boom in the drop of a wait that is done", |act, ctx| {
        let falls = Falls("boom in the drop of a wait that is done");
        ctx.wait(
            std::future::poll_fn(move |_| {
                let _ = &falls;
                std::task::Poll::Ready(())
            })
            .into_actor(act),
        );
    }),
    ("boom in the drop of what a stop cuts", |act, ctx| {
        let falls = Falls("boom in the drop of what a stop cuts");
        ctx.spawn(
            async move {
                std::future::pending::<()>().await;
                drop(falls)
            }
            .into_actor(act),
        );
        ctx.stop();
    }),
];

#[actix::test]
async fn a_panic_of_anything_that_runs_in_the_session_is_its_end() {
    tokio::time::pause();
    expect_booms();
    for (words, run) in INSIDE {
        let log = Log::default();
        let (registry, watch) = start(&Script::new(&log)).await;
        registry.do_send("a", Do::new(run)).unwrap();

        let ended = the_only_end(&registry, watch, words).await;

        assert_eq!((ended.reason, ended.panic.as_deref()), (EndReason::Panicked, Some(words)));
        assert_eq!((ended.handled, ended.dropped), (1, 0), "{words}");
        let hooks = if words.ends_with("cuts") { 1 } else { 0 };
        assert_eq!((log.count("a#1 stopping"), log.count("a#1 stopped")), (hooks, hooks), "{words}");
        assert_eq!(log.count("a#1 dropped"), 1, "{words}");
    }
}

#[actix::test]
async fn a_panic_in_a_hook_is_the_end_and_no_further_hook_runs() {
    tokio::time::pause();
    expect_booms();
    use Place::{Draining, Dropped, Expiring, Started, Stopped, Stopping, Warned};
    let life = |hooks: &[&str]| hooks.iter().map(|hook| format!("a#1 {hook}")).collect::<Vec<_>>();
    for (place, hooks) in [
        (Started, life(&["made", "started", "dropped"])),
        (Warned, life(&["made", "started", "warned", "dropped"])),
        (Expiring, life(&["made", "started", "warned", "expiring", "dropped"])),
        (Draining, life(&["made", "started", "draining", "dropped"])),
        (Stopping, life(&["made", "started", "warned", "expiring", "stopping", "dropped"])),
        (Stopped, life(&["made", "started", "warned", "expiring", "stopping", "stopped", "dropped"])),
        (Dropped, life(&["made", "started", "warned", "expiring", "stopping", "stopped", "dropped"])),
    ] {
        let log = Log::default();
        let registry = Script::new(&log).booms(place, 1).registry(limits().warn_before(secs(1)));
        let mut watch = registry.watch();
        registry.open("a").unwrap();
        if place == Draining {
            // It needs something to wait for.
            let hold = registry.send("a", Take).await.unwrap();
            drop(registry.close("a"));
            settle().await;
            drop(hold);
        }

        let ended = end_of(&mut watch, "a").await;
        settle().await;

        let words = format!("boom in {place:?} of 1");
        assert_eq!((ended.reason, ended.panic), (EndReason::Panicked, Some(words)));
        assert_eq!(log.lines(), hooks, "{place:?}");
        assert_eq!((registry.len(), registry.stats().keys), (0, 0), "{place:?}");
        assert_eq!(registry.send("a", Mark("again")).await.unwrap(), 2, "{place:?}");
        assert_eq!((registry.stats().opened, registry.stats().ended.total()), (2, 1));
    }
}

#[derive(Message)]
#[rtype(result = "session_actors::Hold")]
struct Take;

impl Handler<Take> for Hooked {
    type Result = MessageResult<Take>;

    fn handle(&mut self, _: Take, ctx: &mut Self::Context) -> Self::Result {
        MessageResult(ctx.hold())
    }
}

/// Whatever it was to be, an end whose hooks or `Drop` panic is a `Panicked` one, once.
#[actix::test]
async fn a_panic_in_the_last_hooks_of_any_end_is_noted() {
    tokio::time::pause();
    expect_booms();
    for place in [Place::Stopping, Place::Stopped, Place::Dropped] {
        for reason in ALL_BUT_ABORTED {
            let log = Log::default();
            let registry = registry_for(reason, &Script::new(&log).booms(place, 1));
            let mut watch = registry.watch();
            bring_about(reason, &registry).await;
            let ended = end_of(&mut watch, "a").await;
            settle().await;
            let words = match reason {
                // The first panic stays, and its actor has no more hooks.
                EndReason::Panicked => "boom".to_owned(),
                _ => format!("boom in {place:?} of 1"),
            };
            assert_eq!((ended.reason, ended.panic), (EndReason::Panicked, Some(words)), "{reason}");
            let stats = registry.stats();
            assert_eq!(stats.opened, stats.ended.total() + stats.live as u64);
            assert_eq!(log.count("a#1 dropped"), 1);
        }
    }
}

#[actix::test]
async fn everything_falls_and_the_first_words_are_kept() {
    tokio::time::pause();
    expect_booms();
    let log = Log::default();
    let (registry, watch) = start(&Script::new(&log).on_bare(Place::Dropped, |act| {
        assert!(act.key() != "a" || act.incarnation > 1, "boom third");
    }))
    .await;
    let job = Do::new(|act, ctx| {
        for words in ["boom second", "boom second too"] {
            let falls = Falls(words);
            ctx.spawn(async move { drop(pending(falls).await) }.into_actor(act));
        }
        let falls = Falls("boom while it waits");
        ctx.wait(async move { drop(pending(falls).await) }.into_actor(act));
        ctx.run_later(secs(1), |_, _| ());
        panic!("boom first");
    });
    let told = registry.send("a", job);
    let behind = registry.send("a", Mark("behind"));
    assert_eq!(cause(told.await), panicked("boom first"));
    assert_eq!(behind.await.unwrap(), 2);
    let ended = the_only_end(&registry, watch, "everything").await;
    assert_eq!((ended.panic.as_deref(), ended.handed_over), (Some("boom first"), 1));
}

/// Holds it until it is dropped.
async fn pending(falls: Falls) -> Falls {
    std::future::pending::<()>().await;
    falls
}

#[actix::test]
async fn a_panic_that_carries_no_text_or_falls_itself_is_an_end_like_any_other() {
    tokio::time::pause();
    expect_booms();
    let log = Log::default();
    let (registry, watch) = start(&Script::new(&log)).await;
    registry.do_send("a", Do::new(|_, _| std::panic::resume_unwind(Box::new(Falls("boom in a payload"))))).unwrap();
    let behind = registry.send("a", Mark("behind"));
    assert_eq!(behind.await.unwrap(), 2);
    let ended = the_only_end(&registry, watch, "a payload").await;
    assert_eq!(ended.panic.as_deref(), Some("a panic that carries no text"));
}

#[derive(Message)]
#[rtype(result = "()")]
struct Fragile(#[allow(dead_code)] Falls);

impl Handler<Fragile> for Hooked {
    type Result = ();

    fn handle(&mut self, fragile: Fragile, _: &mut Self::Context) {
        std::mem::forget(fragile);
        self.note("fragile");
    }
}

/// Messages are the user's as well: one that panics while it is dropped takes nobody with it.
#[actix::test]
async fn leftovers_that_panic_while_they_are_dropped_harm_nobody() {
    tokio::time::pause();
    expect_booms();
    let log = Log::default();
    let (registry, watch) = start(&Script::new(&log)).await;
    registry.do_send("a", Do::block()).unwrap();
    let first = registry.send("a", Fragile(Falls("boom in a message")));
    let second = registry.send("a", Fragile(Falls("boom in a message")));
    let last = registry.send("a", Mark("never"));
    settle().await;
    drop(registry.close("a"));
    let told = Unserved::Ended { reason: EndReason::Closed, panic: None };
    assert_eq!((cause(first.await), cause(second.await)), (told.clone(), told.clone()));
    assert_eq!(cause(last.await), told);
    let ended = the_only_end(&registry, watch, "messages").await;
    assert_eq!((ended.reason, ended.dropped), (EndReason::Closed, 3));
}
