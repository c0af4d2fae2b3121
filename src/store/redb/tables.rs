//! The tables of the file, and how changes are made in them.

use std::time::SystemTime;

use redb::{ReadableTable, StorageError, TableDefinition, WriteTransaction};

use super::failure::Failure;
use crate::{
    event::SessionId,
    key::SessionKey,
    store::{Aside, Change, record::millis},
};

/// Of a key: its deadline in milliseconds ([`NEVER`] if it has none), its session, its record as JSON. The first two are
/// in the record as well, but a change must not have to decode what it replaces.
pub(super) const SESSIONS: TableDefinition<'_, &str, (u64, u64, &[u8])> = TableDefinition::new("sessions");
/// The index of deadlines: what is due is a range of it.
pub(super) const DEADLINES: TableDefinition<'_, (u64, &str), ()> = TableDefinition::new("deadlines");
/// By number: the key, when in milliseconds, why, the bytes.
pub(super) const ASIDE: TableDefinition<'_, u64, (&str, u64, &str, &[u8])> = TableDefinition::new("set_aside");
pub(super) const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

/// Under [`POLICY`]: by which all deadlines were computed.
pub(super) const TEXTS: TableDefinition<'_, &str, &str> = TableDefinition::new("texts");
pub(super) const POLICY: &str = "policy";

/// In `META`: of these tables.
pub(super) const FORMAT: &str = "format";
pub(super) const KNOWN_FORMAT: u64 = 1;
/// In `META`: the next session id that is free.
pub(super) const NEXT_ID: &str = "next_id";

pub(super) const NEVER: u64 = u64::MAX;

/// Makes the tables of a new file. Returns the format of the file.
pub(super) fn set_up(transaction: &WriteTransaction) -> Result<u64, Failure> {
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

/// A key as it was stored: it was one when it was put there.
pub(super) fn key_of(text: &str) -> Result<SessionKey, Failure> {
    SessionKey::new(text).map_err(|error| Failure::Storage(StorageError::Corrupted(error.to_string())))
}

/// Makes the changes in a transaction, which is dropped, and with it all of them, if one fails.
pub(super) fn make(transaction: &WriteTransaction, changes: &[Change]) -> Result<(), Failure> {
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
                    put_aside(transaction, &Aside::new(key.clone(), SystemTime::now(), why.clone(), bytes))?;
                }
            }
            Change::Discard { key } => drop(take(&mut sessions, &mut deadlines, key)?),
            Change::PutAside(aside) => put_aside(transaction, aside)?,
            Change::DiscardAside { key } => {
                transaction.open_table(ASIDE)?.retain(|_, (whose, ..)| whose != key.as_str())?;
            }
        }
    }
    Ok(())
}

fn put_aside(transaction: &WriteTransaction, put: &Aside) -> Result<(), Failure> {
    let mut aside = transaction.open_table(ASIDE)?;
    let number = aside.last()?.map_or(0, |(number, _)| number.value() + 1);
    aside.insert(number, (put.key.as_str(), millis(put.at), put.why.as_str(), put.bytes.as_slice()))?;
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
