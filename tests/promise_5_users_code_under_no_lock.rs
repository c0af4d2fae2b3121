//! Promise 5, fourth part (design, section 6): code of the user's runs under no lock, so that it may call the registry from
//! wherever it runs.
//!
//! One test, because tracing remembers for all threads of a process what one of them does not listen to.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

#[path = "support/guard.rs"]
mod guard;
#[path = "support/hooked.rs"]
mod hooked;
mod support;

use std::{
    cell::Cell,
    future::Future,
    pin::{Pin, pin},
    sync::{Arc, OnceLock},
    task::{Context, Poll, Wake},
};

use guard::or_give_up;
use hooked::{Do, Hooked, Mark, Place, Script, expect_booms};
use session_actors::{OpenError, Policy, SessionKey, WeakSessionRegistry};
use support::{Log, limits, millis, next_end, secs, settle};
use tracing_subscriber::{Layer, layer::SubscriberExt, util::SubscriberInitExt};

/// The way back to the registry, for code that runs in it.
#[derive(Clone, Default)]
struct Visitor {
    way: Arc<OnceLock<WeakSessionRegistry<Hooked>>>,
    visits: Log,
}

thread_local! {
    /// A visit makes the registry do things, which have to be visited from outside of it.
    static VISITING: Cell<bool> = const { Cell::new(false) };
}

impl Visitor {
    /// Calls all that takes a lock, for the key that somebody else may have locked and for another one.
    fn visit(&self, from: &str) {
        let Some(registry) = self.way.get().and_then(WeakSessionRegistry::upgrade) else { return };
        if VISITING.replace(true) {
            return;
        }
        for key in ["a", "other"] {
            let _ = (registry.get(key), registry.info(key), registry.list(), registry.len(), registry.stats());
        }
        drop(registry.open("other"));
        drop(registry.try_send("other", Mark("visited")));
        drop(registry.close("nobody"));
        registry.set_policy(registry.policy()).unwrap();
        drop(registry.watch());
        VISITING.set(false);
        self.visits.note(from);
    }

    fn on_drop(&self, of: &'static str) -> VisitsOnDrop {
        VisitsOnDrop(self.clone(), of)
    }
}

struct VisitsOnDrop(Visitor, &'static str);

impl Drop for VisitsOnDrop {
    fn drop(&mut self) {
        self.0.visit(self.1);
    }
}

/// Whoever is woken may come back as well.
struct VisitsWhenWoken(Visitor, &'static str);

impl Wake for VisitsWhenWoken {
    fn wake(self: Arc<Self>) {
        self.0.visit(self.1);
    }
}

/// Polls it until there is nothing more, so that the visitor is woken when there is.
fn listen<T>(visitor: &Visitor, to: &'static str, mut poll: impl FnMut(&mut Context<'_>) -> Poll<Option<T>>) {
    let waker = Arc::new(VisitsWhenWoken(visitor.clone(), to)).into();
    while let Poll::Ready(Some(_)) = poll(&mut Context::from_waker(&waker)) {}
}

impl<S: tracing::Subscriber> Layer<S> for Visitor {
    fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        if event.metadata().target().starts_with("session_actors") {
            self.visit("tracing");
        }
    }
}

/// A message with something in it that visits when it is dropped.
fn laden(visitor: &Visitor, of: &'static str) -> Do {
    let load = visitor.on_drop(of);
    Do::new(move |_, _| drop(load))
}

fn maker(script: &Script, visitor: &Visitor, of: &'static str) -> impl FnOnce(&SessionKey) -> Hooked + Send + 'static {
    let (script, load) = (script.clone(), visitor.on_drop(of));
    move |key| {
        let _load = load;
        script.make(key)
    }
}

#[test]
fn the_registry_may_be_called_from_wherever_code_of_the_users_runs() {
    expect_booms();
    // Under a lock of the directory's such a call would wait for itself.
    or_give_up("a call from inside", || async {
        tokio::time::pause();
        let visitor = Visitor::default();
        let mut script = Script::new(&Log::default());
        for (place, name) in [
            (Place::Started, "started"),
            (Place::Warned, "warned"),
            (Place::Expiring, "expiring"),
            (Place::Draining, "draining"),
            (Place::Stopping, "stopping"),
            (Place::Stopped, "stopped"),
        ] {
            let visitor = visitor.clone();
            script = script.on(place, move |_, _| visitor.visit(name));
        }
        for (place, name) in [(Place::Made, "made"), (Place::Dropped, "dropped")] {
            let visitor = visitor.clone();
            script = script.on_bare(place, move |_| visitor.visit(name));
        }
        let policy = Policy::new(limits().warn_before(secs(1))).max_sessions(2);
        let registry = script.builder().policy(policy).mailbox_capacity(2).start().unwrap();
        visitor.way.set(registry.downgrade()).unwrap();
        let _subscribed = tracing_subscriber::registry().with(visitor.clone()).set_default();
        let mut watch = registry.watch();

        // A maker that is used, one for a key that is live, and one where there is no slot.
        drop(registry.open_with("a", maker(&script, &visitor, "a maker")).unwrap());
        settle().await;
        drop(registry.open_with("a", maker(&script, &visitor, "a maker that was not needed")).unwrap());
        let refused = registry.open_with("no slot", maker(&script, &visitor, "a maker that was refused"));
        assert!(matches!(refused, Err(OpenError::AtCapacity { .. })), "{refused:?}");
        drop(registry.send("no slot", laden(&visitor, "a refused message")).await);
        drop(registry.send("a", laden(&visitor, "an abandoned message")));
        settle().await;
        // Its end at rest, after a warning and a question.
        while next_end(&mut watch).await.0 != "a" {}
        // A hard one, with mail behind it: too much, of somebody who has gone, and what nobody will handle.
        registry.send("a", Do::block()).await.unwrap();
        let gone = registry.send("a", laden(&visitor, "a message whose caller has gone"));
        registry.do_send("a", laden(&visitor, "a lost message")).unwrap();
        drop(registry.try_send("a", laden(&visitor, "a message too much")));
        settle().await;
        drop(gone);
        let mut listener = registry.watch();
        listen(&visitor, "the waker of a watcher", |cx| pin!(listener.next()).poll(cx));
        let mut closing = registry.close("a");
        listen(&visitor, "the waker of who waits for the end", |cx| Pin::new(&mut closing).poll(cx).map(Result::ok));
        while next_end(&mut watch).await.0 != "a" {}
        assert_eq!(closing.await.unwrap().dropped, 2);
        // One that panics, with a successor that takes what it left.
        registry.do_send("a", Do::panic("boom")).unwrap();
        registry.send("a", laden(&visitor, "a leftover")).await.unwrap();
        // One that cannot be made.
        registry.close("a").await.unwrap();
        let load = visitor.on_drop("a maker that panics");
        let failing = registry.open_with("a", move |_| {
            let _load = load;
            panic!("boom in a maker")
        });
        drop(failing.unwrap());
        registry.do_send("a", laden(&visitor, "mail of a start that failed")).unwrap();
        tokio::time::sleep(millis(1)).await;
        registry.shutdown(secs(10)).await.unwrap();

        for from in [
            "made",
            "started",
            "warned",
            "expiring",
            "draining",
            "stopping",
            "stopped",
            "dropped",
            "tracing",
            "the waker of a watcher",
            "the waker of who waits for the end",
            "a maker",
            "a maker that was not needed",
            "a maker that was refused",
            "a refused message",
            "an abandoned message",
            "a message whose caller has gone",
            "a lost message",
            "a message too much",
            "a leftover",
            "a maker that panics",
            "mail of a start that failed",
        ] {
            assert!(visitor.visits.lines().iter().any(|line| line == from), "nobody came from {from}");
        }
    });
}
