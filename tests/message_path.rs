//! What a message and an idle session cost in memory, exactly, against a bare actix actor: the floor.
//!
//! Time has no place in a test; allocations have, because they are counted and not measured. The bench `message_cost` and
//! `benches/peers` have the time.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]
// A counting allocator cannot be written without it.
#![allow(unsafe_code)]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    collections::HashMap,
    future::Future,
};

use actix::prelude::*;
use session_actors::{Session, SessionContext, SessionRegistry};

thread_local! {
    static COUNT: Cell<Heap> = const { Cell::new(Heap { allocations: 0, allocated: 0, live: 0 }) };
}

/// What this thread has done to the heap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Heap {
    allocations: usize,
    /// Bytes, freed or not.
    allocated: usize,
    /// Bytes that are not freed.
    live: isize,
}

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

fn count(change: impl FnOnce(&mut Heap)) {
    // Not while the thread is torn down.
    let _ = COUNT.try_with(|cell| {
        let mut heap = cell.get();
        change(&mut heap);
        cell.set(heap);
    });
}

// SAFETY: every call goes to the system's allocator unchanged; only a count is kept beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(|heap| {
            heap.allocations += 1;
            heap.allocated += layout.size();
            heap.live += layout.size().cast_signed();
        });
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        count(|heap| heap.live -= layout.size().cast_signed());
        unsafe { System.dealloc(ptr, layout) }
    }
}

/// An answer.
#[derive(Message)]
#[rtype(result = "u64")]
struct Add(u64);

/// None.
#[derive(Message)]
#[rtype(result = "()")]
struct Note(u64);

/// Two words of state, in either world.
struct Sum(u64, u64);

macro_rules! handlers {
    ($actor:ident, $context:ty) => {
        struct $actor(Sum);

        impl Actor for $actor {
            type Context = $context;
        }

        impl Handler<Add> for $actor {
            type Result = u64;

            fn handle(&mut self, Add(n): Add, _: &mut Self::Context) -> u64 {
                self.0.0 += n;
                self.0.0
            }
        }

        impl Handler<Note> for $actor {
            type Result = ();

            fn handle(&mut self, Note(n): Note, _: &mut Self::Context) {
                self.0.1 += n;
            }
        }
    };
}

handlers!(Live, SessionContext<Self>);
handlers!(Bare, Context<Self>);

impl Session for Live {}

/// Enough that buffers have grown to what they need.
const WARM: u64 = 1_000;
const MESSAGES: u64 = 1_000;

/// What `MESSAGES` of them do to the heap.
async fn cost<F: Future>(mut message: impl FnMut() -> F) -> Heap {
    for _ in 0..WARM {
        message().await;
    }
    let before = COUNT.get();
    for _ in 0..MESSAGES {
        message().await;
    }
    let after = COUNT.get();
    Heap {
        allocations: after.allocations - before.allocations,
        allocated: after.allocated - before.allocated,
        live: after.live - before.live,
    }
}

fn registry() -> SessionRegistry<Live> {
    SessionRegistry::builder(|_| Live(Sum(0, 0))).start().unwrap()
}

/// Sends one and waits until a queue of them is empty, now and then.
async fn tell<A>(to: &Addr<A>)
where
    A: Actor + Handler<Note> + Handler<Add>,
    A::Context: dev::ToEnvelope<A, Note> + dev::ToEnvelope<A, Add>,
{
    to.do_send(Note(1));
    tokio::task::yield_now().await;
}

async fn ask<A>(to: &Addr<A>)
where
    A: Actor + Handler<Add>,
    A::Context: dev::ToEnvelope<A, Add>,
{
    to.send(Add(1)).await.unwrap();
}

#[actix::test]
async fn a_message_allocates_what_actix_allocates_for_it() {
    let registry = registry();
    let (session, bare) = (registry.open("k").unwrap(), Bare(Sum(0, 0)).start());

    let ours = cost(|| tell(&session)).await;
    assert_eq!(ours, cost(|| tell(&bare)).await);
    // actix's own: the envelope, and a link of its queue.
    assert_eq!(ours.allocations, 2 * MESSAGES as usize);
    assert_eq!(ours.live, 0);
}

#[actix::test]
async fn a_message_with_an_answer_allocates_what_actix_allocates_for_it() {
    let registry = registry();
    let (session, bare) = (registry.open("k").unwrap(), Bare(Sum(0, 0)).start());

    let ours = cost(|| ask(&session)).await;
    assert_eq!(ours, cost(|| ask(&bare)).await);
    // And the channel of the answer.
    assert_eq!(ours.allocations, 3 * MESSAGES as usize);
    assert_eq!(ours.live, 0);
}

/// The cause that a caller is told if its message goes unserved has to be kept somewhere until it is answered.
#[actix::test]
async fn a_message_by_key_allocates_one_cell_more() {
    let registry = registry();
    let by_key = cost(|| async { registry.send("k", Add(1)).await.unwrap() }).await;
    assert_eq!(by_key.allocations, 4 * MESSAGES as usize);
    assert_eq!(by_key.live, 0);

    // Without an answer there is nothing to be told.
    let by_key = cost(|| async {
        registry.try_send("k", Note(1)).unwrap();
        tokio::task::yield_now().await;
    })
    .await;
    assert_eq!(by_key.allocations, 2 * MESSAGES as usize);
}

#[actix::test]
async fn a_look_up_allocates_what_an_address_takes() {
    let registry = registry();
    registry.send("k", Add(1)).await.unwrap();
    let of_an_address = {
        let session = registry.open("k").unwrap();
        cost(|| std::future::ready(session.clone())).await
    };
    assert_eq!(cost(|| std::future::ready(registry.get("k"))).await, of_an_address);
    assert_eq!(cost(|| std::future::ready(registry.open("k"))).await, of_an_address);
}

/// Key, directory, journal and alarm included; the bare actor only has its address in a map.
#[actix::test]
async fn an_idle_session_takes_no_more_than_a_bare_actor_in_a_map() {
    const SESSIONS: usize = 20_000;
    let before = COUNT.get().live;
    let mut map = HashMap::new();
    for n in 0..SESSIONS {
        let bare = Bare(Sum(0, 0)).start();
        bare.send(Add(1)).await.unwrap();
        map.insert(format!("user:{n}"), bare);
    }
    let bare = COUNT.get().live - before;

    let before = COUNT.get().live;
    let registry = registry();
    for n in 0..SESSIONS {
        registry.open(format!("user:{n}")).unwrap().send(Add(1)).await.unwrap();
    }
    let sessions = COUNT.get().live - before;
    assert!(
        sessions <= bare,
        "{} bytes for a session, {} for a bare actor",
        sessions / SESSIONS.cast_signed(),
        bare / SESSIONS.cast_signed()
    );
}
