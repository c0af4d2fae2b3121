//! Promise 5, first part: the entry goes out first, then the `Ended` event, then waiters are told.
//!
//! Sessions run on threads of their own here, and are held up where something could go wrong; so
//! all of it is in real time.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

#[path = "support/belief.rs"]
mod belief;
#[path = "support/guard.rs"]
mod guard;
mod support;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, mpsc},
};

use actix::prelude::*;
use futures_util::FutureExt;
use session_actors::{
    Closing, EndReason, EventKind, Phase, Policy, Session, SessionContext, SessionId, SessionKey, SessionRegistry,
    Watch, Watched,
};

use crate::{
    belief::read,
    guard::or_give_up,
    support::{limits, millis, next_event},
};

/// What there is to read of a watch at this moment.
fn readable(watch: &mut Watch) -> Vec<Watched> {
    std::iter::from_fn(|| read(watch)).collect()
}

fn has_ended(seen: &[Watched], id: SessionId) -> bool {
    seen.iter().any(|seen| {
        matches!(seen, Watched::Event(event) if event.session == id && matches!(event.kind, EventKind::Ended(_)))
    })
}

/// A session whose hooks stop and wait at the doors that a test has closed, on a thread that is not
/// the test's.
struct Doors {
    stopped: Door,
    /// Where its address is left for the test to compare.
    addresses: Arc<Mutex<HashMap<SessionId, Addr<Doors>>>>,
}

/// Says that somebody stands before it, and waits until it is opened.
#[derive(Clone)]
struct Door(Option<Gate>);

type Gate = (mpsc::Sender<()>, Arc<Mutex<mpsc::Receiver<()>>>);

impl Door {
    fn open() -> Self {
        Self(None)
    }

    fn closed() -> (Self, mpsc::Receiver<()>, mpsc::Sender<()>) {
        let (knock, knocked) = mpsc::channel();
        let (opener, opened) = mpsc::channel();
        (Self(Some((knock, Arc::new(Mutex::new(opened))))), knocked, opener)
    }

    fn pass(&self) {
        if let Some((knock, opened)) = &self.0 {
            let _ = knock.send(());
            let _ = opened.lock().unwrap().recv();
        }
    }
}

impl Actor for Doors {
    type Context = SessionContext<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.addresses.lock().unwrap().insert(ctx.id(), ctx.address());
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        self.stopped.pass();
    }
}

impl Session for Doors {}

/// Its drop passes a door.
#[derive(Message)]
#[rtype(result = "()")]
struct Heavy(Door);

impl Drop for Heavy {
    fn drop(&mut self) {
        self.0.pass();
    }
}

impl Handler<Heavy> for Doors {
    type Result = ();

    fn handle(&mut self, _: Heavy, _: &mut Self::Context) {}
}

#[derive(Message)]
#[rtype(result = "()")]
struct Leave;

impl Handler<Leave> for Doors {
    type Result = ();

    fn handle(&mut self, _: Leave, ctx: &mut Self::Context) {
        ctx.stop();
    }
}

/// Blocks the mailbox for ever.
#[derive(Message)]
#[rtype(result = "()")]
struct Block;

impl Handler<Block> for Doors {
    type Result = ();

    fn handle(&mut self, _: Block, ctx: &mut Self::Context) {
        ctx.wait(std::future::pending::<()>().into_actor(self));
    }
}

/// A registry with a thread of its own for its sessions.
fn beside(policy: Policy, stopped: &Door) -> SessionRegistry<Doors> {
    let stopped = stopped.clone();
    let addresses = Arc::default();
    SessionRegistry::builder(move |_: &SessionKey| Doors {
        stopped: stopped.clone(),
        addresses: Arc::clone(&addresses),
    })
    .policy(policy)
    .arbiters(1)
    .start()
    .unwrap()
}

#[test]
fn the_entry_is_out_before_the_last_hook_and_the_event_comes_after_it() {
    or_give_up("stopped", || async {
        let (door, knocked, open) = Door::closed();
        let registry = beside(Policy::new(limits()), &door);
        let mut watch = registry.watch();
        registry.send("k", Heavy(Door::open())).await.unwrap();
        let before = registry.open("k").unwrap();
        let id = registry.info("k").unwrap().id;
        let mut closing = registry.close("k");
        knocked.recv().unwrap();

        // It is ending, on its own thread, and still live.
        assert!(registry.get("k").is_none());
        let info = registry.info("k").unwrap();
        assert_eq!((info.id, info.phase, registry.len()), (id, Phase::Draining, 1));
        assert!(!has_ended(&readable(&mut watch), id));
        assert!((&mut closing).now_or_never().is_none());
        // Whoever opens it now gets the next, which waits for this one's end.
        let after = registry.open("k").unwrap();
        assert!(after != before);
        assert_eq!(registry.get("k").unwrap(), after);
        assert_eq!((registry.stats().waiting, registry.len()), (1, 1));
        let behind = registry.send("k", Heavy(Door::open()));

        open.send(()).unwrap();
        assert_eq!(closing.await.unwrap().reason, EndReason::Closed);
        behind.await.unwrap();
        assert_eq!(registry.get("k").unwrap(), after);
        assert_ne!(registry.info("k").unwrap().id, id);
        drop(open);
    });
}

/// Closes the session of `k`, which is cut with `heavy` in its mailbox. Nothing is opened for that
/// after a close, so it is dropped: by the session's thread, after the event.
fn close_with_mail(registry: &SessionRegistry<Doors>, heavy: Heavy) -> Closing {
    registry.do_send("k", Block).unwrap();
    registry.do_send("k", heavy).unwrap();
    registry.close("k")
}

#[test]
fn once_the_event_is_out_nothing_leads_to_the_ended_incarnation() {
    or_give_up("Ended", || async {
        let (door, knocked, open) = Door::closed();
        let registry = beside(Policy::new(limits().drain_timeout(millis(20))), &Door::open());
        let mut watch = registry.watch();
        let addr = registry.open("k").unwrap();
        addr.send(Heavy(Door::open())).await.unwrap();
        let id = registry.info("k").unwrap().id;
        let closing = close_with_mail(&registry, Heavy(door));
        // From here on the thread of the session stands still, right after its event.
        knocked.recv().unwrap();

        assert!(has_ended(&readable(&mut watch), id));
        assert!(registry.get("k").is_none());
        assert!(registry.info("k").is_none());
        assert!(registry.list().is_empty());
        let next = registry.open("k").unwrap();
        assert!(next != addr);
        assert_eq!(registry.get("k").unwrap(), next);
        // It has not started, because its thread stands still; its key counts already.
        assert_eq!((registry.len(), registry.stats().keys), (0, 1));

        open.send(()).unwrap();
        assert_eq!(closing.await.unwrap().dropped, 1);
        next.send(Heavy(Door::open())).await.unwrap();
        assert_eq!(registry.len(), 1);
    });
}

#[test]
fn who_was_told_of_an_end_finds_its_slot_free() {
    or_give_up("the slot", || async {
        let (door, knocked, open) = Door::closed();
        let policy = Policy::new(limits().drain_timeout(millis(20))).max_sessions(1);
        let registry = beside(policy, &Door::open());
        let closing = close_with_mail(&registry, Heavy(door));
        std::thread::spawn(move || {
            knocked.recv().unwrap();
            // Time enough for a waiter that is told too early to come first.
            let _ = knocked.recv_timeout(millis(100));
            let _ = open.send(());
        });

        closing.await.unwrap();
        registry.open("another").unwrap();
    });
}

#[test]
fn a_waiter_that_is_told_finds_the_event_published() {
    or_give_up("waiters", || async {
        let registry = beside(Policy::new(limits()), &Door::open());
        let mut watch = registry.watch();
        for round in 0..1_000 {
            registry.send("k", Heavy(Door::open())).await.unwrap();
            let id = registry.info("k").unwrap().id;
            let told = registry.close("k").await;
            assert!(told.is_ok(), "round {round}");
            assert!(has_ended(&readable(&mut watch), id), "round {round}: told before the event was out");
            assert!(registry.info("k").is_none());
        }
    });
}

/// The same in the open: sessions that end by themselves on two threads, a watcher on a third.
#[test]
fn at_every_ended_event_the_directory_has_moved_on() {
    or_give_up("moved on", || async {
        let addresses: Arc<Mutex<HashMap<SessionId, Addr<Doors>>>> = Arc::default();
        let seen = Arc::clone(&addresses);
        let registry = SessionRegistry::builder(move |_| Doors { stopped: Door::open(), addresses: Arc::clone(&seen) })
            .policy(Policy::new(limits()))
            .arbiters(2)
            .start()
            .unwrap();
        let mut watch = registry.watch();
        let keys = ["a", "b", "c", "d", "e"];
        for key in keys {
            registry.do_send(key, Leave).unwrap();
        }
        for _ in 0..3_000 {
            let event = loop {
                let event = next_event(&mut watch).await;
                if matches!(event.kind, EventKind::Ended(_)) {
                    break event;
                }
            };
            let ended = addresses.lock().unwrap().remove(&event.session).unwrap();
            let key = event.key.as_str();
            assert!(registry.get(key).is_none_or(|addr| addr != ended));
            assert!(registry.info(key).is_none_or(|info| info.id > event.session));
            assert!(registry.list().iter().all(|info| info.id != event.session));
            let next = registry.open(key).unwrap();
            assert!(next != ended);
            next.do_send(Leave);
        }
    });
}
