//! Who takes part: the session that all of them keep, and where they keep it.

pub(crate) mod chat;
pub(crate) mod engine;
pub(crate) mod one_file;
pub(crate) mod sqlite;
