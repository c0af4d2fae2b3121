//! What a session costs per message, against a bare actix actor that has no timer at all, and
//! against what one would write by hand: cancel the timer and start it again on every message.
//!
//! Run: `cargo bench --bench message_cost`. Ratios within one run mean something; absolute times
//! depend on the machine.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods)]

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use actix::prelude::*;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime};
use session_actors::{Limits, Policy, Session, SessionContext, SessionRegistry};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// Live actors of the spread workload.
const SPREAD: usize = 10_000;
/// Messages queued before anybody waits for them to be handled.
const BATCH: u64 = 1_000;

#[derive(Message)]
#[rtype(result = "u64")]
struct Add(u64);

/// No timers: the floor.
struct Bare(u64);

impl Actor for Bare {
    type Context = Context<Self>;
}

impl Handler<Add> for Bare {
    type Result = u64;

    fn handle(&mut self, add: Add, _: &mut Self::Context) -> u64 {
        self.0 = self.0.wrapping_add(add.0);
        self.0
    }
}

/// An idle timer and a max-age timer as one would write them.
struct ByHand {
    sum: u64,
    idle: Option<SpawnHandle>,
}

impl Actor for ByHand {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_later(DAY, |_, ctx| ctx.stop());
        self.idle = Some(ctx.run_later(HOUR, |_, ctx| ctx.stop()));
    }
}

impl Handler<Add> for ByHand {
    type Result = u64;

    fn handle(&mut self, add: Add, ctx: &mut Self::Context) -> u64 {
        if let Some(idle) = self.idle.take() {
            ctx.cancel_future(idle);
        }
        self.idle = Some(ctx.run_later(HOUR, |_, ctx| ctx.stop()));
        self.sum = self.sum.wrapping_add(add.0);
        self.sum
    }
}

/// A session of this crate.
struct Live(u64);

impl Actor for Live {
    type Context = SessionContext<Self>;
}

impl Session for Live {}

impl Handler<Add> for Live {
    type Result = u64;

    fn handle(&mut self, add: Add, _: &mut Self::Context) -> u64 {
        self.0 = self.0.wrapping_add(add.0);
        self.0
    }
}

fn registry() -> SessionRegistry<Live> {
    SessionRegistry::builder(|_| Live(0))
        .policy(Policy::new(Limits::new().idle_timeout(HOUR).max_age(DAY)))
        .start()
        .unwrap()
}

/// The three contenders by address: they differ in nothing else.
macro_rules! contenders {
    ($group:expr, $workload:ident, $count:expr) => {
        contender($group, "bare actix", |iters| {
            run(async move { $workload(&(0..$count).map(|_| Bare(0).start()).collect::<Vec<_>>(), iters).await })
        });
        contender($group, "session", |iters| {
            run(async move {
                let sessions = registry();
                let live = (0..$count).map(|n| sessions.open(format!("user:{n}")).unwrap()).collect::<Vec<_>>();
                $workload(&live, iters).await
            })
        });
        contender($group, "reset by hand", |iters| {
            run(async move {
                let live = (0..$count).map(|_| ByHand { sum: 0, idle: None }.start()).collect::<Vec<_>>();
                $workload(&live, iters).await
            })
        });
    };
}

fn contender(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, mut run: impl FnMut(u64) -> Duration) {
    group.bench_function(name, |b| b.iter_custom(&mut run));
}

fn run(work: impl Future<Output = Duration>) -> Duration {
    System::new().block_on(work)
}

/// Messages in batches, spread evenly; the time until the last is handled.
async fn deliver<A>(actors: &[Addr<A>], messages: u64) -> Duration
where
    A: Actor + Handler<Add>,
    A::Context: actix::dev::ToEnvelope<A, Add>,
{
    // Started, and first touched, before the clock runs.
    for actor in actors {
        actor.send(Add(0)).await.unwrap();
    }
    let begin = Instant::now();
    let mut left = messages;
    let mut targets = actors.iter().cycle();
    while left > 0 {
        let batch = left.min(BATCH.max(actors.len() as u64));
        for _ in 0..batch {
            if let Some(actor) = targets.next() {
                actor.do_send(black_box(Add(1)));
            }
        }
        left -= batch;
        // Mail is in order, so the answer of the last one says that all have been handled.
        for actor in actors.iter().rev().take(1) {
            actor.send(Add(0)).await.unwrap();
        }
    }
    begin.elapsed()
}

/// One request after the other.
async fn ask<A>(actors: &[Addr<A>], messages: u64) -> Duration
where
    A: Actor + Handler<Add>,
    A::Context: actix::dev::ToEnvelope<A, Add>,
{
    let Some(actor) = actors.first() else { return Duration::ZERO };
    actor.send(Add(0)).await.unwrap();
    let begin = Instant::now();
    for _ in 0..messages {
        black_box(actor.send(Add(1)).await.unwrap());
    }
    begin.elapsed()
}

fn hot(c: &mut Criterion) {
    let mut group = c.benchmark_group("hot: messages to one live actor");
    group.throughput(Throughput::Elements(1));
    contenders!(&mut group, deliver, 1usize);
    group.finish();
}

fn spread(c: &mut Criterion) {
    let mut group = c.benchmark_group("spread: messages over 10,000 live actors");
    group.throughput(Throughput::Elements(1)).sample_size(10);
    contenders!(&mut group, deliver, SPREAD);
    group.finish();
}

fn reply(c: &mut Criterion) {
    let mut group = c.benchmark_group("reply: request and answer, one at a time");
    group.throughput(Throughput::Elements(1));
    contenders!(&mut group, ask, 1usize);
    contender(&mut group, "session by key", |iters| {
        run(async move {
            let sessions = registry();
            sessions.send("user:0", Add(0)).await.unwrap();
            let begin = Instant::now();
            for _ in 0..iters {
                black_box(sessions.send("user:0", Add(1)).await.unwrap());
            }
            begin.elapsed()
        })
    });
    group.finish();
}

criterion_group!(benches, hot, spread, reply);
criterion_main!(benches);
