//! Why a store cannot do what it was asked.

use crate::key::SessionKey;

/// Why a store cannot do what it was asked, and what helps.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// It cannot be read or written now. Worth another try.
    #[error("the session store cannot be reached: {0}")]
    Unavailable(String),
    /// There is no room for more. Worth another try when somebody has made some.
    #[error("the session store has no room left: {0}; free some space, nothing that was stored is lost")]
    Full(String),
    /// Another process, or another registry of this one, has it open.
    #[error("{0} is in use: one process at a time can have it open; stop the other, or use another file")]
    InUse(String),
    /// Its file is not what it has to be.
    #[error(
        "{file} is damaged or no session store ({why}); move it away, and restore a copy or start with an empty one"
    )]
    Damaged {
        /// Which file.
        file: String,
        /// What was found.
        why: String,
    },
    /// It was written by a later version of this crate.
    #[error("the session store has format {found}, and this version knows formats up to {known}: use a later version")]
    Format {
        /// What it has.
        found: u64,
        /// The latest that is known.
        known: u64,
    },
    /// The record of this key cannot be read.
    #[error("the stored session of {key} cannot be read ({why}); its record is kept")]
    Undecodable {
        /// Whose.
        key: SessionKey,
        /// Why not.
        why: String,
    },
    /// A state cannot be written as JSON.
    #[error("a session's state cannot be written: {0}")]
    Unencodable(String),
}

impl StoreError {
    /// Whether the same call may succeed later without anybody having changed what is asked.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Full(_))
    }
}
