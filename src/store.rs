//! Where sessions are kept while they are not in memory, and what has to be known of a store to write one.
//!
//! # Ground rules
//!
//! * **A store blocks.** It is called on threads made for it, never on an arbiter's, and may take its time. Who asks it
//!   waits no longer than it wants to.
//! * **One writer.** Changes come as batches, from one thread, each in the order they were made. A batch is applied as a
//!   whole or not at all, and is on disk when [`Store::commit`] returns: many sessions, one fsync. Readers may come at any
//!   time, from other threads, and see whole batches.
//! * **Cost follows what is asked.** What is due is found by an index of deadlines; nothing but
//!   [`Store::page`] goes through all records, and that in pages.
//! * **What cannot be read is kept.** A record that does not decode is set aside, with its bytes, for a person to look at.
//!
//! Times are those of the system clock, in whole milliseconds.

mod error;
mod record;

#[cfg(feature = "test-util")]
pub mod conformance;
#[cfg(feature = "test-util")]
mod memory;
#[cfg(feature = "redb")]
mod redb;

use std::time::SystemTime;

#[cfg(feature = "test-util")]
pub use self::memory::{Faults, MemoryStore};
#[cfg(feature = "redb")]
pub use self::redb::{RedbOptions, RedbStore};
pub use self::{
    error::StoreError,
    record::{Record, State},
};
use crate::{event::SessionId, key::SessionKey};

/// Keeps one record for each key.
///
/// Write one for another engine, and run `store::conformance` (feature `test-util`) over it: it is
/// what the registry relies on.
pub trait Store: Send + Sync + 'static {
    /// The record of a key.
    ///
    /// # Errors
    ///
    /// [`StoreError::Undecodable`] if there is one that cannot be read; it stays where it is until it is
    /// [set aside](Change::SetAside). Otherwise, why the store cannot be asked.
    fn load(&self, key: &SessionKey) -> Result<Option<Record>, StoreError>;

    /// Makes these changes, in order, all or none; they are durable when it returns. An empty batch is none.
    ///
    /// # Errors
    ///
    /// Why nothing was changed.
    fn commit(&self, changes: &[Change]) -> Result<(), StoreError>;

    /// The deadlines ([`Record::ends_at`]) up to and including `until`, the earliest first, `limit` at most. Costs what
    /// it finds.
    ///
    /// # Errors
    ///
    /// Why the store cannot be asked.
    fn due(&self, until: SystemTime, limit: usize) -> Result<Vec<Deadline>, StoreError>;

    /// The earliest deadline of all.
    ///
    /// # Errors
    ///
    /// Why the store cannot be asked.
    fn next_deadline(&self) -> Result<Option<SystemTime>, StoreError>;

    /// Records in the order of their keys, from the one after `after`, `limit` at most; fewer only at the end. One that
    /// cannot be read is in it with the reason.
    ///
    /// # Errors
    ///
    /// Why the store cannot be asked.
    fn page(&self, after: Option<&SessionKey>, limit: usize) -> Result<Vec<Entry>, StoreError>;

    /// How many records there are, without those set aside.
    ///
    /// # Errors
    ///
    /// Why the store cannot be asked.
    fn count(&self) -> Result<u64, StoreError>;

    /// Those set aside, the oldest first, `limit` at most.
    ///
    /// # Errors
    ///
    /// Why the store cannot be asked.
    fn set_aside(&self, limit: usize) -> Result<Vec<Aside>, StoreError>;

    /// What [`Change::Policy`] has put last: the policy by which all deadlines were computed. A registry that starts with
    /// another one computes them anew.
    ///
    /// # Errors
    ///
    /// Why the store cannot be asked.
    fn policy(&self) -> Result<Option<String>, StoreError>;

    /// The first of `count` session ids that nobody has been given and nobody will be given again, also after a restart.
    /// Ids begin at 1.
    ///
    /// # Errors
    ///
    /// Why none can be given.
    fn reserve_ids(&self, count: u64) -> Result<u64, StoreError>;

    /// Whether no call ever waits for anything. Then the registry makes its calls right where it needs them, without
    /// threads of their own: for stores in memory, whose tests are thereby exact under a paused clock.
    fn is_immediate(&self) -> bool {
        false
    }
}

/// One change to a store.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Change {
    /// This is the record of the key from now on.
    Put {
        /// Whose.
        key: SessionKey,
        /// What to keep.
        record: Record,
    },
    /// The key has no record any more, if it is of this session. A late end cannot take out its successor's.
    Remove {
        /// Whose.
        key: SessionKey,
        /// Of which incarnation.
        session: SessionId,
    },
    /// The record of the key cannot be read: it goes out of the way, with its bytes. Nothing happens if there is none.
    SetAside {
        /// Whose.
        key: SessionKey,
        /// Why it cannot be read.
        why: String,
    },
    /// The key has no record any more, of whichever session it is and whether it can be read or not. For whoever tends
    /// the store; no registry asks for it.
    Discard {
        /// Whose.
        key: SessionKey,
    },
    /// This is among what was set aside, as in a copy of another store. For whoever tends the store.
    PutAside(Aside),
    /// Nothing of the key is set aside any more. For whoever tends the store.
    DiscardAside {
        /// Whose.
        key: SessionKey,
    },
    /// By which policy the deadlines of all records were computed; `None` if that is no longer, or not yet, one for all.
    /// To be put, too, by whoever puts records that no registry made.
    Policy(Option<String>),
}

/// When the session of a key ends if nobody comes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Deadline {
    /// Whose.
    pub key: SessionKey,
    /// When.
    pub at: SystemTime,
}

impl Deadline {
    /// For stores.
    pub fn new(key: SessionKey, at: SystemTime) -> Self {
        Self { key, at }
    }
}

/// One of a [page](Store::page).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Entry {
    /// Whose.
    pub key: SessionKey,
    /// What is kept, or why it cannot be read.
    pub record: Result<Record, StoreError>,
}

impl Entry {
    /// For stores.
    pub fn new(key: SessionKey, record: Result<Record, StoreError>) -> Self {
        Self { key, record }
    }
}

/// A record that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Aside {
    /// Whose.
    pub key: SessionKey,
    /// When it was set aside.
    pub at: SystemTime,
    /// Why.
    pub why: String,
    /// What there was.
    pub bytes: Vec<u8>,
}

impl Aside {
    /// For stores.
    pub fn new(key: SessionKey, at: SystemTime, why: String, bytes: Vec<u8>) -> Self {
        Self { key, at, why, bytes }
    }
}
