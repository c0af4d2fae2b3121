//! Sessions that leave memory and come back all the time, on threads of their own, while others send to them.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    time::Duration,
};

use actix::prelude::*;
use serde::{Deserialize, Serialize};
use session_actors::{
    Checkpoint, EndReason, Limits, OnFull, OpenError, Persistent, Policy, SendError, Session, SessionContext,
    SessionKey, SessionRegistry, Unserved,
    store::{MemoryStore, RedbStore, Store},
};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep, timeout},
};

const PATIENCE: Duration = Duration::from_secs(20);
const RACE: Duration = Duration::from_millis(700);
const KEYS: usize = 3;
const THREADS: usize = 3;

/// What the test knows of the sessions while they run.
#[derive(Default)]
struct Book {
    /// Actors of each key.
    alive: [AtomicUsize; KEYS],
    overlaps: AtomicU64,
    /// What each said last to each that was answered.
    answered: Mutex<BTreeMap<(String, usize), u64>>,
    through_addresses: AtomicU64,
}

/// Knows what each sender said last.
struct Listener {
    number: usize,
    heard: BTreeMap<usize, u64>,
    book: Arc<Book>,
}

impl Listener {
    fn new(key: &SessionKey, book: &Arc<Book>) -> Self {
        let number: usize = key.as_str()[1..].parse().unwrap();
        if book.alive[number].fetch_add(1, SeqCst) > 0 {
            book.overlaps.fetch_add(1, SeqCst);
        }
        Self { number, heard: BTreeMap::new(), book: Arc::clone(book) }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.book.alive[self.number].fetch_sub(1, SeqCst);
    }
}

impl Actor for Listener {
    type Context = SessionContext<Self>;
}

impl Session for Listener {}

#[derive(Serialize, Deserialize)]
struct Heard(BTreeMap<usize, u64>);

impl Persistent for Listener {
    type State = Heard;

    fn state(&self) -> Heard {
        Heard(self.heard.clone())
    }

    fn restore(&mut self, Heard(heard): Heard) {
        self.heard = heard;
    }
}

/// The answer is what the same sender said before.
#[derive(Message, Clone, Copy)]
#[rtype(result = "u64")]
struct Say {
    sender: usize,
    number: u64,
}

impl Handler<Say> for Listener {
    type Result = u64;

    fn handle(&mut self, say: Say, _: &mut Self::Context) -> u64 {
        self.heard.insert(say.sender, say.number).unwrap_or(0)
    }
}

/// Says one thing after the other to each of the keys, by key and by addresses that it has had for a while. What was said
/// before tells whether something was lost, forgotten, or heard twice.
async fn sender(sender: usize, registry: SessionRegistry<Listener>, book: Arc<Book>) {
    fastrand::seed(sender as u64);
    let mut said = [0; KEYS];
    let mut known: [Option<Addr<Listener>>; KEYS] = Default::default();
    let until = Instant::now() + RACE;
    while Instant::now() < until {
        let n = fastrand::usize(..KEYS);
        let key = format!("k{n}");
        let say = Say { sender, number: said[n] + 1 };
        let mut before = None;
        if fastrand::bool()
            && let Some(addr) = &known[n]
        {
            // Refused: it has left. Then it was not heard, as the next answer tells.
            before = timeout(PATIENCE, addr.send(say)).await.expect("an answer").ok();
            book.through_addresses.fetch_add(u64::from(before.is_some()), SeqCst);
        }
        let before = match before {
            Some(before) => before,
            None => send(&registry, &key, say).await,
        };
        assert_eq!(before, said[n], "{key} heard by {sender} before {}", said[n] + 1);
        said[n] += 1;
        book.answered.lock().unwrap().insert((key.clone(), sender), said[n]);
        match fastrand::u8(..8) {
            0 => known[n] = registry.get(&*key),
            1 => known[n] = registry.open(&*key).ok(),
            2 => sleep(Duration::from_millis(fastrand::u64(1..4))).await,
            3 => drop(registry.info(&*key)),
            _ => {}
        }
    }
}

/// By key, until it is served: with all slots taken by sessions that are busy, there is no room for a moment.
async fn send(registry: &SessionRegistry<Listener>, key: &str, say: Say) -> u64 {
    loop {
        match timeout(PATIENCE, registry.send(key, say)).await.expect("an answer") {
            Ok(before) => return before,
            Err(
                SendError::Refused { cause: OpenError::AtCapacity { .. }, .. }
                | SendError::Unserved { cause: Unserved::NoRoom },
            ) => sleep(Duration::from_millis(1)).await,
            Err(error) => panic!("not served: {error:?}"),
        }
    }
}

async fn race<S: Store>(store: S, again: impl FnOnce() -> S, checkpoint: Checkpoint) {
    let book = Arc::new(Book::default());
    let of_factory = Arc::clone(&book);
    let restless = || Limits::new().passivate_after(Duration::from_millis(1)).checkpoint(checkpoint);
    // For one less than there are: newcomers drive others out.
    let policy = move |limits: Limits| Policy::new(limits).max_sessions(KEYS - 1).on_full(OnFull::EvictIdle);
    let registry = SessionRegistry::builder(move |key: &SessionKey| Listener::new(key, &of_factory))
        .policy(policy(restless()))
        .arbiters(2)
        .persist(store)
        .start()
        .unwrap();

    let threads: Vec<_> = (0..THREADS)
        .map(|number| {
            let (registry, book) = (registry.clone(), Arc::clone(&book));
            let (done, finished) = oneshot::channel();
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
                runtime.block_on(sender(number, registry, book));
                done.send(())
            });
            finished
        })
        .collect();
    for n in 0..20 {
        sleep(RACE / 25).await;
        let idle = Duration::from_secs(3_600 + n);
        registry.set_policy(policy(restless().idle_timeout(idle))).unwrap();
    }
    for finished in threads {
        timeout(PATIENCE, finished).await.expect("an end").expect("a sender panicked");
    }

    let report = timeout(PATIENCE, registry.shutdown(PATIENCE)).await.expect("an end").unwrap();
    assert_eq!((report.cut, report.unresponsive, report.unsaved), (0, 0, 0));
    let stats = registry.stats();
    assert_eq!((stats.live, stats.keys, stats.store_failed.total(), stats.ended.total()), (0, 0, 0, 0));
    assert_eq!(stats.passivated, stats.opened + stats.restored);
    // What was refused by an address that had not heard of its session's leaving was not accepted by anybody.
    assert_eq!((stats.opened, stats.messages_dropped), (KEYS as u64, 0));
    assert!(stats.restored > 0, "too tame: {stats:?}");
    assert!(book.through_addresses.load(SeqCst) > 0, "too tame");
    drop(registry);
    assert_eq!(book.overlaps.load(SeqCst), 0, "two actors of one key at once");

    let store = again();
    let answered = book.answered.lock().unwrap();
    for ((key, sender), number) in answered.iter() {
        let record = store.load(&SessionKey::new(key).unwrap()).unwrap().expect("a record");
        let Heard(heard) = record.state.read().unwrap();
        assert_eq!(heard.get(sender), Some(number), "{key} of {sender}");
    }
}

#[actix::test]
async fn whoever_sends_is_heard_once_in_order_and_not_forgotten_in_memory() {
    for checkpoint in [Checkpoint::End, Checkpoint::Every(Duration::from_millis(2))] {
        let store = MemoryStore::new();
        race(store.clone(), || store, checkpoint).await;
    }
}

#[actix::test]
async fn whoever_sends_is_heard_once_in_order_and_not_forgotten_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("race.redb");
    for checkpoint in [Checkpoint::End, Checkpoint::Always] {
        let _ = std::fs::remove_file(&file);
        race(RedbStore::open(&file).unwrap(), || RedbStore::open(&file).unwrap(), checkpoint).await;
    }
}

/// Says when its state is taken, and waits until it may go on.
struct Slow(mpsc::SyncSender<()>, mpsc::Receiver<()>);

impl Actor for Slow {
    type Context = SessionContext<Self>;
}

impl Session for Slow {}

impl Persistent for Slow {
    type State = ();

    fn state(&self) {
        let _ = self.0.send(());
        let _ = self.1.recv_timeout(PATIENCE);
    }

    fn restore(&mut self, (): ()) {}
}

#[derive(Message)]
#[rtype(result = "EndReason")]
struct Greet;

impl Handler<Greet> for Slow {
    type Result = MessageResult<Greet>;

    fn handle(&mut self, _: Greet, ctx: &mut Self::Context) -> Self::Result {
        MessageResult(ctx.end_reason().unwrap_or(EndReason::Stopped))
    }
}

/// An address is good for `passivate_after` from when it was opened. Between the last look at what is to be done and the
/// leaving of the directory somebody opens the key.
#[actix::test]
async fn who_opens_at_the_last_moment_gets_an_address_that_is_good() {
    const REST: Duration = Duration::from_millis(400);
    let (here, at) = mpsc::sync_channel(8);
    let (go, gone) = mpsc::channel();
    let gone = Mutex::new(Some(gone));
    let registry = SessionRegistry::builder(move |_: &SessionKey| {
        Slow(here.clone(), gone.lock().unwrap().take().unwrap_or_else(|| mpsc::channel().1))
    })
    .policy(Policy::new(Limits::new().passivate_after(REST)))
    .arbiters(1)
    .persist(MemoryStore::new())
    .start()
    .unwrap();
    let first = registry.open("k").unwrap();
    first.send(Greet).await.unwrap();

    // First it is saved; at the second look it is what was saved, and it would go.
    for look in 1..=2 {
        let at_it = at.recv_timeout(PATIENCE);
        at_it.unwrap_or_else(|_| panic!("look {look}"));
        if look == 1 {
            go.send(()).unwrap();
        }
    }
    let opened = Instant::now();
    let addr = registry.open("k").unwrap();
    go.send(()).unwrap();
    // Time to go, if it does: mail would hold it back.
    sleep(REST / 8).await;
    let served = addr.send(Greet).await;
    // The machine may have been away for as long as that.
    assert!(served.is_ok() || opened.elapsed() >= REST, "{served:?}");
    drop(go);
    registry.shutdown(PATIENCE).await.unwrap();
}
