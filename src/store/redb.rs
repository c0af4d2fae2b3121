//! The embedded store: one file, by redb.

use std::{
    fmt, io,
    ops::Bound,
    path::{Path, PathBuf},
    time::SystemTime,
};

use parking_lot::RwLock;
use redb::{
    CommitError, Database, DatabaseError, ReadableDatabase, ReadableTable, ReadableTableMetadata, StorageError,
    TableDefinition, TableError, TransactionError, WriteTransaction,
};

use super::{
    Aside, Change, Deadline, Entry, Record, Store, StoreError,
    record::{millis, of_millis},
};
use crate::{event::SessionId, key::SessionKey};

/// Of a key: its deadline in milliseconds ([`NEVER`] if it has none), its session, its record as JSON. The first two are
/// in the record as well, but a change must not have to decode what it replaces.
const SESSIONS: TableDefinition<'_, &str, (u64, u64, &[u8])> = TableDefinition::new("sessions");
/// The index of deadlines: what is due is a range of it.
const DEADLINES: TableDefinition<'_, (u64, &str), ()> = TableDefinition::new("deadlines");
/// By number: the key, when in milliseconds, why, the bytes.
const ASIDE: TableDefinition<'_, u64, (&str, u64, &str, &[u8])> = TableDefinition::new("set_aside");
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

/// Under [`POLICY`]: by which all deadlines were computed.
const TEXTS: TableDefinition<'_, &str, &str> = TableDefinition::new("texts");
const POLICY: &str = "policy";

/// In `META`: of these tables.
const FORMAT: &str = "format";
const KNOWN_FORMAT: u64 = 1;
/// In `META`: the next session id that is free.
const NEXT_ID: &str = "next_id";

const NEVER: u64 = u64::MAX;

/// How a [`RedbStore`] is opened.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RedbOptions {
    cache: usize,
}

impl Default for RedbOptions {
    fn default() -> Self {
        Self { cache: 64 << 20 }
    }
}

impl RedbOptions {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many bytes of the file may be kept in memory. Defaults to 64 MiB.
    #[must_use]
    pub fn cache_bytes(mut self, bytes: usize) -> Self {
        self.cache = bytes;
        self
    }
}

/// A store in one file, by [redb](https://docs.rs/redb): crash-safe, and no other process beside it.
pub struct RedbStore {
    file: PathBuf,
    options: RedbOptions,
    /// `None` after an error that redb does not go on from: opened again at the next call.
    database: RwLock<Option<Database>>,
}

impl RedbStore {
    /// Opens the file, which is made if there is none; the folder must be there.
    ///
    /// # Errors
    ///
    /// If it is in use, damaged, of a later version, or cannot be read and written.
    pub fn open(file: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::open_with(file, RedbOptions::default())
    }

    /// As [`open`](Self::open), with options.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_with(file: impl AsRef<Path>, options: RedbOptions) -> Result<Self, StoreError> {
        let store = Self { file: file.as_ref().to_owned(), options, database: RwLock::new(None) };
        let database = store.open_database()?;
        *store.database.write() = Some(database);
        Ok(store)
    }

    /// Goes through the whole file and repairs what can be. True if there was nothing to repair.
    ///
    /// # Errors
    ///
    /// [`StoreError::Damaged`] if it cannot be repaired.
    pub fn check(&mut self) -> Result<bool, StoreError> {
        let mut database = self.open_again()?;
        let sound = database.check_integrity().map_err(|error| self.database_error(error));
        *self.database.write() = Some(database);
        sound
    }

    fn open_again(&self) -> Result<Database, StoreError> {
        match self.database.write().take() {
            Some(database) => Ok(database),
            None => self.open_database(),
        }
    }

    fn open_database(&self) -> Result<Database, StoreError> {
        let database = Database::builder()
            .set_cache_size(self.options.cache)
            .create(&self.file)
            .map_err(|error| self.database_error(error))?;
        let error = |error| self.failure(error);
        let transaction = database.begin_write().map_err(Failure::from).map_err(error)?;
        let found = self.set_up(&transaction).map_err(error)?;
        if found > KNOWN_FORMAT {
            return Err(StoreError::Format { found, known: KNOWN_FORMAT });
        }
        transaction.commit().map_err(Failure::from).map_err(error)?;
        Ok(database)
    }

    /// Makes the tables of a new file. Returns the format of the file.
    fn set_up(&self, transaction: &WriteTransaction) -> Result<u64, Failure> {
        transaction.open_table(SESSIONS)?;
        transaction.open_table(DEADLINES)?;
        transaction.open_table(ASIDE)?;
        transaction.open_table(TEXTS)?;
        let mut meta = transaction.open_table(META)?;
        let found = meta.get(FORMAT)?.map(|format| format.value());
        if found.is_none() {
            meta.insert(FORMAT, KNOWN_FORMAT)?;
        }
        Ok(found.unwrap_or(KNOWN_FORMAT))
    }

    /// Calls it with the open database; after an error that redb does not go on from, the next call opens it again.
    fn with<T>(&self, call: impl FnOnce(&Database) -> Result<T, Failure>) -> Result<T, StoreError> {
        loop {
            let open = self.database.read();
            let Some(database) = open.as_ref() else {
                drop(open);
                let mut open = self.database.write();
                if open.is_none() {
                    *open = Some(self.open_database()?);
                }
                continue;
            };
            let called = call(database);
            drop(open);
            return called.map_err(|failure| {
                if failure.is_final() {
                    // Closed before it is opened again: one at a time has the file's lock.
                    drop(self.database.write().take());
                }
                self.failure(failure)
            });
        }
    }

    fn database_error(&self, error: DatabaseError) -> StoreError {
        match error {
            DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
                StoreError::InUse(self.file.display().to_string())
            }
            DatabaseError::Storage(StorageError::Io(error)) if error.kind() == io::ErrorKind::InvalidData => {
                self.damaged(&error)
            }
            DatabaseError::Storage(error) => self.failure(Failure::Storage(error)),
            error => self.damaged(&error),
        }
    }

    fn failure(&self, failure: Failure) -> StoreError {
        let place = |error: &dyn fmt::Display| format!("{}: {error}", self.file.display());
        match failure {
            Failure::Store(error) => error,
            Failure::Storage(StorageError::Io(error)) if is_full(&error) => StoreError::Full(place(&error)),
            Failure::Storage(StorageError::Corrupted(why)) => self.damaged(&why),
            Failure::Storage(error) => StoreError::Unavailable(place(&error)),
            Failure::Table(error) => self.damaged(&error),
            Failure::Poisoned => StoreError::Unavailable(place(&"a change was left half made and taken back")),
        }
    }

    fn damaged(&self, why: &dyn fmt::Display) -> StoreError {
        StoreError::Damaged { file: self.file.display().to_string(), why: why.to_string() }
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge)
}

/// What a call to redb can come to.
enum Failure {
    Storage(StorageError),
    /// A table is not what it has to be.
    Table(TableError),
    Poisoned,
    Store(StoreError),
}

impl Failure {
    /// redb answers nothing more until the file is opened again.
    fn is_final(&self) -> bool {
        match self {
            Self::Storage(error) => !matches!(error, StorageError::ValueTooLarge(_)),
            Self::Table(_) | Self::Poisoned => true,
            Self::Store(_) => false,
        }
    }
}

impl From<StorageError> for Failure {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

impl From<TableError> for Failure {
    fn from(error: TableError) -> Self {
        match error {
            TableError::Storage(error) => Self::Storage(error),
            error => Self::Table(error),
        }
    }
}

impl From<TransactionError> for Failure {
    fn from(error: TransactionError) -> Self {
        match error {
            TransactionError::Storage(error) => Self::Storage(error),
            _ => Self::Poisoned,
        }
    }
}

impl From<CommitError> for Failure {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Storage(error) => Self::Storage(error),
            _ => Self::Poisoned,
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// A key as it was stored: it was one when it was put there.
fn key_of(text: &str) -> Result<SessionKey, Failure> {
    SessionKey::new(text).map_err(|error| Failure::Storage(StorageError::Corrupted(error.to_string())))
}

impl Store for RedbStore {
    fn load(&self, key: &SessionKey) -> Result<Option<Record>, StoreError> {
        self.with(|database| {
            let sessions = database.begin_read()?.open_table(SESSIONS)?;
            match sessions.get(key.as_str())? {
                Some(stored) => Ok(Some(Record::decode(key, stored.value().2)?)),
                None => Ok(None),
            }
        })
    }

    fn commit(&self, changes: &[Change]) -> Result<(), StoreError> {
        if changes.is_empty() {
            return Ok(());
        }
        self.with(|database| {
            let transaction = database.begin_write()?;
            make(&transaction, changes)?;
            // Durable: redb's own default, `Durability::Immediate`.
            Ok(transaction.commit()?)
        })
    }

    fn due(&self, until: SystemTime, limit: usize) -> Result<Vec<Deadline>, StoreError> {
        self.with(|database| {
            let deadlines = database.begin_read()?.open_table(DEADLINES)?;
            let end = (millis(until).saturating_add(1), "");
            let mut due = Vec::new();
            for found in deadlines.range(..end)?.take(limit) {
                let (found, _) = found?;
                let (at, key) = found.value();
                due.push(Deadline::new(key_of(key)?, of_millis(at)));
            }
            Ok(due)
        })
    }

    fn next_deadline(&self) -> Result<Option<SystemTime>, StoreError> {
        self.with(|database| {
            let deadlines = database.begin_read()?.open_table(DEADLINES)?;
            Ok(deadlines.first()?.map(|(found, _)| of_millis(found.value().0)))
        })
    }

    fn page(&self, after: Option<&SessionKey>, limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.with(|database| {
            let sessions = database.begin_read()?.open_table(SESSIONS)?;
            let from = after.map_or(Bound::Unbounded, |key| Bound::Excluded(key.as_str()));
            let mut entries = Vec::new();
            for found in sessions.range::<&str>((from, Bound::Unbounded))?.take(limit) {
                let (key, stored) = found?;
                let key = key_of(key.value())?;
                let record = Record::decode(&key, stored.value().2);
                entries.push(Entry::new(key, record));
            }
            Ok(entries)
        })
    }

    fn count(&self) -> Result<u64, StoreError> {
        self.with(|database| Ok(database.begin_read()?.open_table(SESSIONS)?.len()?))
    }

    fn set_aside(&self, limit: usize) -> Result<Vec<Aside>, StoreError> {
        self.with(|database| {
            let aside = database.begin_read()?.open_table(ASIDE)?;
            let mut all = Vec::new();
            for found in aside.iter()?.take(limit) {
                let (_, found) = found?;
                let (key, at, why, bytes) = found.value();
                all.push(Aside::new(key_of(key)?, of_millis(at), why.to_owned(), bytes.to_owned()));
            }
            Ok(all)
        })
    }

    fn policy(&self) -> Result<Option<String>, StoreError> {
        self.with(|database| {
            let texts = database.begin_read()?.open_table(TEXTS)?;
            Ok(texts.get(POLICY)?.map(|policy| policy.value().to_owned()))
        })
    }

    fn reserve_ids(&self, count: u64) -> Result<u64, StoreError> {
        self.with(|database| {
            let transaction = database.begin_write()?;
            let first = {
                let mut meta = transaction.open_table(META)?;
                let first = meta.get(NEXT_ID)?.map_or(1, |next| next.value());
                meta.insert(NEXT_ID, first.saturating_add(count))?;
                first
            };
            transaction.commit()?;
            Ok(first)
        })
    }
}

/// Makes the changes in a transaction, which is dropped, and with it all of them, if one fails.
fn make(transaction: &WriteTransaction, changes: &[Change]) -> Result<(), Failure> {
    let mut sessions = transaction.open_table(SESSIONS)?;
    let mut deadlines = transaction.open_table(DEADLINES)?;
    for change in changes {
        match change {
            Change::Put { key, record } => {
                let key = key.as_str();
                let ends_at = record.ends_at.map_or(NEVER, millis);
                let bytes = record.encode()?;
                let old = sessions.insert(key, (ends_at, record.session.get(), bytes.as_slice()))?;
                let old = old.map_or(NEVER, |old| old.value().0);
                if old == ends_at {
                    continue;
                }
                if old != NEVER {
                    deadlines.remove((old, key))?;
                }
                if ends_at != NEVER {
                    deadlines.insert((ends_at, key), ())?;
                }
            }
            Change::Remove { key, session } => {
                let stored = sessions.get(key.as_str())?.map(|stored| SessionId::new(stored.value().1));
                if stored == Some(*session) {
                    take(&mut sessions, &mut deadlines, key)?;
                }
            }
            Change::Policy(policy) => {
                let mut texts = transaction.open_table(TEXTS)?;
                match policy {
                    Some(policy) => drop(texts.insert(POLICY, policy.as_str())?),
                    None => drop(texts.remove(POLICY)?),
                }
            }
            Change::SetAside { key, why } => {
                if let Some(bytes) = take(&mut sessions, &mut deadlines, key)? {
                    let mut aside = transaction.open_table(ASIDE)?;
                    let number = aside.last()?.map_or(0, |(number, _)| number.value() + 1);
                    let at = millis(SystemTime::now());
                    aside.insert(number, (key.as_str(), at, why.as_str(), bytes.as_slice()))?;
                }
            }
        }
    }
    Ok(())
}

type Sessions<'t> = redb::Table<'t, &'static str, (u64, u64, &'static [u8])>;
type Deadlines<'t> = redb::Table<'t, (u64, &'static str), ()>;

fn take(
    sessions: &mut Sessions<'_>,
    deadlines: &mut Deadlines<'_>,
    key: &SessionKey,
) -> Result<Option<Vec<u8>>, Failure> {
    let Some(removed) = sessions.remove(key.as_str())? else { return Ok(None) };
    let (ends_at, _, bytes) = removed.value();
    if ends_at != NEVER {
        deadlines.remove((ends_at, key.as_str()))?;
    }
    Ok(Some(bytes.to_owned()))
}

impl fmt::Debug for RedbStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedbStore").field("file", &self.file).finish_non_exhaustive()
    }
}
