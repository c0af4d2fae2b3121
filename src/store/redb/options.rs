//! How the embedded store is opened.

/// How a [`RedbStore`](super::RedbStore) is opened.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RedbOptions {
    pub(super) cache: usize,
    pub(super) create: bool,
}

impl Default for RedbOptions {
    fn default() -> Self {
        Self { cache: 64 << 20, create: true }
    }
}

impl RedbOptions {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether a file that is not there is made. Defaults to true.
    #[must_use]
    pub fn create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// How many bytes of the file may be kept in memory. Defaults to 64 MiB.
    #[must_use]
    pub fn cache_bytes(mut self, bytes: usize) -> Self {
        self.cache = bytes;
        self
    }
}
