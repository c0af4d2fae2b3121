//! Where the races take place: a registry on two threads of its own, a watcher that follows it, and threads that use it.

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{
        Arc, Once,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use session_actors::{
    EndReason, Ended, EventKind, Limits, OpenError, Policy, SendError, SessionRegistry, Unserved, Watched,
};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep, timeout},
};

use crate::{
    belief::Belief,
    racer::{Book, By, Plain, Racer, Slow, SlowInContext, Token, key},
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

/// One of the threads of a race.
pub struct Thread {
    pub number: usize,
    pub registry: SessionRegistry<Racer>,
    pub book: Arc<Book>,
    pub dice: Dice,
    /// As what sessions of this race may end over work that is bound to their actor.
    pub cuts: Option<EndReason>,
    until: Instant,
}

/// What a thread sent and what came of it.
#[derive(Debug, Default, Clone, Copy)]
pub struct Tally {
    pub answered: u64,
    pub do_sent: u64,
    pub asked: u64,
    pub try_sent: u64,
    /// Told by an address that it is closed: never accepted, or dropped.
    pub closed: u64,
    /// Refused, with the message given back.
    pub refused: u64,
    /// Accepted and not served, and told so.
    pub unserved: u64,
}

impl Tally {
    pub fn sum(tallies: &[Self]) -> Self {
        tallies.iter().fold(Self::default(), |a, b| Self {
            answered: a.answered + b.answered,
            do_sent: a.do_sent + b.do_sent,
            asked: a.asked + b.asked,
            try_sent: a.try_sent + b.try_sent,
            closed: a.closed + b.closed,
            refused: a.refused + b.refused,
            unserved: a.unserved + b.unserved,
        })
    }

    /// Everything that was accepted was handled exactly once, or is accounted for: by an address, mail may reach a
    /// session that ends without having taken any; that is dropped, and its `Ended` says so.
    pub fn check(&self, book: &Book, audit: &Audit) {
        assert_eq!(book.handled(By::Send), self.answered, "sent through the registry: {self:?}");
        assert_eq!(book.handled(By::DoSend), self.do_sent, "pushed through the registry: {self:?}");
        assert_eq!(book.handled(By::Ask), self.asked, "asked by address: {self:?}");
        let lost = self.try_sent - book.handled(By::TrySend);
        assert!(lost <= audit.dropped && audit.dropped <= lost + self.closed, "{lost} lost, {self:?}, {audit:?}");
    }
}

impl Thread {
    pub fn goes_on(&self) -> bool {
        Instant::now() < self.until
    }

    pub fn token(&self, by: By) -> Token {
        Token::new(by, &self.book)
    }

    /// So many microseconds at most. Parked, because tokio's timer has ticks of a millisecond, and between two of them
    /// is where the races are.
    pub fn rest(&mut self, micros: u64) {
        std::thread::park_timeout(Duration::from_micros(self.dice.roll(micros)));
    }

    /// One message to each of many keys, and one that is waited for, to one of them; then a rest that is about as long
    /// as sessions of [`brief`] live.
    pub async fn round(&mut self, keys: u64, tally: &mut Tally) -> Result<(), OpenError> {
        for number in 0..keys as usize {
            if self.dice.roll(3) > 0 {
                self.push(&key(number), tally)?;
            }
        }
        let one = key(self.dice.roll(keys) as usize);
        self.send(&one, tally).await?;
        self.rest(2_000);
        Ok(())
    }

    pub fn push(&self, key: &str, tally: &mut Tally) -> Result<(), OpenError> {
        match self.registry.do_send(key, Plain(self.token(By::DoSend))) {
            Ok(()) => {
                tally.do_sent += 1;
                Ok(())
            }
            Err(SendError::Refused { cause, .. }) => Err(cause),
            Err(error) => panic!("{error:?}"),
        }
    }

    /// Sends one message in one of the ways there are; `Err` if it was refused.
    pub async fn send(&mut self, key: &str, tally: &mut Tally) -> Result<(), OpenError> {
        match self.dice.roll(10) {
            0..=3 => self.send_by_registry(key, Plain(self.token(By::Send)), tally).await,
            4 => {
                let time = Duration::from_micros(self.dice.roll(2_500));
                self.send_by_registry(key, Slow(self.token(By::Send), time), tally).await
            }
            5 => {
                let time = Duration::from_micros(self.dice.roll(2_500));
                let message = SlowInContext(self.token(By::Send), time);
                match soon("a reply", self.registry.send(key, message)).await {
                    Ok(()) => {}
                    Err(SendError::Refused { cause, .. }) => return Err(cause),
                    // Handled, and then cut with its actor; told so.
                    Err(SendError::Unserved { cause: Unserved::Ended { reason, .. } }) if Some(reason) == self.cuts => {
                    }
                    Err(error) => panic!("accepted for {key} and not served: {error:?}"),
                }
                tally.answered += 1;
                Ok(())
            }
            6 | 7 => self.push(key, tally),
            8 => {
                let addr = self.registry.open(key)?;
                self.rest(1_500);
                match soon("a request", addr.send(Plain(self.token(By::Ask)))).await {
                    Ok(()) => tally.asked += 1,
                    Err(_) => tally.closed += 1,
                }
                Ok(())
            }
            _ => {
                let addr = self.registry.open(key)?;
                self.rest(1_500);
                match addr.try_send(Plain(self.token(By::TrySend))) {
                    Ok(()) => tally.try_sent += 1,
                    Err(_) => tally.closed += 1,
                }
                Ok(())
            }
        }
    }

    pub async fn send_by_registry<M>(&self, key: &str, message: M, tally: &mut Tally) -> Result<(), OpenError>
    where
        M: actix::Message<Result = ()> + Send + 'static,
        Racer: actix::Handler<M>,
    {
        match soon("a reply", self.registry.send(key, message)).await {
            Ok(()) => {
                tally.answered += 1;
                Ok(())
            }
            Err(SendError::Refused { cause, .. }) => Err(cause),
            Err(error) => panic!("accepted for {key} and not served: {error:?}"),
        }
    }
}

/// The same sequence in every run; what differs is how the threads interleave.
pub struct Dice(u64);

impl Dice {
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % sides
    }
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

/// Set once, seen by all threads.
#[derive(Clone, Default)]
pub struct Signal(Arc<AtomicBool>);

impl Signal {
    pub fn give(&self) {
        self.0.store(true, SeqCst);
    }

    pub fn given(&self) -> bool {
        self.0.load(SeqCst)
    }
}
