//! How the embedded store is opened.

/// How a [`RedbStore`](super::RedbStore) is opened.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RedbOptions {
    pub(super) cache: usize,
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
