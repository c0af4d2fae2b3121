//! The threads that call the store: one that writes, two that read.
//!
//! Threads of its own and not the runtime's blocking pool: a runtime that goes down waits for that, and a store may never
//! answer. They end when the desk is closed and what was asked of them is done.

use std::{
    collections::HashSet,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU8, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{sync::mpsc as running, time::Instant};

use super::reads::Reads;
use crate::{
    event::SessionId,
    key::SessionKey,
    session::panics::{panic_message, quietly},
    store::{Change, Record, Store, StoreError},
};

/// Changes in one batch.
const BATCH: usize = 1024;
const READERS: usize = 2;
/// Between two attempts to make a removal that is owed.
const OWED_AFTER: Duration = Duration::from_secs(1);

type Done = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

struct Write {
    change: Change,
    done: Done,
    ticket: Ticket,
}

/// Of a change that was asked for: whoever asked may take it back until the writer has taken it up.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ticket(Arc<AtomicU8>);

const TAKEN_UP: u8 = 1;
const TAKEN_BACK: u8 = 2;

impl Ticket {
    /// Whether it will not be made. Otherwise it is being made, or was.
    pub(crate) fn take_back(&self) -> bool {
        self.settle(TAKEN_BACK)
    }

    fn take_up(&self) -> bool {
        self.settle(TAKEN_UP)
    }

    fn settle(&self, state: u8) -> bool {
        self.0.compare_exchange(0, state, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

/// The store, as its threads use it.
pub(super) struct Asked {
    pub(super) store: Arc<dyn Store>,
    /// When the writer had its last answer.
    answered: Mutex<Option<Instant>>,
    /// Sessions that have ended, though their records could not be removed: as good as gone.
    owed: Mutex<HashSet<(SessionKey, SessionId)>>,
    /// Deadlines may be by another policy than the store knows of: it has to know that with the next change.
    policy_changes: AtomicBool,
}

impl Asked {
    /// The record of a key, unless its session has ended. A store that panics is one that fails.
    pub(super) fn load(&self, key: &SessionKey) -> Result<Option<Record>, StoreError> {
        // First: a removal that is made while the record is read is owed no more when it has been.
        let owed: Vec<_> = {
            let owed = self.owed.lock();
            owed.iter().filter(|(whose, _)| whose == key).map(|(_, session)| *session).collect()
        };
        let record = self.call(|store| store.load(key))?;
        Ok(record.filter(|record| !owed.contains(&record.session)))
    }

    pub(super) fn call<T>(&self, call: impl FnOnce(&dyn Store) -> Result<T, StoreError>) -> Result<T, StoreError> {
        catch_unwind(AssertUnwindSafe(|| call(&*self.store)))
            .unwrap_or_else(|payload| Err(StoreError::Unavailable(format!("it panicked: {}", panic_message(payload)))))
    }

    /// To be called when the changes have been collected: what was asked for after a change of policy comes after it.
    fn commit(&self, changes: &mut Vec<Change>) -> Result<(), StoreError> {
        let policy_changes = self.policy_changes.swap(false, Ordering::AcqRel);
        if policy_changes {
            // One that was to be put is of before the change.
            for change in changes.iter_mut().filter(|change| matches!(change, Change::Policy(Some(_)))) {
                *change = Change::Policy(None);
            }
            changes.insert(0, Change::Policy(None));
        }
        let outcome = self.call(|store| store.commit(changes));
        if policy_changes && outcome.is_err() {
            changes.remove(0);
            self.policy_changes.store(true, Ordering::Release);
        }
        outcome
    }

    /// The removals that are owed, as many as a batch takes. Copied: who loads meanwhile must not find what has ended.
    fn owed(&self) -> Vec<Change> {
        let owed = self.owed.lock();
        owed.iter().take(BATCH).map(|(key, session)| Change::Remove { key: key.clone(), session: *session }).collect()
    }

    /// These were made.
    fn paid(&self, removals: &[Change]) {
        let mut owed = self.owed.lock();
        for removal in removals {
            if let Change::Remove { key, session } = removal {
                owed.remove(&(key.clone(), *session));
            }
        }
    }

    /// Makes the removals that are owed, if that can be done now.
    fn pay(&self) {
        let mut owed = self.owed();
        if !owed.is_empty() && self.commit(&mut owed).is_ok() {
            self.paid(&owed);
        }
    }
}

/// How the store is asked.
pub(super) struct Desk {
    /// Its threads have it, or, if the store is called on the spot, `immediate`.
    asked: Weak<Asked>,
    immediate: Option<Arc<Asked>>,
    /// `None` once it is closed.
    threads: Mutex<Option<Threads>>,
    /// Ends when the last thread has.
    running: tokio::sync::Mutex<Option<running::Receiver<()>>>,
}

struct Threads {
    writes: mpsc::Sender<Write>,
    reads: Arc<Reads>,
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.reads.close();
    }
}

impl Desk {
    /// # Errors
    ///
    /// If a thread cannot be started.
    pub(super) fn open(store: Arc<dyn Store>) -> io::Result<Self> {
        let immediate = store.is_immediate();
        let asked = Arc::new(Asked {
            store,
            answered: Mutex::default(),
            owed: Mutex::default(),
            policy_changes: AtomicBool::new(false),
        });
        if immediate {
            let weak = Arc::downgrade(&asked);
            return Ok(Self { asked: weak, immediate: Some(asked), threads: Mutex::new(None), running: None.into() });
        }
        let (guard, running) = running::channel(1);
        let (writes, to_write) = mpsc::channel();
        let reads = Arc::new(Reads::default());
        // Dropped, also if one of the threads cannot be started, it ends the others.
        let threads = Threads { writes, reads: Arc::clone(&reads) };
        let spawn = |name: &str, run: Box<dyn FnOnce() + Send>| {
            thread::Builder::new().name(format!("session-store-{name}")).spawn(run).map(drop)
        };
        let (writer, held) = (Arc::clone(&asked), guard.clone());
        spawn(
            "writer",
            Box::new(move || {
                write(&writer, &to_write);
                drop((writer, held));
            }),
        )?;
        for _ in 0..READERS {
            let (reader, reads, held) = (Arc::clone(&asked), Arc::clone(&reads), guard.clone());
            let run = move || {
                while let Some(read) = reads.next() {
                    read(&reader);
                }
                drop((reader, held));
            };
            spawn("reader", Box::new(run))?;
        }
        let threads = Mutex::new(Some(threads));
        Ok(Self { asked: Arc::downgrade(&asked), immediate: None, threads, running: Some(running).into() })
    }

    /// Lets a reader do this. Dropped undone if the desk is closed.
    pub(super) fn read(&self, read: impl FnOnce(&Asked) + Send + 'static) {
        if let Some(asked) = &self.immediate {
            // There is no writer that would.
            asked.pay();
            return read(asked);
        }
        if let Some(threads) = &*self.threads.lock() {
            // A reader that panicked would be the last word of its kind; none does: what runs there is caught.
            threads.reads.push(Box::new(move |asked| drop(quietly(|| read(asked)))));
        }
    }

    /// Makes a change, with others in one batch; `done` is told when it is durable, or why it was not made.
    pub(super) fn write(&self, change: Change, done: impl FnOnce(Result<(), StoreError>) + Send + 'static) -> Ticket {
        let ticket = Ticket::default();
        if let Some(asked) = &self.immediate {
            ticket.take_up();
            done(asked.commit(&mut vec![change]));
            return ticket;
        }
        let write = Write { change, done: Box::new(done), ticket: ticket.clone() };
        let refused = match &*self.threads.lock() {
            Some(threads) => threads.writes.send(write).err().map(|mpsc::SendError(write)| write),
            None => Some(write),
        };
        if let Some(Write { done, .. }) = refused {
            done(Err(StoreError::Unavailable("the registry is shut down".into())));
        }
        ticket
    }

    /// A session has ended and its record could not be removed: as good as gone, and removed when it can be.
    pub(super) fn owe(&self, key: SessionKey, session: SessionId) {
        let Some(asked) = self.asked.upgrade() else { return };
        asked.owed.lock().insert((key.clone(), session));
        drop(asked);
        // Wakes the writer.
        let asked = Weak::clone(&self.asked);
        self.write(Change::Remove { key: key.clone(), session }, move |outcome| {
            if let (Ok(()), Some(asked)) = (outcome, asked.upgrade()) {
                asked.owed.lock().remove(&(key, session));
            }
        });
    }

    /// When the writer had its last answer: whoever waits in its queue comes nearer with each.
    pub(super) fn answered(&self) -> Option<Instant> {
        *self.asked.upgrade()?.answered.lock()
    }

    /// From here on sessions may be saved with deadlines by another policy than the rest has.
    pub(super) fn policy_changes(&self) {
        if let Some(asked) = self.asked.upgrade() {
            asked.policy_changes.store(true, Ordering::Release);
        }
    }

    /// Nothing more is asked; what was is done.
    pub(super) fn close(&self) {
        drop(self.threads.lock().take());
    }

    /// Its threads have let go of the store.
    pub(super) async fn closed(&self) {
        if let Some(running) = self.running.lock().await.as_mut() {
            let _: Option<()> = running.recv().await;
        }
    }
}

/// The writer: everything that has come while it wrote is the next batch.
fn write(asked: &Asked, writes: &mpsc::Receiver<Write>) {
    loop {
        let first = if asked.owed.lock().is_empty() {
            writes.recv().map_err(|_| mpsc::RecvTimeoutError::Disconnected)
        } else {
            writes.recv_timeout(OWED_AFTER)
        };
        let first = match first {
            Ok(first) => Some(first),
            Err(mpsc::RecvTimeoutError::Timeout) => None,
            // A last attempt.
            Err(mpsc::RecvTimeoutError::Disconnected) => return asked.pay(),
        };
        let batch = first.into_iter().chain(std::iter::from_fn(|| writes.try_recv().ok())).take(BATCH);
        let batch = batch.filter(|write| write.ticket.take_up());
        let (mut changes, dones): (Vec<_>, Vec<_>) = batch.map(|Write { change, done, .. }| (change, done)).unzip();
        let owed = asked.owed();
        let asked_for = changes.len();
        changes.extend_from_slice(&owed);

        let committed = asked.commit(&mut changes);
        if asked_for > 0 {
            *asked.answered.lock() = Some(Instant::now());
        }
        match committed {
            Ok(()) => {
                asked.paid(&owed);
                dones.into_iter().for_each(|done| tell(done, Ok(())));
            }
            Err(error) => {
                if error.is_transient() || asked_for == 1 {
                    dones.into_iter().for_each(|done| tell(done, Err(error.clone())));
                } else {
                    // One of them cannot be made: the others must not suffer for it.
                    for (change, done) in changes.iter().zip(dones) {
                        tell(done, asked.commit(&mut vec![change.clone()]));
                    }
                }
            }
        }
    }
}

/// What is told may be anybody's code.
fn tell(done: Done, outcome: Result<(), StoreError>) {
    let _ = quietly(|| done(outcome));
}
