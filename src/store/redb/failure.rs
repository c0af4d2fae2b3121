//! What a call to redb can come to, and how that is told.

use std::{
    fmt, io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

use redb::{CommitError, DatabaseError, StorageError, TableError, TransactionError};

use crate::{session::panics::panic_message, store::StoreError};

/// What a call to redb can come to.
pub(super) enum Failure {
    Storage(StorageError),
    /// A table is not what it has to be.
    Table(TableError),
    Poisoned,
    /// redb panics at a page that is none.
    Panicked(String),
    Store(StoreError),
}

impl Failure {
    /// redb answers nothing more until the file is opened again.
    pub(super) fn is_final(&self) -> bool {
        match self {
            Self::Storage(error) => !matches!(error, StorageError::ValueTooLarge(_)),
            Self::Table(_) | Self::Poisoned | Self::Panicked(_) => true,
            Self::Store(_) => false,
        }
    }

    /// As whoever called the store is told it, which is in this file.
    pub(super) fn at(self, file: &Path) -> StoreError {
        let place = |error: &dyn fmt::Display| format!("{}: {error}", file.display());
        match self {
            Self::Store(error) => error,
            Self::Storage(StorageError::Io(error)) if is_full(&error) => StoreError::Full(place(&error)),
            Self::Storage(StorageError::Corrupted(why)) => damaged(file, &why),
            Self::Storage(error) => StoreError::Unavailable(place(&error)),
            Self::Table(error) => damaged(file, &error),
            Self::Panicked(why) => damaged(file, &why),
            Self::Poisoned => StoreError::Unavailable(place(&"a change was left half made and taken back")),
        }
    }
}

/// Why a file cannot be opened.
pub(super) fn not_opened(error: DatabaseError, file: &Path) -> StoreError {
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
            StoreError::InUse(file.display().to_string())
        }
        DatabaseError::Storage(StorageError::Io(error)) if error.kind() == io::ErrorKind::InvalidData => {
            damaged(file, &error)
        }
        DatabaseError::Storage(StorageError::Io(error)) if hint(error.kind()).is_some() => {
            StoreError::Unavailable(format!("{}: {error}; {}", file.display(), hint(error.kind()).unwrap_or_default()))
        }
        DatabaseError::Storage(error) => Failure::Storage(error).at(file),
        error => damaged(file, &error),
    }
}

/// What whoever runs it can do.
fn hint(kind: io::ErrorKind) -> Option<&'static str> {
    match kind {
        io::ErrorKind::NotFound => Some("is the path right? A folder is not made"),
        io::ErrorKind::PermissionDenied => Some("it has to be readable and writable"),
        io::ErrorKind::IsADirectory => Some("name a file in it"),
        _ => None,
    }
}

fn damaged(file: &Path, why: &dyn fmt::Display) -> StoreError {
    StoreError::Damaged { file: file.display().to_string(), why: why.to_string() }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge)
}

/// Calls redb, whose panics are failures.
pub(super) fn caught<T>(call: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|payload| Err(Failure::Panicked(panic_message(payload))))
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
