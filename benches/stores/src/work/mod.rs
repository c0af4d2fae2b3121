//! The work, the same for every contender.

pub(crate) mod checkpoint;
pub(crate) mod disk;
pub(crate) mod passivate;
pub(crate) mod rest;
pub(crate) mod restore;
pub(crate) mod start;

use std::{
    error::Error,
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use crate::contenders::chat::{Registry, Say, handled, key};

/// A row of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Work {
    /// Many sessions rest and leave memory.
    Passivate,
    /// One comes back.
    Restore,
    /// Messages without a store.
    NoStore,
    /// Messages with `checkpoint = "end"`.
    End,
    /// Messages with `checkpoint = "1s"`.
    EverySecond,
    /// Messages with `checkpoint = "always"`.
    Always,
    /// Bytes on disk.
    Disk,
    /// A start with a million sessions in the store.
    Start,
    /// Bytes in memory of sessions that are not there.
    Rest,
}

/// How much of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scale {
    Full,
    /// So that it cannot rot: seconds instead of minutes, and the figures mean nothing.
    Short,
}

pub(crate) type Outcome = Result<Vec<Figure>, Box<dyn Error>>;

/// One figure of one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) value: f64,
    pub(crate) unit: String,
}

impl Figure {
    fn new(name: impl Into<String>, value: f64, unit: &str) -> Self {
        Self { name: name.into(), value, unit: unit.into() }
    }
}

impl Work {
    /// Those of one title share a table.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Passivate => "passivate",
            Self::Restore => "restore",
            Self::NoStore | Self::End | Self::EverySecond | Self::Always => "messages",
            Self::Disk => "disk",
            Self::Start => "start",
            Self::Rest => "rest",
        }
    }

    pub(crate) fn describes(self) -> &'static str {
        match self {
            Self::Passivate => {
                "100,000 live sessions fall due within the time it takes to send each a message: from the first deadline \
                 until the last has left memory, saved. The JSON file saves all of them once, and none leaves."
            }
            Self::Restore => {
                "A message by key to a session that is among 100,000 in the store, until its answer; the file is in \
                 memory. 20,000 keys one after the other, then 20,000 by 64 callers at once."
            }
            Self::NoStore | Self::End | Self::EverySecond | Self::Always => {
                "Messages by key to so many sessions at once. *Asked*: a caller for each session, who waits for every \
                 answer. *Told*: nobody waits, a thousand are queued at a time; with `always` their saves go on behind \
                 them. The time is that of the whole for each message. *By hand*: a commit for each message, one after \
                 the other, in the same engine. The JSON file is saved for all that ask together; *bare file*: 400 bytes \
                 appended, and an fsync."
            }
            Self::Disk => {
                "Size of the file for each session, whose state has 200 bytes and whose record 380, filled in batches \
                 of 10,000 in the order in which they come, not of their keys."
            }
            Self::Start => {
                "1,000,000 sessions in the file, of which 1,000 were due while nobody was there. Closed: as after a \
                 shutdown. Killed: as after `kill -9`. The file is in the page cache."
            }
            Self::Rest => {
                "Memory for each session that has left it, with a cache of 1 MiB: what is left when 100,000 that were \
                 live at once have gone, and what each of 900,000 more adds that come and go in batches of 10,000. \
                 `allocated` is counted by the allocator, without that of SQLite, which has its own; VmRSS by the system."
            }
        }
    }

    /// Of so many: some take a minute each.
    pub(crate) fn rounds(self, rounds: usize) -> usize {
        match self {
            Self::Disk | Self::Rest => 1,
            Self::Start => rounds.min(3),
            _ => rounds,
        }
    }
}

/// Where the files of a run go, and how much is to be done.
pub(crate) struct Place {
    /// Of this process; it goes with it.
    own: TempDir,
    /// For what others need as well.
    shared: PathBuf,
    pub(crate) scale: Scale,
}

impl Place {
    pub(crate) fn new(shared: &Path, scale: Scale) -> io::Result<Self> {
        let own = tempfile::Builder::new().prefix("one-").tempdir_in(shared)?;
        Ok(Self { own, shared: shared.to_owned(), scale })
    }

    fn pick<T>(&self, full: T, short: T) -> T {
        match self.scale {
            Scale::Full => full,
            Scale::Short => short,
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.own.path().join(name)
    }

    /// A copy of a folder that takes long to fill, which is filled if no earlier run has left it. All on disk, so that
    /// nobody's fsync has to wait for it.
    fn copy_of(
        &self,
        name: &str,
        fill: impl FnOnce(&Path) -> Result<(), Box<dyn Error>>,
    ) -> Result<PathBuf, Box<dyn Error>> {
        let (filled, copy) = (self.shared.join(name), self.file(name));
        if !filled.exists() {
            let beside = self.file("to-be-filled");
            fs::create_dir(&beside)?;
            fill(&beside)?;
            fs::rename(beside, &filled)?;
        }
        copy_files(&filled, &copy)?;
        Ok(copy)
    }
}

/// All files of a folder into another one, which is made.
fn copy_files(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let copy = to.join(entry.file_name());
        fs::copy(entry.path(), &copy)?;
        fs::OpenOptions::new().write(true).open(copy)?.sync_all()?;
    }
    Ok(())
}

/// The size of a file and of what its engine has put beside it.
fn size(file: &Path) -> io::Result<u64> {
    let name = file.file_name().unwrap_or_default().as_encoded_bytes();
    let mut size = 0;
    for entry in fs::read_dir(file.parent().unwrap_or(file))? {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().starts_with(name) {
            size += entry.metadata()?.len();
        }
    }
    Ok(size)
}

fn nanos(time: Duration) -> f64 {
    time.as_secs_f64() * 1e9
}

fn millis(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

/// Of sorted values.
fn percentile(sorted: &[f64], percent: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    let at = (percent / 100.0 * last as f64).round() as usize;
    sorted.get(at).copied().unwrap_or(f64::NAN)
}

/// Sends each of these sessions a message, some at a time, and waits for the answers.
async fn ask_all(registry: &Registry, numbers: impl Iterator<Item = usize>) -> Result<(), Box<dyn Error>> {
    let mut numbers = numbers.peekable();
    while numbers.peek().is_some() {
        let answers: Vec<_> = numbers.by_ref().take(256).map(|number| registry.send(key(number), Say)).collect();
        for answer in futures_util::future::join_all(answers).await {
            answer?;
        }
    }
    Ok(())
}

/// Waits until so many messages were handled on this thread, and lets everybody run meanwhile.
async fn wait_for_handled(count: u64) {
    while handled() < count {
        tokio::task::yield_now().await;
    }
}

/// Waits until it holds; looks every millisecond.
async fn wait_until(mut holds: impl FnMut() -> bool, within: Duration) -> Result<(), String> {
    let begin = Instant::now();
    while !holds() {
        if begin.elapsed() > within {
            return Err(format!("not within {within:?}"));
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}
