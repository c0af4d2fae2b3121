//! What can go wrong, one type per operation, each with what to do about it.

use std::{fmt, time::Duration};

use serde::Serialize;
use thiserror::Error;

use crate::{event::EndReason, key::InvalidKey, policy::PolicyError};

/// Why a session could not be opened.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The key is not one.
    #[error(transparent)]
    InvalidKey(#[from] InvalidKey),
    /// As many keys as `max_sessions` allows have a session, and none may be ended to make room.
    #[error("all {limit} sessions that max_sessions allows are taken{}", retry_hint(.retry_after))]
    AtCapacity {
        /// The limit in force.
        limit: usize,
        /// An estimate of when a slot will be free: when the next session is due to expire.
        /// `None` if no session is due to expire at all.
        retry_after: Option<Duration>,
    },
    /// The registry is shutting down, or has.
    #[error("the session registry is shutting down and opens no more sessions")]
    ShuttingDown,
    /// Every arbiter that could run the session has stopped.
    #[error("no arbiter is left to run the session on; start a new registry on a running arbiter")]
    NoHost,
}

fn retry_hint(after: &Option<Duration>) -> String {
    match after {
        Some(after) => format!(
            "; the next one is due to end in {}: retry then, or raise max_sessions",
            humantime::format_duration(Duration::from_millis(u64::try_from(after.as_millis()).unwrap_or(u64::MAX)))
        ),
        None => "; none of them is due to end: close some, give them limits, or raise \
                 max_sessions"
            .to_owned(),
    }
}

/// Why a message sent through the registry was not answered.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError<M> {
    /// No session could be opened for it. The message is given back.
    Refused {
        /// Why not.
        cause: OpenError,
        /// The message, unhandled.
        message: M,
    },
    /// `mailbox_capacity` messages wait for this session already. The message is given back.
    Full {
        /// The message, unhandled.
        message: M,
    },
    /// The session accepted it and then could not answer. The message may have been handled.
    Unserved {
        /// What happened.
        cause: Unserved,
    },
}

impl<M> SendError<M> {
    /// The message, if it was never accepted and may be sent again.
    pub fn into_message(self) -> Option<M> {
        match self {
            Self::Refused { message, .. } | Self::Full { message } => Some(message),
            Self::Unserved { .. } => None,
        }
    }
}

// By hand: a message need not be `Debug` for its error to be one.
impl<M> fmt::Debug for SendError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { cause, .. } => f.debug_struct("Refused").field("cause", cause).finish_non_exhaustive(),
            Self::Full { .. } => f.debug_struct("Full").finish_non_exhaustive(),
            Self::Unserved { cause } => f.debug_struct("Unserved").field("cause", cause).finish(),
        }
    }
}

impl<M> fmt::Display for SendError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { cause, .. } => cause.fmt(f),
            Self::Full { .. } => f.write_str(
                "the session's mailbox is full: it is slower than its senders; retry later, or \
                 raise mailbox_capacity",
            ),
            Self::Unserved { cause } => cause.fmt(f),
        }
    }
}

impl<M> std::error::Error for SendError<M> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Refused { cause, .. } => Some(cause),
            Self::Unserved { cause } => Some(cause),
            Self::Full { .. } => None,
        }
    }
}

/// Why a session could not be closed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CloseError {
    /// There is no session of this key, neither in memory nor in the store.
    #[error("there is no session of this key")]
    NotFound,
    /// The store, which may have it, could not be asked, or could not remove it, for as long as the registry's
    /// `store_timeout`. A session that it has is still there.
    #[error("the store did not let the session be ended: {error}; close it again later")]
    Store {
        /// What the store said.
        error: String,
    },
    /// Every arbiter that could look after it has stopped. One in memory ends all the same.
    #[error("no arbiter is left to look after it; start a new registry on a running arbiter")]
    NoHost,
}

/// What became of a message that was accepted and not answered.
#[derive(Debug, Clone, PartialEq, Eq, Error, Serialize)]
#[serde(tag = "unserved", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Unserved {
    /// Its session ended first, or while the reply was being made.
    #[error("the session ended ({reason}) before it answered{}", panic_hint(.panic))]
    Ended {
        /// Why it ended.
        reason: EndReason,
        /// The words of the panic, if it was one.
        panic: Option<String>,
    },
    /// The factory or the start of the session panicked.
    #[error("the session could not be started: {panic}")]
    StartFailed {
        /// The words of the panic.
        panic: String,
    },
    /// The future that made this reply panicked; the session goes on.
    #[error("the reply's future panicked: {panic}")]
    ReplyPanicked {
        /// The words of the panic.
        panic: String,
    },
    /// The arbiter that was to run the session stopped, and there was no other.
    #[error("the arbiter of the session stopped before it was started")]
    HostGone,
    /// It waited for a slot that an evicted session was to free, and none became free.
    #[error("no slot became free for the session")]
    NoRoom,
    /// The store could not give the session, which was not started for it. Its record is kept, or set aside if it
    /// cannot be read.
    #[error("the session could not be restored from its store: {error}")]
    NotRestored {
        /// What the store said.
        error: String,
    },
    /// It was handled, and the state behind its reply could not be saved in time (`checkpoint = "always"`). It is
    /// saved when the store can be reached again, unless the process ends before.
    #[error("the message was handled, but the session's state could not be saved: {error}")]
    NotSaved {
        /// What the store said.
        error: String,
    },
    /// The handler let the reply sender go without a word.
    #[error("the session's handler dropped the reply")]
    ReplyDropped,
}

/// Why a checkpoint that was asked for is not on disk.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NotSaved {
    /// The store could not save the session in time. It goes on trying.
    #[error("the session could not be saved: {error}")]
    Store {
        /// What the store said.
        error: String,
    },
    /// The session ended first.
    #[error("the session ended before it was saved")]
    Ended,
}

fn panic_hint(panic: &Option<String>) -> String {
    panic.as_ref().map_or_else(String::new, |panic| format!(": {panic}"))
}

/// Why a registry could not be started.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum StartError {
    /// The policy contradicts itself.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// `start` was called outside of an actix `System`.
    #[error(
        "no arbiter is running on this thread: call start inside an actix System (for example \
         under #[actix::main]), or give the registry arbiters of its own with .arbiters(n) there"
    )]
    NoArbiter,
    /// A thread for one of `.arbiters(n)` could not be started.
    #[error(
        "could not start a thread for an arbiter: {error}; give the registry fewer arbiters, or the process more threads"
    )]
    NoThread {
        /// The operating system's words.
        error: String,
    },
    /// The store cannot be used.
    #[cfg(feature = "store")]
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
    /// A setting of the builder is out of range.
    #[error("{setting} is {value}; it must be from {least} to {most}")]
    InvalidSetting {
        /// The name of the builder's method.
        setting: &'static str,
        /// What was given.
        value: usize,
        /// The least that is allowed.
        least: usize,
        /// The most that is allowed.
        most: usize,
    },
}

/// Why a shutdown could not be waited for.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ShutdownError {
    /// A session cannot wait for the end of all sessions, itself included.
    #[error(
        "shutdown was called from inside a session of this registry, which would wait for itself; \
         call it from outside, for example in a task of its own"
    )]
    InsideSession,
}
