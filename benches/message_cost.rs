//! What a session costs per message, against a bare actix actor that has no timer at all, and
//! against what one would write by hand: cancel the timer and start it again on every message.
//!
//! There are two floors. In the one no timer exists in the whole process, which no gateway is like:
//! with the first one anywhere, tokio's driver reads the clock and looks through its wheel each time
//! the thread parks. In the other something else, once, sleeps for a day.
//!
//! Run: `cargo bench --bench message_cost`. Ratios within one run mean something; absolute times
//! depend on the machine.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods)]

use std::{
    cell::OnceCell,
    hint::black_box,
    time::{Duration, Instant},
};

use actix::{dev::ToEnvelope, prelude::*};
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime};
use session_actors::{Limits, Policy, Session, SessionContext, SessionRegistry};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// Live actors of the spread workload.
const SPREAD: usize = 10_000;
/// Rounds over all of them that are queued before anybody waits.
const ROUNDS: usize = 10;
/// Messages queued before anybody waits, where there is one actor only.
const BATCH: usize = 1_000;

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

/// What is done with the actors.
#[derive(Clone, Copy)]
enum Work {
    /// Messages are spread evenly over them, `batch` of them queued at a time.
    Deliver { batch: usize },
    /// One request after the other, to the first of them.
    Ask,
}

impl Work {
    /// The time that `messages` take.
    async fn run<A>(self, actors: &[Addr<A>], messages: u64) -> Duration
    where
        A: Actor + Handler<Add>,
        A::Context: ToEnvelope<A, Add>,
    {
        match self {
            Self::Deliver { batch } => deliver(actors, messages, batch).await,
            Self::Ask => ask(actors, messages).await,
        }
    }
}

/// The time until the last message is handled.
async fn deliver<A>(actors: &[Addr<A>], messages: u64, batch: usize) -> Duration
where
    A: Actor + Handler<Add>,
    A::Context: ToEnvelope<A, Add>,
{
    let Some(last) = actors.last() else { return Duration::ZERO };
    let mut left = usize::try_from(messages).unwrap();
    let mut targets = actors.iter().cycle();
    let begin = Instant::now();
    while left > 0 {
        let queued = left.min(batch);
        for actor in targets.by_ref().take(queued) {
            actor.do_send(black_box(Add(1)));
        }
        left -= queued;
        // It runs after all the others: they were woken before it, and its mail is in order.
        last.send(Add(0)).await.unwrap();
    }
    begin.elapsed()
}

async fn ask<A>(actors: &[Addr<A>], messages: u64) -> Duration
where
    A: Actor + Handler<Add>,
    A::Context: ToEnvelope<A, Add>,
{
    let Some(actor) = actors.first() else { return Duration::ZERO };
    let begin = Instant::now();
    for _ in 0..messages {
        black_box(actor.send(Add(1)).await.unwrap());
    }
    begin.elapsed()
}

/// Measures actors that live as long as the measurement: what the allocator makes of a young heap
/// would favour whoever allocates least while it is set up, and warming up ages it for all.
fn contender<A>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    work: Work,
    start: impl AsyncFnOnce() -> Vec<Addr<A>>,
) where
    A: Actor + Handler<Add>,
    A::Context: ToEnvelope<A, Add>,
{
    let system = System::new();
    let actors = system.block_on(async {
        let actors = start().await;
        // Each has begun, and been touched, before any clock runs.
        for actor in &actors {
            actor.send(Add(0)).await.unwrap();
        }
        actors
    });
    group.bench_function(name, |b| b.iter_custom(|messages| system.block_on(work.run(&actors, messages))));
}

fn contenders(group: &mut BenchmarkGroup<'_, WallTime>, count: usize, work: Work) {
    let bare = || (0..count).map(|_| Bare(0).start()).collect();
    contender(group, "bare actix", work, async || bare());
    contender(group, "bare actix, a timer elsewhere", work, async || {
        actix::spawn(tokio::time::sleep(DAY));
        bare()
    });
    let sessions = Kept::default();
    contender(group, "session", work, async || {
        let sessions = sessions.start();
        (0..count).map(|n| sessions.open(format!("user:{n}")).unwrap()).collect()
    });
    contender(group, "reset by hand", work, async || {
        (0..count).map(|_| ByHand { sum: 0, idle: None }.start()).collect()
    });
}

/// A registry that is not dropped, which would end its sessions, before the measurement is over.
#[derive(Default)]
struct Kept(OnceCell<SessionRegistry<Live>>);

impl Kept {
    fn start(&self) -> &SessionRegistry<Live> {
        self.0.get_or_init(|| {
            SessionRegistry::builder(|_| Live(0))
                .policy(Policy::new(Limits::new().idle_timeout(HOUR).max_age(DAY)))
                .start()
                .unwrap()
        })
    }
}

fn hot(c: &mut Criterion) {
    let mut group = c.benchmark_group("hot: messages to one live actor");
    group.throughput(Throughput::Elements(1));
    contenders(&mut group, 1, Work::Deliver { batch: BATCH });
    group.finish();
}

fn spread(c: &mut Criterion) {
    let mut group = c.benchmark_group("spread: rounds over 10,000 live actors, 10 queued at a time");
    group.throughput(Throughput::Elements(1)).sample_size(10);
    contenders(&mut group, SPREAD, Work::Deliver { batch: ROUNDS * SPREAD });
    group.finish();
}

/// The hardest for a session: each message wakes a task of its own, which reads the clock for it.
fn wake(c: &mut Criterion) {
    let mut group = c.benchmark_group("wake: rounds over 10,000 live actors, one message each");
    group.throughput(Throughput::Elements(1)).sample_size(10);
    contenders(&mut group, SPREAD, Work::Deliver { batch: SPREAD });
    group.finish();
}

fn reply(c: &mut Criterion) {
    let mut group = c.benchmark_group("reply: request and answer, one at a time");
    group.throughput(Throughput::Elements(1));
    contenders(&mut group, 1, Work::Ask);
    let (system, sessions) = (System::new(), Kept::default());
    group.bench_function("session by key", |b| {
        b.iter_custom(|messages| {
            system.block_on(async {
                let sessions = sessions.start();
                let begin = Instant::now();
                for _ in 0..messages {
                    black_box(sessions.send("user:0", Add(1)).await.unwrap());
                }
                begin.elapsed()
            })
        })
    });
    group.finish();
}

criterion_group!(benches, hot, spread, wake, reply);
criterion_main!(benches);
