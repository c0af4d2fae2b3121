//! One JSON file for all sessions, as many gateways have it: a map in memory, written as a whole at every save.
//!
//! It is written as well as such a file can be: to a file beside it, with an fsync, then renamed over the old one, then
//! an fsync of the folder, so that a crash leaves the old or the new one. Requests that come together are saved together.
//!
//! What it cannot do: save one session without all others, so that a message to one costs what a million weigh; let a
//! session leave memory; find what is due without looking at everything; go on past one record that cannot be read; or
//! answer anybody while it turns the map into text, since that must not change meanwhile.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, BufWriter, Write as _},
    path::{Path, PathBuf},
    time::SystemTime,
};

use serde::{Deserialize, Serialize};

use super::{
    chat::{DAY, Remembered, key},
    engine::shuffled,
};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Kept {
    opened_at: u64,
    last_activity: u64,
    ends_at: u64,
    handled: u64,
    state: Remembered,
}

pub(crate) struct OneFile {
    file: PathBuf,
    sessions: HashMap<String, Kept>,
}

fn millis(at: SystemTime) -> u64 {
    at.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

impl OneFile {
    /// Reads it all, if it is there.
    pub(crate) fn open(file: &Path) -> io::Result<Self> {
        let sessions = match fs::read(file) {
            Ok(text) => serde_json::from_slice(&text)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => HashMap::new(),
            Err(error) => return Err(error),
        };
        Ok(Self { file: file.to_owned(), sessions })
    }

    pub(crate) fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Handles a message, which makes the session if there is none.
    pub(crate) fn say(&mut self, key: &str) -> u64 {
        let now = SystemTime::now();
        let kept = self.sessions.entry(key.to_owned()).or_insert_with(|| Kept {
            opened_at: millis(now),
            last_activity: 0,
            ends_at: 0,
            handled: 0,
            state: Remembered::of(key),
        });
        kept.last_activity = millis(now);
        kept.ends_at = millis(now + DAY);
        kept.handled += 1;
        kept.state.turn()
    }

    /// Ends what is due: it looks at everything. Returns how many have ended.
    pub(crate) fn sweep(&mut self) -> usize {
        let (now, before) = (millis(SystemTime::now()), self.sessions.len());
        self.sessions.retain(|_, kept| kept.ends_at > now);
        before - self.sessions.len()
    }

    /// Saves it all; it is on disk when this returns.
    pub(crate) fn save(&self) -> io::Result<()> {
        let beside = self.file.with_extension("new");
        let mut writer = BufWriter::with_capacity(1 << 20, File::create(&beside)?);
        serde_json::to_writer(&mut writer, &self.sessions)?;
        writer.flush()?;
        writer.get_ref().sync_all()?;
        fs::rename(&beside, &self.file)?;
        match self.file.parent() {
            // Where a folder cannot be opened, a rename cannot be waited for.
            Some(folder) if cfg!(unix) => File::open(folder)?.sync_all(),
            _ => Ok(()),
        }
    }

    /// As a store is filled.
    pub(crate) fn fill(&mut self, count: usize, due_every: Option<usize>) {
        let now = SystemTime::now();
        for number in shuffled(count) {
            let due = due_every.is_some_and(|every| number.is_multiple_of(every));
            let saved = if due { now - 2 * DAY } else { now };
            let key = key(number);
            let kept = Kept {
                opened_at: millis(saved) - 3_600_000,
                last_activity: millis(saved),
                ends_at: millis(saved + DAY),
                handled: 1_000,
                state: Remembered::of(key.as_str()),
            };
            self.sessions.insert(key.as_str().to_owned(), kept);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_as_it_was_saved_without_what_was_due() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sessions.json");
        let mut sessions = OneFile::open(&file).unwrap();
        sessions.fill(1_000, Some(100));
        assert_eq!(sessions.say(key(1).as_str()), 1_001);
        sessions.save().unwrap();
        let mut read = OneFile::open(&file).unwrap();
        assert_eq!(read.sessions, sessions.sessions);
        assert_eq!((read.sweep(), read.len()), (10, 990));
    }
}
