//! What becomes of the store when the disk fails: at every point where it can.

use std::{
    io,
    path::Path,
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use parking_lot::Mutex;
use redb::StorageBackend;

use super::{RedbOptions, RedbStore};
use crate::{
    event::SessionId,
    key::SessionKey,
    store::{Change, Record, State, Store, StoreError},
};

/// A disk that remembers what was done to it, and fails when it is told to.
#[derive(Debug, Clone, Default)]
struct Disk(Arc<Mutex<Platters>>);

#[derive(Debug, Default)]
struct Platters {
    bytes: Vec<u8>,
    /// Everything that was done.
    done: Vec<Op>,
    /// How many more changes it takes before it fails.
    until_full: Option<usize>,
    /// With this.
    kind: Option<io::ErrorKind>,
    reads_fail: bool,
}

#[derive(Debug, Clone)]
enum Op {
    Write(usize, Vec<u8>),
    SetLen(usize),
    Sync,
    /// By the test: what was committed before this was confirmed.
    Confirmed(usize),
}

impl Platters {
    fn change(&mut self, op: Op) -> io::Result<()> {
        match &mut self.until_full {
            Some(0) => return Err(self.kind.unwrap_or(io::ErrorKind::StorageFull).into()),
            Some(left) => *left -= 1,
            None => {}
        }
        apply(&mut self.bytes, &op);
        self.done.push(op);
        Ok(())
    }
}

fn apply(bytes: &mut Vec<u8>, op: &Op) {
    match op {
        Op::Write(at, data) => bytes[*at..at + data.len()].copy_from_slice(data),
        Op::SetLen(len) => bytes.resize(*len, 0),
        Op::Sync | Op::Confirmed(_) => {}
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().bytes.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let platters = self.0.lock();
        if platters.reads_fail {
            return Err(io::Error::other("a bad sector"));
        }
        let at = offset as usize;
        out.copy_from_slice(platters.bytes.get(at..at + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.lock().change(Op::SetLen(len as usize))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.lock().change(Op::Sync)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.lock().change(Op::Write(offset as usize, data.to_owned()))
    }
}

impl Disk {
    /// Without a cache, so that reads reach it.
    fn store(&self) -> Result<RedbStore, StoreError> {
        let disk = self.clone();
        let create =
            Box::new(move |builder: &redb::Builder, _: &Path, _: bool| builder.create_with_backend(disk.clone()));
        RedbStore::created(Path::new("a.disk"), RedbOptions::new().cache_bytes(0), create)
    }

    fn with(bytes: Vec<u8>) -> Self {
        let disk = Self::default();
        disk.0.lock().bytes = bytes;
        disk
    }

    fn fails_after(&self, changes: usize, kind: io::ErrorKind) {
        let mut platters = self.0.lock();
        (platters.until_full, platters.kind) = (Some(changes), Some(kind));
    }

    /// Whether it has failed.
    fn heal(&self) -> bool {
        self.0.lock().until_full.take() == Some(0)
    }
}

fn key(text: &str) -> SessionKey {
    SessionKey::new(text).unwrap_or_else(|error| panic!("{error}"))
}

/// As batch `n` leaves it: three records together, and one that comes and goes. Large enough that the file has to grow.
fn batch(n: u64) -> Vec<Change> {
    let record = |session| {
        let state = State::of(&vec![n; 500]).unwrap_or_else(|error| panic!("{error}"));
        let at = UNIX_EPOCH + Duration::from_secs(1_000 + n);
        Record::new(SessionId::new(session), at, state).ends_at(at + Duration::from_secs(60))
    };
    let mut changes: Vec<_> = ["a", "b", "c"]
        .iter()
        .zip(1..)
        .map(|(text, session)| Change::Put { key: key(text), record: record(session) })
        .collect();
    if n.is_multiple_of(2) {
        changes.push(Change::Put { key: key("d"), record: record(100 + n) });
    } else {
        changes.push(Change::Remove { key: key("d"), session: SessionId::new(99 + n) });
    }
    changes
}

/// Which batch was the last, if all of it is there and nothing else.
#[track_caller]
fn last(store: &RedbStore) -> Option<u64> {
    let entries = store.page(None, 10).unwrap_or_else(|error| panic!("{error}"));
    let numbers: Vec<u64> = entries
        .iter()
        .map(|entry| {
            let record = entry.record.as_ref().unwrap_or_else(|error| panic!("{error}"));
            record.state.read::<Vec<u64>>().unwrap_or_else(|error| panic!("{error}"))[0]
        })
        .collect();
    let n = numbers.first().copied();
    assert!(numbers.iter().all(|number| Some(*number) == n), "parts of batches: {numbers:?}");
    let expected = n.map_or(0, |n| 3 + usize::from(n.is_multiple_of(2)));
    assert_eq!(entries.len(), expected, "batch {n:?}");
    let due = store.due(UNIX_EPOCH + Duration::from_secs(1 << 30), 10).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(due.len(), expected, "deadlines of batch {n:?}");
    n
}

/// The disk fails for good at each write, each growth and each sync of a commit in turn.
fn a_commit_on_a_disk_that_fails_at_every_point(kind: io::ErrorKind, told: impl Fn(&StoreError) -> bool) {
    let disk = Disk::default();
    let store = disk.store().unwrap_or_else(|error| panic!("{error}"));
    store.commit(&batch(0)).unwrap_or_else(|error| panic!("{error}"));
    let (mut n, mut point, mut failures) = (0, 0, 0);
    loop {
        disk.fails_after(point, kind);
        let outcome = store.commit(&batch(n + 1));
        // While it fails nothing is lost, whether or not it can be read.
        if outcome.is_err()
            && let Ok(page) = store.page(None, 10)
        {
            assert!(!page.is_empty());
        }
        let failed = disk.heal();
        match outcome {
            Ok(()) => {
                assert_eq!(last(&store), Some(n + 1), "at point {point}");
                n += 1;
                if !failed {
                    break;
                }
            }
            Err(error) => {
                failures += 1;
                assert!(told(&error), "at point {point}: {error:?}");
                assert!(error.to_string().contains("a.disk"), "{error}");
                // A commit whose last sync has failed may be there all the same; never a part of it.
                let found = last(&store);
                assert!(found == Some(n) || found == Some(n + 1), "at point {point}: {found:?} of {n}");
                store.commit(&batch(n + 1)).unwrap_or_else(|error| panic!("after point {point}: {error}"));
                assert_eq!(last(&store), Some(n + 1), "after point {point}");
                n += 1;
            }
        }
        point += 1;
    }
    assert!(failures >= 3, "{failures} points");
    drop(store);
    assert_eq!(last(&disk.store().unwrap_or_else(|error| panic!("{error}"))), Some(n));
}

#[test]
fn a_disk_that_is_full_costs_nothing_that_was_confirmed_and_is_used_again_when_there_is_room() {
    a_commit_on_a_disk_that_fails_at_every_point(io::ErrorKind::StorageFull, |error| {
        matches!(error, StoreError::Full(_))
    });
}

#[test]
fn a_disk_that_fails_costs_nothing_that_was_confirmed_and_is_used_again_when_it_works() {
    a_commit_on_a_disk_that_fails_at_every_point(io::ErrorKind::Other, |error| {
        matches!(error, StoreError::Unavailable(_))
    });
}

#[test]
fn what_cannot_be_read_now_can_be_read_later() {
    let disk = Disk::default();
    let store = disk.store().unwrap_or_else(|error| panic!("{error}"));
    store.commit(&batch(0)).unwrap_or_else(|error| panic!("{error}"));
    disk.0.lock().reads_fail = true;
    for _ in 0..3 {
        let error = store.load(&key("a")).expect_err("no reads");
        assert!(matches!(&error, StoreError::Unavailable(why) if why.contains("a.disk")), "{error:?}");
    }
    disk.0.lock().reads_fail = false;
    assert_eq!(last(&store), Some(0));
    store.commit(&batch(1)).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(last(&store), Some(1));
}

/// The power goes after each operation, with all, none or some of what was not synced.
#[test]
fn a_crash_at_every_point_leaves_whole_batches_and_all_that_was_confirmed() {
    let disk = Disk::default();
    {
        let store = disk.store().unwrap_or_else(|error| panic!("{error}"));
        for n in 0..4 {
            store.commit(&batch(n)).unwrap_or_else(|error| panic!("{error}"));
            disk.0.lock().done.push(Op::Confirmed(n as usize));
        }
    }
    let done = std::mem::take(&mut disk.0.lock().done);
    let first = done.iter().position(|op| matches!(op, Op::Confirmed(_))).unwrap_or_default();
    let (mut synced, mut unsynced, mut confirmed) = (Vec::new(), Vec::new(), None);
    for (point, op) in done.iter().enumerate() {
        match op {
            Op::Sync => unsynced.drain(..).for_each(|op| apply(&mut synced, op)),
            Op::Confirmed(n) => confirmed = Some(*n as u64),
            op => unsynced.push(op),
        }
        // Before that there is no file that was ever opened.
        if point < first {
            continue;
        }
        // A file's length is in its own metadata: it does not come late where writes behind it have come.
        let some: [fn(usize) -> bool; 4] = [|_| false, |_| true, |n| n % 2 == 0, |n| n % 3 == 1];
        for arrived in &some[..if unsynced.is_empty() { 1 } else { 4 }] {
            let mut bytes = synced.clone();
            for (n, op) in unsynced.iter().enumerate() {
                if arrived(n) || matches!(op, Op::SetLen(_)) {
                    apply(&mut bytes, op);
                }
            }
            let store = Disk::with(bytes).store().unwrap_or_else(|error| panic!("at point {point}: {error}"));
            let found = last(&store);
            let next = confirmed.map_or(0, |n| n + 1);
            assert!(found == confirmed || found == Some(next), "at point {point}: {found:?}, confirmed {confirmed:?}");
        }
    }
    assert_eq!(confirmed, Some(3));
}

/// One page after the other is overwritten: it is found when the file is opened or when what is in it is asked for, or it
/// was none that matters. Nobody is given what was not stored, and nothing panics.
#[test]
fn a_file_that_is_damaged_anywhere_is_said_to_be_or_still_right() {
    let disk = Disk::default();
    disk.store().unwrap_or_else(|error| panic!("{error}")).commit(&batch(4)).unwrap_or_else(|error| panic!("{error}"));
    let sound = disk.0.lock().bytes.clone();
    let used = sound.len() - sound.iter().rev().take_while(|byte| **byte == 0).count();
    let (mut told, mut right) = (0, 0);
    for at in (0..used).step_by(1_024) {
        let mut bytes = sound.clone();
        bytes[at..(at + 1_024).min(used)].fill(0xA5);
        let outcome = std::panic::catch_unwind(|| {
            let store = Disk::with(bytes).store()?;
            let entries = store.page(None, 10)?;
            for entry in &entries {
                if let Ok(record) = &entry.record {
                    assert_eq!(record.state.read::<Vec<u64>>(), Ok(vec![4; 500]), "{} at {at}", entry.key);
                }
            }
            store.due(UNIX_EPOCH + Duration::from_secs(1 << 30), 10)?;
            store.load(&key("a")).map(|_| ())
        });
        match outcome {
            Ok(Ok(())) => right += 1,
            Ok(Err(_)) => told += 1,
            Err(_) => panic!("a panic, with the page at {at} overwritten"),
        }
    }
    assert!(told > 0 && right > 0, "{told} were told, {right} were right");
}
