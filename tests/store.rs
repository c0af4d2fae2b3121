//! The stores that come with the crate: what every store promises, and what only one on disk can come to.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::{
    cell::Cell,
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use session_actors::{
    SessionId, SessionKey,
    store::{Change, MemoryStore, Record, RedbOptions, RedbStore, State, Store, StoreError, conformance},
};
use tempfile::TempDir;

fn key(text: &str) -> SessionKey {
    SessionKey::new(text).unwrap()
}

/// A record of a session with an id of that store's.
fn record(store: &impl Store, state: &str) -> Record {
    let record =
        Record::new(SessionId::of_stored(store.reserve_ids(1).unwrap()), SystemTime::now(), State::of(state).unwrap());
    record.ends_at(SystemTime::now() + Duration::from_secs(60))
}

fn put(store: &impl Store, text: &str, state: &str) -> Result<(), StoreError> {
    store.commit(&[Change::Put { key: key(text), record: record(store, state) }])
}

fn state(store: &impl Store, text: &str) -> Option<String> {
    store.load(&key(text)).unwrap().map(|record| record.state.read().unwrap())
}

/// Files of one folder, one after the other.
struct Files(TempDir, Cell<u32>);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap(), Cell::new(0))
    }

    fn next(&self) -> PathBuf {
        self.1.set(self.1.get() + 1);
        self.0.path().join(format!("{}.redb", self.1.get()))
    }
}

#[test]
fn the_store_in_memory_is_what_the_registry_relies_on() {
    conformance::check(MemoryStore::new);
    conformance::check_durable(MemoryStore::new, |store| store.clone());
}

#[test]
fn the_store_on_disk_is_what_the_registry_relies_on() {
    let files = Files::new();
    conformance::check(|| RedbStore::open(files.next()).unwrap());
    let file = files.next();
    conformance::check_durable(
        || RedbStore::open(&file).unwrap(),
        |store| {
            drop(store);
            RedbStore::open(&file).unwrap()
        },
    );
}

#[test]
fn a_second_opener_is_told_that_the_file_is_in_use() {
    let file = Files::new().next();
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    let first = RedbStore::open(&file).unwrap();
    let refused = RedbStore::open(&file).unwrap_err();
    assert_eq!(refused, StoreError::InUse(file.display().to_string()));
    assert!(refused.to_string().contains("one process at a time"), "{refused}");
    drop(first);
    RedbStore::open(&file).unwrap();
    fs::remove_dir_all(file.parent().unwrap()).unwrap();
}

fn refused(file: &Path) -> String {
    RedbStore::open(file).unwrap_err().to_string()
}

#[test]
fn a_file_that_is_no_store_is_named_and_left_alone() {
    let files = Files::new();
    let file = files.next();
    fs::write(&file, "some notes of mine, not a store\n".repeat(1000)).unwrap();
    let said = refused(&file);
    assert!(said.contains(&file.display().to_string()) && said.contains("move it away"), "{said}");
    assert!(fs::read_to_string(&file).unwrap().starts_with("some notes of mine"));
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let said = refused(Path::new("/nowhere/at/all/sessions.redb"));
    assert!(said.contains("/nowhere/at/all/sessions.redb") && said.contains("No such file"), "{said}");
}

#[test]
fn a_file_of_a_later_version_is_refused() {
    let files = Files::new();
    let file = files.next();
    drop(RedbStore::open(&file).unwrap());
    {
        let database = redb::Database::create(&file).unwrap();
        let transaction = database.begin_write().unwrap();
        let meta = redb::TableDefinition::<&str, u64>::new("meta");
        transaction.open_table(meta).unwrap().insert("format", 2).unwrap();
        transaction.commit().unwrap();
    }
    assert_eq!(RedbStore::open(&file).unwrap_err(), StoreError::Format { found: 2, known: 1 });
}

#[test]
fn a_record_that_cannot_be_read_is_said_to_be_so_and_kept() {
    let store = MemoryStore::new();
    put(&store, "k", "hello").unwrap();
    store.damage(&key("k"), "{\"half");
    let error = store.load(&key("k")).unwrap_err();
    assert!(error.to_string().contains("k cannot be read") && error.to_string().contains("is kept"), "{error}");
    assert!(store.page(None, 10).unwrap()[0].record.is_err());
    store.commit(&[Change::SetAside { key: key("k"), why: error.to_string() }]).unwrap();
    assert_eq!(store.load(&key("k")).unwrap(), None);
    assert_eq!(store.set_aside(10).unwrap()[0].bytes, b"{\"half");
}

#[test]
fn a_sound_file_is_found_to_be_so() {
    let files = Files::new();
    let mut store = RedbStore::open_with(files.next(), RedbOptions::new().cache_bytes(1 << 20)).unwrap();
    for n in 0..100 {
        put(&store, &format!("k{n}"), "hello").unwrap();
    }
    assert!(store.check().unwrap());
    assert_eq!(state(&store, "k42").as_deref(), Some("hello"));
}

#[test]
fn after_a_crash_the_file_is_there_and_with_quick_repair_at_once() {
    for quick in [false, true] {
        let files = Files::new();
        let (file, crashed) = (files.next(), files.next());
        let store = RedbStore::open_with(&file, RedbOptions::new().quick_repair(quick)).unwrap();
        for n in 0..100 {
            put(&store, &format!("k{n}"), "hello").unwrap();
        }
        // As it lies there while it is open, and after `kill -9`.
        fs::copy(&file, &crashed).unwrap();

        let repaired = Arc::new(AtomicBool::new(false));
        let noted = Arc::clone(&repaired);
        let note = move |_: &mut redb::RepairSession| noted.store(true, Ordering::Relaxed);
        drop(redb::Builder::new().set_repair_callback(note).create(&crashed).unwrap());
        assert_eq!(repaired.load(Ordering::Relaxed), !quick, "whether the whole file was walked through");
        let store = RedbStore::open(&crashed).unwrap();
        assert_eq!((store.count(), state(&store, "k42").as_deref()), (Ok(100), Some("hello")));
    }
}

#[test]
fn faults_are_as_they_were_asked_for() {
    let store = MemoryStore::new();
    put(&store, "k", "hello").unwrap();
    let broken = StoreError::Unavailable("pulled out".into());
    store.faults(|faults| faults.commit = Some(broken.clone()));
    let record = Record::new(SessionId::of_stored(99), SystemTime::now(), State::of("bye").unwrap());
    assert_eq!(store.commit(&[Change::Put { key: key("k"), record }]), Err(broken.clone()));
    assert_eq!(state(&store, "k").as_deref(), Some("hello"));
    store.faults(|faults| (faults.commit, faults.load) = (None, Some(broken.clone())));
    assert_eq!(store.load(&key("k")), Err(broken));

    store.faults(|faults| (faults.load, faults.stalled) = (None, true));
    let waits = std::thread::spawn({
        let store = store.clone();
        move || state(&store, "k")
    });
    assert!(!waits.is_finished());
    store.faults(|faults| faults.stalled = false);
    assert_eq!(waits.join().unwrap().as_deref(), Some("hello"));
}
