//! SQLite behind this crate's `Store`: one row for each session, an index of deadlines, a write-ahead log. One
//! connection writes, two read, as many as the registry has threads that read.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError, TryLockError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rusqlite::{Connection, Error, ErrorCode, OptionalExtension, Row, Transaction, TransactionBehavior, params};
use session_actors::{
    SessionKey,
    store::{Aside, Change, Deadline, Entry, Record, Store, StoreError},
};

use super::engine::Engine;

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS sessions (
        key TEXT PRIMARY KEY, ends_at INTEGER, session INTEGER NOT NULL, record BLOB NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS deadlines ON sessions (ends_at, key) WHERE ends_at IS NOT NULL;
    CREATE TABLE IF NOT EXISTS set_aside (
        number INTEGER PRIMARY KEY, key TEXT NOT NULL, at INTEGER NOT NULL, why TEXT NOT NULL, record BLOB NOT NULL
    );
    CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS texts (name TEXT PRIMARY KEY, text TEXT NOT NULL) WITHOUT ROWID;
";
const READERS: usize = 2;

pub(crate) struct SqliteStore {
    file: PathBuf,
    writer: Mutex<Connection>,
    readers: [Mutex<Connection>; READERS],
}

pub(crate) struct Sqlite;

impl Engine for Sqlite {
    const NAME: &str = "sqlite";
    type Store = SqliteStore;

    fn open(file: &Path, cache: usize) -> Result<SqliteStore, StoreError> {
        let connect = || {
            let connection = Connection::open(file)?;
            connection.pragma_update(None, "journal_mode", "wal")?;
            // A commit is on disk when it returns, as the registry expects it.
            connection.pragma_update(None, "synchronous", "full")?;
            // Negative: in KiB instead of pages.
            connection.pragma_update(None, "cache_size", -((cache / (1 + READERS) / 1024) as i64))?;
            Ok(connection)
        };
        let failed = |error| failure(file, error);
        let writer = connect().map_err(failed)?;
        writer.execute_batch(TABLES).map_err(failed)?;
        let readers = [connect().map_err(failed)?, connect().map_err(failed)?].map(Mutex::new);
        Ok(SqliteStore { file: file.to_owned(), writer: Mutex::new(writer), readers })
    }
}

fn failure(file: &Path, error: Error) -> StoreError {
    let place = |error: &Error| format!("{}: {error}", file.display());
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::Full(place(&error)),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            StoreError::Damaged { file: file.display().to_string(), why: error.to_string() }
        }
        _ => StoreError::Unavailable(place(&error)),
    }
}

fn millis(at: SystemTime) -> i64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn of_millis(millis: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(millis.unsigned_abs())
}

/// A key as it was stored: it was one when it was put there.
fn key_of(text: String) -> Result<SessionKey, Error> {
    SessionKey::new(text)
        .map_err(|error| Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(error)))
}

/// A connection outlives a panic: SQLite takes back what was not committed.
fn lock(connection: &Mutex<Connection>) -> MutexGuard<'_, Connection> {
    connection.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SqliteStore {
    fn read<T>(&self, read: impl FnOnce(&Connection) -> Result<T, Error>) -> Result<T, StoreError> {
        let free = self.readers.iter().find_map(|reader| match reader.try_lock() {
            Ok(reader) => Some(reader),
            Err(TryLockError::Poisoned(reader)) => Some(reader.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        });
        let reader = free.unwrap_or_else(|| lock(&self.readers[0]));
        read(&reader).map_err(|error| failure(&self.file, error))
    }

    fn write<T>(&self, write: impl FnOnce(&Transaction<'_>) -> Result<T, Error>) -> Result<T, StoreError> {
        let mut writer = lock(&self.writer);
        let written = || {
            let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let outcome = write(&transaction)?;
            transaction.commit()?;
            Ok(outcome)
        };
        written().map_err(|error| failure(&self.file, error))
    }
}

impl Store for SqliteStore {
    fn load(&self, key: &SessionKey) -> Result<Option<Record>, StoreError> {
        let stored = self.read(|connection| {
            let mut found = connection.prepare_cached("SELECT record FROM sessions WHERE key = ?1")?;
            found.query_row([key.as_str()], |row| row.get::<_, Vec<u8>>(0)).optional()
        })?;
        stored.map(|record| Record::decode(key, &record)).transpose()
    }

    fn commit(&self, changes: &[Change]) -> Result<(), StoreError> {
        if changes.is_empty() {
            return Ok(());
        }
        // What can fail without SQLite comes first.
        let mut encoded = Vec::new();
        for change in changes {
            if let Change::Put { record, .. } = change {
                encoded.push(record.encode()?);
            }
        }
        let mut encoded = encoded.into_iter();
        self.write(|transaction| {
            let mut put = transaction.prepare_cached(
                "INSERT INTO sessions (key, ends_at, session, record) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (key)
                 DO UPDATE SET ends_at = excluded.ends_at, session = excluded.session, record = excluded.record",
            )?;
            let mut remove = transaction.prepare_cached("DELETE FROM sessions WHERE key = ?1 AND session = ?2")?;
            for change in changes {
                match change {
                    Change::Put { key, record } => {
                        let bytes = encoded.next().unwrap_or_default();
                        let session = record.session.get() as i64;
                        put.execute(params![key.as_str(), record.ends_at.map(millis), session, bytes])?;
                    }
                    Change::Remove { key, session } => {
                        remove.execute(params![key.as_str(), session.get() as i64])?;
                    }
                    Change::SetAside { key, why } => {
                        let now = millis(SystemTime::now());
                        transaction.execute(
                            "INSERT INTO set_aside (key, at, why, record)
                             SELECT key, ?2, ?3, record FROM sessions WHERE key = ?1",
                            params![key.as_str(), now, why],
                        )?;
                        transaction.execute("DELETE FROM sessions WHERE key = ?1", [key.as_str()])?;
                    }
                    Change::Discard { key } => {
                        transaction.execute("DELETE FROM sessions WHERE key = ?1", [key.as_str()])?;
                    }
                    Change::PutAside(Aside { key, at, why, bytes, .. }) => {
                        transaction.execute(
                            "INSERT INTO set_aside (key, at, why, record) VALUES (?1, ?2, ?3, ?4)",
                            params![key.as_str(), millis(*at), why, bytes],
                        )?;
                    }
                    Change::DiscardAside { key } => {
                        transaction.execute("DELETE FROM set_aside WHERE key = ?1", [key.as_str()])?;
                    }
                    Change::Policy(policy) => {
                        transaction.execute("DELETE FROM texts WHERE name = 'policy'", [])?;
                        transaction.execute(
                            "INSERT INTO texts (name, text) SELECT 'policy', ?1 WHERE ?1 IS NOT NULL",
                            [policy],
                        )?;
                    }
                    other => unreachable!("a change that this store does not know: {other:?}"),
                }
            }
            Ok(())
        })
    }

    fn due(&self, until: SystemTime, limit: usize) -> Result<Vec<Deadline>, StoreError> {
        self.read(|connection| {
            let mut due = connection.prepare_cached(
                "SELECT key, ends_at FROM sessions WHERE ends_at <= ?1 ORDER BY ends_at, key LIMIT ?2",
            )?;
            let deadline = |row: &Row<'_>| Ok(Deadline::new(key_of(row.get(0)?)?, of_millis(row.get(1)?)));
            due.query_map(params![millis(until), limit as i64], deadline)?.collect()
        })
    }

    fn next_deadline(&self) -> Result<Option<SystemTime>, StoreError> {
        self.read(|connection| {
            let mut first = connection.prepare_cached("SELECT min(ends_at) FROM sessions WHERE ends_at IS NOT NULL")?;
            let first: Option<i64> = first.query_row([], |row| row.get(0))?;
            Ok(first.map(of_millis))
        })
    }

    fn page(&self, after: Option<&SessionKey>, limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.read(|connection| {
            // No key is empty.
            let mut page =
                connection.prepare_cached("SELECT key, record FROM sessions WHERE key > ?1 ORDER BY key LIMIT ?2")?;
            let entry = |row: &Row<'_>| {
                let key = key_of(row.get(0)?)?;
                let record = Record::decode(&key, row.get_ref(1)?.as_blob()?);
                Ok(Entry::new(key, record))
            };
            page.query_map(params![after.map_or("", SessionKey::as_str), limit as i64], entry)?.collect()
        })
    }

    fn count(&self) -> Result<u64, StoreError> {
        self.read(|connection| connection.query_row("SELECT count(*) FROM sessions", [], |row| row.get(0)))
            .map(i64::unsigned_abs)
    }

    fn set_aside(&self, limit: usize) -> Result<Vec<Aside>, StoreError> {
        self.read(|connection| {
            let mut all =
                connection.prepare_cached("SELECT key, at, why, record FROM set_aside ORDER BY number LIMIT ?1")?;
            let aside =
                |row: &Row<'_>| Ok(Aside::new(key_of(row.get(0)?)?, of_millis(row.get(1)?), row.get(2)?, row.get(3)?));
            all.query_map([limit as i64], aside)?.collect()
        })
    }

    fn policy(&self) -> Result<Option<String>, StoreError> {
        self.read(|connection| {
            let mut policy = connection.prepare_cached("SELECT text FROM texts WHERE name = 'policy'")?;
            policy.query_row([], |row| row.get(0)).optional()
        })
    }

    fn reserve_ids(&self, count: u64) -> Result<u64, StoreError> {
        let next = self.write(|transaction| {
            transaction.query_row(
                "INSERT INTO meta (name, value) VALUES ('next_id', 1 + ?1)
                 ON CONFLICT (name) DO UPDATE SET value = value + ?1 RETURNING value",
                [count as i64],
                |row| row.get::<_, i64>(0),
            )
        })?;
        Ok(next.unsigned_abs() - count)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use session_actors::store::conformance;

    use super::{super::engine::CACHE, *};

    #[test]
    fn it_is_what_the_registry_relies_on() {
        let (folder, number) = (tempfile::tempdir().unwrap(), Cell::new(0));
        let next = || {
            number.set(number.get() + 1);
            Sqlite::open(&folder.path().join(format!("{}.sqlite", number.get())), CACHE).unwrap()
        };
        conformance::check(next);
        conformance::check_durable(next, |store| {
            let file = store.file.clone();
            drop(store);
            Sqlite::open(&file, CACHE).unwrap()
        });
    }
}
