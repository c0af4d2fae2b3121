//! `export` and `import`.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, BufWriter, IsTerminal, Write},
    path::Path,
};

use serde::Serialize;
use session_actors::{
    SessionKey,
    store::{Change, Store, StoreError},
};

use crate::{
    Outcome,
    args::Existing,
    line::{Line, SetAside},
    output::Output,
    spoken::count,
    walk::{Walk, progress},
};

/// Imported together.
const BATCH: usize = 1_000;

#[derive(Serialize)]
struct Exported {
    sessions: u64,
    set_aside: u64,
    unreadable: u64,
}

pub(crate) fn export(store: &impl Store, to: Option<&Path>, output: &mut Output) -> Outcome {
    let mut exported = Exported { sessions: 0, set_aside: 0, unreadable: 0 };
    let mut write = |to: &mut dyn Write| -> Result<(), Box<dyn std::error::Error>> {
        for entry in Walk::new(store, "exporting")? {
            let entry = entry?;
            match entry.record {
                Ok(record) => {
                    write_line(to, &Line { key: entry.key, record: Some(record), set_aside: None })?;
                    exported.sessions += 1;
                }
                Err(error) => {
                    exported.unreadable += 1;
                    writeln!(io::stderr(), "session-store: {error}")?;
                }
            }
        }
        for aside in store.set_aside(usize::MAX)? {
            let set_aside = Some(SetAside::of(&aside));
            write_line(to, &Line { key: aside.key, record: None, set_aside })?;
            exported.set_aside += 1;
        }
        Ok(to.flush()?)
    };
    match to {
        None => write(output)?,
        Some(file) => {
            let named = |error: io::Error| format!("{}: {error}", file.display());
            let created = File::create_new(file).map_err(named)?;
            let mut to = BufWriter::new(created);
            write(&mut to)?;
            to.into_inner().map_err(io::IntoInnerError::into_error).and_then(|file| file.sync_all()).map_err(named)?;
            say(&exported, output)?;
        }
    }
    if exported.unreadable > 0 {
        let unreadable = count(exported.unreadable, "record");
        return Err(format!(
            "{unreadable} cannot be read and did not go along: `check --repair` sets them aside, and then they do"
        )
        .into());
    }
    Ok(true)
}

fn say(exported: &Exported, output: &mut Output) -> io::Result<()> {
    if output.json {
        return output.object(exported);
    }
    let (sessions, aside) = (count(exported.sessions, "session"), exported.set_aside);
    output.say(format!("{sessions} exported, and {aside} that were set aside"))
}

fn write_line(to: &mut dyn Write, line: &Line) -> io::Result<()> {
    serde_json::to_writer(&mut *to, line)?;
    to.write_all(b"\n")
}

#[derive(Serialize, Default)]
struct Imported {
    sessions: u64,
    set_aside: u64,
    /// Their keys had sessions.
    kept: u64,
}

pub(crate) fn import(store: &impl Store, from: Option<&Path>, existing: Existing, output: &mut Output) -> Outcome {
    let lines: Box<dyn BufRead> = match from {
        Some(file) => {
            Box::new(BufReader::new(File::open(file).map_err(|error| format!("{}: {error}", file.display()))?))
        }
        None if io::stdin().is_terminal() => return Err("name the file to import, or pipe it in".into()),
        None => Box::new(io::stdin().lock()),
    };
    let mut importing = Importing { store, existing, batch: Vec::new(), last_id: 0, done: Imported::default() };
    let progress = progress(None, "importing");
    for (number, line) in (1..).zip(lines.lines()) {
        let taken = line.map_err(|error| error.to_string()).and_then(|line| importing.take(&line));
        if let Err(error) = taken.and_then(|()| importing.commit_if(BATCH)) {
            // What is before it is as good as any.
            importing.commit_if(1)?;
            let Imported { sessions, set_aside, .. } = importing.done;
            let done = format!("{} and {set_aside} set aside before it were imported", count(sessions, "session"));
            return Err(format!("line {number}: {error} ({done})").into());
        }
        progress.inc(1);
    }
    importing.commit_if(1)?;
    progress.finish_and_clear();
    let done = &importing.done;
    if output.json {
        output.object(done)?;
    } else {
        let Imported { sessions, set_aside, kept } = done;
        let sessions = count(*sessions, "session");
        output.say(format!("{sessions} imported, and {set_aside} that were set aside; {kept} left as they were"))?;
    }
    Ok(true)
}

struct Importing<'s, S> {
    store: &'s S,
    existing: Existing,
    batch: Vec<Change>,
    /// The largest session id that came.
    last_id: u64,
    done: Imported,
}

impl<S: Store> Importing<'_, S> {
    fn take(&mut self, line: &str) -> Result<(), String> {
        if line.trim().is_empty() {
            return Ok(());
        }
        let line: Line = serde_json::from_str(line).map_err(|error| format!("not a line of an export: {error}"))?;
        match line {
            Line { key, record: Some(record), set_aside: None } => {
                if self.is_taken(&key)? {
                    match self.existing {
                        Existing::Refuse => {
                            return Err(format!(
                                "{key} has a session already; --existing keep or --existing replace says what to do"
                            ));
                        }
                        Existing::Keep => {
                            self.done.kept += 1;
                            return Ok(());
                        }
                        Existing::Replace => {}
                    }
                }
                self.last_id = self.last_id.max(record.session.get());
                self.done.sessions += 1;
                self.batch.push(Change::Put { key, record });
            }
            Line { key, record: None, set_aside: Some(aside) } => {
                self.batch.push(Change::PutAside(aside.into_aside(key)?));
                self.done.set_aside += 1;
            }
            _ => return Err("a line has either a record or what was set aside".into()),
        }
        Ok(())
    }

    /// Also by a line before it.
    fn is_taken(&self, key: &SessionKey) -> Result<bool, String> {
        if self.batch.iter().any(|change| matches!(change, Change::Put { key: taken, .. } if taken == key)) {
            return Ok(true);
        }
        match self.store.load(key) {
            Ok(record) => Ok(record.is_some()),
            Err(StoreError::Undecodable { .. }) => Ok(true),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Once there are so many.
    fn commit_if(&mut self, least: usize) -> Result<(), String> {
        if self.batch.len() < least {
            return Ok(());
        }
        // First, so that no gateway gives one of these ids to a new session.
        skip_ids(self.store, self.last_id).map_err(|error| error.to_string())?;
        // Their deadlines may be those of another policy than the rest has.
        self.batch.push(Change::Policy(None));
        self.store.commit(&self.batch).map_err(|error| error.to_string())?;
        self.batch.clear();
        Ok(())
    }
}

/// Sees to it that no new session gets an id up to this.
pub(crate) fn skip_ids(store: &impl Store, last: u64) -> Result<(), StoreError> {
    let next = store.reserve_ids(0)?;
    if next <= last {
        store.reserve_ids(last + 1 - next)?;
    }
    Ok(())
}
