//! What has ended is gone: sessions that come and go in rounds leave no byte behind, whatever ended them and whatever they
//! had begun. Counts what the allocator was asked for, so it has a binary of its own.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]
// A counting allocator cannot be written without it.
#![allow(unsafe_code)]

use std::{
    alloc::{GlobalAlloc, Layout, System as SystemAllocator},
    cell::Cell,
    future::Future,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicIsize, Ordering},
    },
    time::Duration,
};

use actix::prelude::*;
use session_actors::{
    EndReason, Expiry, Hold, Limits, OnFull, Policy, Session, SessionContext, SessionKey, SessionRegistry,
};
use tokio::time::sleep;

struct Counting;

static LIVE: AtomicIsize = AtomicIsize::new(0);

thread_local! {
    /// What other threads do (the test harness has some) is no concern of a test.
    static COUNTED: Cell<bool> = const { Cell::new(false) };
}

fn count(change: isize) {
    if COUNTED.try_with(Cell::get).unwrap_or(false) {
        LIVE.fetch_add(change, Ordering::Relaxed);
    }
}

// SAFETY: every call goes to the system's allocator unchanged; only a counter is kept beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        unsafe { SystemAllocator.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        unsafe { SystemAllocator.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Sessions in a round.
const SESSIONS: usize = 5_000;
/// Rounds that are measured.
const ROUNDS: usize = 4;

/// Sessions in this round. Twice as many in the first, which is not measured: it fills histories, and makes hash tables
/// so large that they never have to grow again.
fn sessions(round: usize) -> usize {
    if round == 0 { 2 * SESSIONS } else { SESSIONS }
}

/// Runs a test on a paused clock, on this thread alone, and no other at the same time.
fn alone<F: Future<Output = ()>>(test: impl FnOnce() -> F) {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    LIVE.store(0, Ordering::Relaxed);
    COUNTED.set(true);
    let paused = || tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    System::with_tokio_rt(paused).block_on(test());
    COUNTED.set(false);
}

/// How much is allocated after each round.
#[derive(Default)]
struct Levels(Vec<isize>);

impl Levels {
    fn note(&mut self) {
        self.0.push(LIVE.load(Ordering::Relaxed));
    }

    /// The smallest thing that a session could leave has eight bytes.
    fn check(self) {
        let grown = self.0[ROUNDS] - self.0[0];
        let ended = (ROUNDS * SESSIONS).cast_signed();
        assert!(grown < 4 * ended, "{grown} bytes more after {ended} sessions: {:?}", self.0);
    }
}

/// All of the same length, and never the same twice.
fn key(round: usize, n: usize) -> SessionKey {
    SessionKey::new(format!("round:{round:02}:session:{n:06}")).unwrap()
}

struct Guest {
    holds: Vec<Hold>,
}

impl Actor for Guest {
    type Context = SessionContext<Self>;
}

impl Session for Guest {
    fn expiring(&mut self, _: &mut Self::Context) -> Expiry {
        self.holds.clear();
        Expiry::End
    }
}

/// Answered now.
#[derive(Message)]
#[rtype(result = "usize")]
struct Say(String);

impl Handler<Say> for Guest {
    type Result = usize;

    fn handle(&mut self, say: Say, _: &mut Self::Context) -> usize {
        say.0.len()
    }
}

/// Answered after a while, in one of three ways; or never.
#[derive(Message)]
#[rtype(result = "usize")]
struct ByFuture(Duration);

impl Handler<ByFuture> for Guest {
    type Result = ResponseFuture<usize>;

    fn handle(&mut self, slow: ByFuture, _: &mut Self::Context) -> Self::Result {
        Box::pin(async move {
            sleep(slow.0).await;
            1
        })
    }
}

#[derive(Message)]
#[rtype(result = "usize")]
struct InContext(Duration);

impl Handler<InContext> for Guest {
    type Result = ResponseActFuture<Self, usize>;

    fn handle(&mut self, slow: InContext, ctx: &mut Self::Context) -> Self::Result {
        ctx.run_interval(Duration::from_millis(700), |_, _| {});
        Box::pin(sleep(slow.0).into_actor(self).map(|(), _, _| 2))
    }
}

#[derive(Message)]
#[rtype(result = "usize")]
struct Atomic(Duration);

impl Handler<Atomic> for Guest {
    type Result = AtomicResponse<Self, usize>;

    fn handle(&mut self, slow: Atomic, ctx: &mut Self::Context) -> Self::Result {
        self.holds.push(ctx.hold());
        AtomicResponse::new(Box::pin(sleep(slow.0).into_actor(self).map(|(), act, _| {
            act.holds.clear();
            3
        })))
    }
}

#[derive(Message)]
#[rtype(result = "()")]
struct Boom;

impl Handler<Boom> for Guest {
    type Result = ();

    fn handle(&mut self, _: Boom, _: &mut Self::Context) {
        std::panic::resume_unwind(Box::new("provoked".to_owned()));
    }
}

const SECOND: Duration = Duration::from_secs(1);
const NEVER: Duration = Duration::from_secs(1 << 30);

fn limits() -> Limits {
    Limits::new().idle_timeout(10 * SECOND).max_age(60 * SECOND).drain_timeout(SECOND)
}

fn registry(policy: Policy) -> SessionRegistry<Guest> {
    SessionRegistry::builder(|_: &SessionKey| Guest { holds: Vec::new() }).policy(policy).start().unwrap()
}

/// On a paused clock this takes as many jumps as there are deadlines.
async fn all_gone(registry: &SessionRegistry<Guest>) {
    while registry.stats().keys > 0 {
        sleep(SECOND).await;
    }
    // The last task that has ended is dropped when its executor comes round to it.
    sleep(SECOND).await;
    assert!(registry.is_empty());
}

async fn all_here(registry: &SessionRegistry<Guest>, sessions: usize) {
    while registry.len() < sessions {
        tokio::task::yield_now().await;
    }
}

#[test]
fn sessions_that_go_idle_leave_nothing() {
    alone(|| async {
        let registry = registry(Policy::new(limits()));
        let mut levels = Levels::default();
        for round in 0..=ROUNDS {
            for n in 0..sessions(round) {
                registry.do_send(key(round, n), Say("something".to_owned())).unwrap();
            }
            all_here(&registry, sessions(round)).await;
            assert_eq!(registry.send(key(round, 0), Say("else".to_owned())).await.unwrap(), 4);
            all_gone(&registry).await;
            levels.note();
        }
        levels.check();
    });
}

/// The same few keys all the time.
#[test]
fn keys_that_come_back_leave_nothing() {
    alone(|| async {
        let registry = registry(Policy::new(limits()));
        let mut levels = Levels::default();
        for round in 0..=ROUNDS {
            for _ in 0..sessions(round) / 10 {
                for n in 0..10 {
                    drop(registry.open(key(0, n)).unwrap());
                    drop(registry.close(key(0, n)));
                }
                tokio::task::yield_now().await;
            }
            all_gone(&registry).await;
            levels.note();
        }
        levels.check();
    });
}

/// Replies in the making, holds, intervals, panics, mail that is handed on, callers that go, closes that nobody waits for,
/// watchers; some sessions end with all of it, cut.
#[test]
fn whatever_sessions_had_begun_leaves_nothing() {
    alone(|| async {
        let registry = registry(Policy::new(limits().warn_before(SECOND)));
        let mut levels = Levels::default();
        for round in 0..=ROUNDS {
            let watch = registry.watch();
            let mut callers = Vec::new();
            for n in 0..sessions(round) {
                let key = key(round, n);
                let time = if n % 3 == 0 { NEVER } else { SECOND };
                match n % 8 {
                    0 => registry.do_send(&key, ByFuture(time)).unwrap(),
                    1 => registry.do_send(&key, InContext(time)).unwrap(),
                    2 => registry.do_send(&key, Atomic(time)).unwrap(),
                    3 => drop(registry.send(&key, Say("nobody waits".to_owned()))),
                    4 => registry.do_send(&key, Boom).unwrap(),
                    _ => callers.push(registry.send(&key, ByFuture(time))),
                }
                registry.do_send(&key, Say("behind it".to_owned())).unwrap();
                if n % 5 == 0 {
                    drop(registry.close(&key));
                }
            }
            sleep(SECOND / 2).await;
            drop(callers);
            drop(watch);
            all_gone(&registry).await;
            levels.note();
        }
        levels.check();
    });
}

/// Once somebody had to make room, the registry knows its sessions by how long they have been idle. It may remember some
/// that have ended, but not ever more of them.
#[test]
fn a_registry_that_has_evicted_once_forgets_sessions_all_the_same() {
    alone(|| async {
        let registry = registry(Policy::new(limits()).max_sessions(2 * SESSIONS).on_full(OnFull::EvictIdle));
        let mut levels = Levels::default();
        for n in 0..2 * SESSIONS {
            registry.open(key(99, n)).unwrap();
        }
        all_here(&registry, 2 * SESSIONS).await;
        registry.open(key(99, 2 * SESSIONS)).unwrap();
        all_gone(&registry).await;
        assert_eq!(registry.stats().ended.get(EndReason::Evicted), 1);
        const UNMEASURED: usize = 4;
        for round in 0..=UNMEASURED + ROUNDS {
            // Below the cap: nobody is evicted from here on.
            for n in 0..SESSIONS {
                registry.open(key(round, n)).unwrap();
            }
            all_gone(&registry).await;
            if round >= UNMEASURED {
                levels.note();
            }
        }
        levels.check();
    });
}

/// Registries themselves, shut down or dropped with sessions and work in them.
#[test]
fn registries_that_are_shut_down_leave_nothing() {
    alone(|| async {
        let mut levels = Levels::default();
        for round in 0..=ROUNDS {
            for n in 0..20 {
                let registry = registry(Policy::new(limits()));
                for n in 0..sessions(round) / 20 {
                    registry.do_send(key(round, n), Say("hello".to_owned())).unwrap();
                    registry.do_send(key(round, n), ByFuture(NEVER)).unwrap();
                }
                let watch = registry.watch();
                sleep(SECOND).await;
                if n % 2 == 0 {
                    let report = registry.shutdown(SECOND).await.unwrap();
                    assert_eq!((report.cut, report.unresponsive), (sessions(round) / 20, 0));
                }
                drop((registry, watch));
                sleep(5 * SECOND).await;
            }
            levels.note();
        }
        levels.check();
    });
}
