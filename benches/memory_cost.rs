//! What an idle session costs in memory: bytes per live session in the registry, its timer
//! included, against bare actix actors without timers in a `HashMap<String, Addr>`.
//!
//! Run: `cargo bench --bench memory_cost`. Counts what the allocator was asked for, so the figures
//! are exact and the same on every run.
#![allow(missing_docs, clippy::unwrap_used)]
// A counting allocator cannot be written without it.
#![allow(unsafe_code)]

use std::{
    alloc::{GlobalAlloc, Layout, System as SystemAllocator},
    collections::HashMap,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use actix::prelude::*;
use session_actors::{Limits, Policy, Session, SessionContext, SessionRegistry};

struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator unchanged; only a counter is kept beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Ordering::Relaxed);
        unsafe { SystemAllocator.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { SystemAllocator.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

#[derive(Message)]
#[rtype(result = "()")]
struct Touch;

struct Bare(#[allow(dead_code)] u64);

impl Actor for Bare {
    type Context = Context<Self>;
}

impl Handler<Touch> for Bare {
    type Result = ();

    fn handle(&mut self, _: Touch, _: &mut Self::Context) {}
}

struct Live(#[allow(dead_code)] u64);

impl Actor for Live {
    type Context = SessionContext<Self>;
}

impl Session for Live {}

impl Handler<Touch> for Live {
    type Result = ();

    fn handle(&mut self, _: Touch, _: &mut Self::Context) {}
}

fn bare(count: usize) -> f64 {
    System::new().block_on(async {
        let mut actors = HashMap::new();
        let before = LIVE.load(Ordering::Relaxed);
        for n in 0..count {
            actors.insert(format!("user:{n}"), Bare(0).start());
        }
        for actor in actors.values() {
            actor.send(Touch).await.unwrap();
        }
        (LIVE.load(Ordering::Relaxed) - before) as f64 / count as f64
    })
}

fn session(count: usize) -> f64 {
    System::new().block_on(async {
        let limits = Limits::new().idle_timeout(Duration::from_secs(3600)).max_age(Duration::from_secs(86_400));
        let sessions =
            SessionRegistry::builder(|_| Live(0)).policy(Policy::new(limits)).event_history(1).start().unwrap();
        let before = LIVE.load(Ordering::Relaxed);
        for n in 0..count {
            sessions.open(format!("user:{n}")).unwrap();
        }
        for n in 0..count {
            sessions.send(format!("user:{n}"), Touch).await.unwrap();
        }
        assert_eq!(sessions.len(), count);
        (LIVE.load(Ordering::Relaxed) - before) as f64 / count as f64
    })
}

fn main() {
    // `cargo bench -- --test` and `cargo test --benches` want a short run.
    let short = std::env::args().any(|arg| arg == "--test");
    let count = if short { 1_000 } else { 100_000 };
    let (bare, session) = (bare(count), session(count));
    println!("bytes per idle live session, {count} of them");
    println!("  bare actix actor in a HashMap<String, Addr>, no timer  {bare:>8.0}");
    println!("  session in the registry, with its timer                {session:>8.0}");
    println!("  ratio                                                  {:>8.3}", session / bare);
}
