//! Where the races take place: a registry on two threads of its own, a watcher that follows it, and threads that use it.

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{Arc, Once, atomic::Ordering::SeqCst},
    time::Duration,
};

use session_actors::{EndReason, Ended, EventKind, Limits, Policy, SessionRegistry, Watched};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep, timeout},
};

use crate::{
    belief::Belief,
    racer::{Book, By, Racer, Token},
    thread::{Dice, Thread},
};

/// How long a race goes on.
pub const RACE: Duration = Duration::from_millis(800);
/// After this somebody waits for ever.
const PATIENCE: Duration = Duration::from_secs(20);
/// No watcher may fall behind: the audit wants every event.
const HISTORY: usize = 1 << 20;

pub fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Sessions that end all the time.
pub fn brief() -> Policy {
    Policy::new(Limits::new().idle_timeout(millis(1)).max_age(None).drain_timeout(Duration::from_secs(5)))
}

/// Waits for something that must come.
pub async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what}: never"))
}

/// Looks now and then, for what no event tells.
pub async fn until(so: impl Fn() -> bool) {
    while !so() {
        sleep(millis(1)).await;
    }
}

pub struct Arena {
    pub registry: SessionRegistry<Racer>,
    pub book: Arc<Book>,
    /// Captured by the factory: gone with the last piece of the registry.
    factory: Arc<()>,
    audit: tokio::task::JoinHandle<Audit>,
}

/// What the events of a registry have told, from its first to its last.
#[derive(Debug, Default)]
pub struct Audit {
    belief: Belief,
    pub opened: u64,
    pub ended: BTreeMap<EndReason, u64>,
    pub handled: u64,
    pub dropped: u64,
    pub start_failed: u64,
    /// The most sessions that were live at once.
    pub most: usize,
}

impl Audit {
    pub fn ended(&self, reason: EndReason) -> u64 {
        self.ended.get(&reason).copied().unwrap_or(0)
    }

    fn take(&mut self, item: &Watched) {
        // Checks the order of each key, and that there is no gap.
        self.belief.take(item);
        assert_eq!(self.belief.lags, 0, "the audit fell behind");
        self.most = self.most.max(self.belief.known.len());
        let Watched::Event(event) = item else { return };
        match &event.kind {
            EventKind::Opened { .. } => self.opened += 1,
            EventKind::StartFailed { .. } => self.start_failed += 1,
            EventKind::Ended(Ended { reason, handled, dropped, .. }) => {
                *self.ended.entry(*reason).or_default() += 1;
                self.handled += handled;
                self.dropped += dropped;
            }
            _ => {}
        }
    }
}

impl Arena {
    pub fn new(policy: Policy) -> Self {
        quiet_provoked_panics();
        let (book, factory) = (Book::new(), Arc::new(()));
        let (of_factory, token) = (Arc::clone(&book), Arc::clone(&factory));
        let make = move |key: &_| {
            let _held = &token;
            Racer::make(key, &of_factory)
        };
        let registry =
            SessionRegistry::builder(make).policy(policy).arbiters(2).event_history(HISTORY).start().unwrap();
        let mut watch = registry.watch();
        let audit = actix::spawn(async move {
            let mut audit = Audit::default();
            while let Some(item) = watch.next().await {
                audit.take(&item);
            }
            audit
        });
        Self { registry, book, factory, audit }
    }

    pub fn token(&self, by: By) -> Token {
        Token::new(by, &self.book)
    }

    /// Runs `work` on so many threads, each with its number, until all have returned.
    pub async fn threads<F, T>(&self, threads: usize, work: impl Fn(Thread) -> F + Send + Sync + 'static) -> Vec<T>
    where
        F: Future<Output = T>,
        T: Send + 'static,
    {
        finished(self.start_threads(threads, work)).await
    }

    fn start_threads<F, T>(
        &self,
        threads: usize,
        work: impl Fn(Thread) -> F + Send + Sync + 'static,
    ) -> Vec<oneshot::Receiver<T>>
    where
        F: Future<Output = T>,
        T: Send + 'static,
    {
        let work = Arc::new(work);
        let until = Instant::now() + RACE;
        (0..threads)
            .map(|number| {
                let (work, registry, book) = (Arc::clone(&work), self.registry.clone(), Arc::clone(&self.book));
                let (done, finished) = oneshot::channel();
                std::thread::spawn(move || {
                    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
                    let dice = Dice(0x9E37_79B9_7F4A_7C15 ^ (number as u64 + 1));
                    let thread = Thread { number, registry, book, dice, cuts: None, until };
                    let _ = done.send(runtime.block_on(work(thread)));
                });
                finished
            })
            .collect()
    }

    /// The same, with no other handle of the registry left: the last thread that returns shuts it down.
    pub async fn threads_with_the_last_handles<F, T>(
        self,
        threads: usize,
        work: impl Fn(Thread) -> F + Send + Sync + 'static,
    ) -> (Arc<Book>, Audit, Vec<T>)
    where
        F: Future<Output = T>,
        T: Send + 'static,
    {
        let running = self.start_threads(threads, work);
        let Self { registry, book, factory, audit } = self;
        drop(registry);
        let results = finished(running).await;
        let audit = nothing_is_left(audit, &factory, &book).await;
        (book, audit, results)
    }

    /// Shuts down, unless that has been done, and checks that nothing is left.
    pub async fn close(self) -> (Arc<Book>, Audit) {
        let Self { registry, book, factory, audit } = self;
        let report = soon("the shutdown", registry.shutdown(millis(5_000))).await.unwrap();
        assert_eq!((report.cut, report.unresponsive), (0, 0));
        assert!(registry.is_empty() && registry.list().is_empty());
        let stats = registry.stats();
        assert_eq!((stats.live, stats.waiting, stats.keys), (0, 0, 0));
        drop(registry);
        let audit = nothing_is_left(audit, &factory, &book).await;
        assert_eq!((stats.opened, stats.ended.total()), (audit.opened, audit.opened));
        (book, audit)
    }
}

async fn finished<T>(running: Vec<oneshot::Receiver<T>>) -> Vec<T> {
    let mut results = Vec::new();
    for finished in running {
        results.push(soon("a thread of the race", finished).await.expect("a thread of the race panicked"));
    }
    results
}

/// The registry is shut down, and its last handle gone: neither events nor memory are outstanding.
async fn nothing_is_left(audit: tokio::task::JoinHandle<Audit>, factory: &Arc<()>, book: &Book) -> Audit {
    let audit = soon("the end of the stream", audit).await.unwrap();
    // The threads of the registry take a moment to go.
    soon("the registry's memory", until(|| Arc::strong_count(factory) == 1)).await;
    assert_eq!((book.actors.load(SeqCst), book.messages.load(SeqCst)), (0, 0), "actors, messages are left");
    assert_eq!(audit.ended.values().sum::<u64>(), audit.opened, "one Ended for each Opened");
    assert!(audit.belief.known.is_empty());
    assert_eq!(book.overlaps.load(SeqCst), 0, "two actors of one key at once");
    let handled: u64 = [By::Send, By::DoSend, By::Ask, By::TrySend].iter().map(|by| book.handled(*by)).sum();
    assert_eq!(audit.handled, handled, "the events count what was handled");
    audit
}

fn quiet_provoked_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if info.payload().downcast_ref::<&str>() != Some(&"provoked") {
                usual(info);
            }
        }));
    });
}
