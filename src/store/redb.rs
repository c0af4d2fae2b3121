//! The embedded store: one file, by redb.

mod failure;
mod options;
mod tables;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    ops::Bound,
    path::{Path, PathBuf},
    time::SystemTime,
};

use parking_lot::RwLock;
use redb::{
    Builder, Database, DatabaseError, ReadableDatabase, ReadableTable, ReadableTableMetadata, WriteTransaction,
};

pub use self::options::RedbOptions;
use self::{
    failure::{Failure, caught, not_opened},
    tables::{ASIDE, DEADLINES, KNOWN_FORMAT, META, NEXT_ID, POLICY, SESSIONS, TEXTS, key_of, make, set_up},
};
use super::{
    Aside, Change, Deadline, Entry, Record, Store, StoreError,
    record::{millis, of_millis},
};
use crate::{key::SessionKey, session::panics::quietly};

/// A store in one file, by [redb](https://docs.rs/redb): crash-safe, and no other process beside it.
pub struct RedbStore {
    file: PathBuf,
    options: RedbOptions,
    create: Create,
    /// `None` after an error that redb does not go on from: opened again at the next call.
    database: RwLock<Option<Database>>,
}

/// Opens the database, or makes it; tests have other ways than a file.
type Create = Box<dyn Fn(&Builder, &Path, bool) -> Result<Database, DatabaseError> + Send + Sync>;

impl RedbStore {
    /// Opens the file, which is made if there is none; the folder must be there. After a crash this takes the time of a
    /// look through the whole file, unless it was written with [`quick_repair`](RedbOptions::quick_repair).
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
        let create = |builder: &Builder, file: &Path, create| {
            if create { builder.create(file) } else { builder.open(file) }
        };
        Self::created(file.as_ref(), options, Box::new(create))
    }

    fn created(file: &Path, options: RedbOptions, create: Create) -> Result<Self, StoreError> {
        let store = Self { file: file.to_owned(), options, create, database: RwLock::new(None) };
        let database = store.open_database(store.options.create)?;
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
        let sound = caught(|| database.check_integrity().map_err(|error| not_opened(error, &self.file).into()));
        if sound.is_ok() {
            *self.database.write() = Some(database);
        } else {
            let _ = quietly(|| drop(database));
        }
        sound.map_err(|failure| failure.at(&self.file))
    }

    fn open_again(&self) -> Result<Database, StoreError> {
        match self.database.write().take() {
            Some(database) => Ok(database),
            None => self.open_database(false),
        }
    }

    fn open_database(&self, create: bool) -> Result<Database, StoreError> {
        caught(|| self.try_open_database(create)).map_err(|failure| failure.at(&self.file))
    }

    fn try_open_database(&self, create: bool) -> Result<Database, Failure> {
        let mut builder = Database::builder();
        builder.set_cache_size(self.options.cache);
        let database = (self.create)(&builder, &self.file, create).map_err(|error| not_opened(error, &self.file))?;
        let transaction = self.begin_write(&database)?;
        let found = set_up(&transaction)?;
        if found > KNOWN_FORMAT {
            return Err(StoreError::Format { found, known: KNOWN_FORMAT }.into());
        }
        transaction.commit()?;
        Ok(database)
    }

    fn begin_write(&self, database: &Database) -> Result<WriteTransaction, Failure> {
        let mut transaction = database.begin_write()?;
        transaction.set_quick_repair(self.options.quick_repair);
        Ok(transaction)
    }

    /// Calls it with the open database; after an error that redb does not go on from, the next call opens it again.
    fn with<T>(&self, call: impl FnOnce(&Database) -> Result<T, Failure>) -> Result<T, StoreError> {
        loop {
            let open = self.database.read();
            let Some(database) = open.as_ref() else {
                drop(open);
                let mut open = self.database.write();
                if open.is_none() {
                    // Not made again: one that is gone was not empty.
                    *open = Some(self.open_database(false)?);
                }
                continue;
            };
            let called = caught(|| call(database));
            drop(open);
            return called.map_err(|failure| {
                if failure.is_final() {
                    // Closed before it is opened again: one at a time has the file's lock.
                    let broken = self.database.write().take();
                    let _ = quietly(|| drop(broken));
                }
                failure.at(&self.file)
            });
        }
    }
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
            let transaction = self.begin_write(database)?;
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
            let transaction = self.begin_write(database)?;
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

impl fmt::Debug for RedbStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedbStore").field("file", &self.file).finish_non_exhaustive()
    }
}
