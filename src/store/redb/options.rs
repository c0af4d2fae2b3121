//! How the embedded store is opened.

/// How a [`RedbStore`](super::RedbStore) is opened.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RedbOptions {
    pub(super) cache: usize,
    pub(super) create: bool,
    pub(super) quick_repair: bool,
}

impl Default for RedbOptions {
    fn default() -> Self {
        Self { cache: 64 << 20, create: true, quick_repair: false }
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

    /// Whether the file opens at once after a crash too. Without it, redb then walks through all of it first: about a
    /// second for a million sessions, more if it has to come from disk. With it, every commit takes two fsyncs instead
    /// of one. After a shutdown a file opens at once either way. Defaults to false.
    #[must_use]
    pub fn quick_repair(mut self, quick: bool) -> Self {
        self.quick_repair = quick;
        self
    }

    /// How many bytes of the file may be kept in memory. Defaults to 64 MiB.
    #[must_use]
    pub fn cache_bytes(mut self, bytes: usize) -> Self {
        self.cache = bytes;
        self
    }
}
