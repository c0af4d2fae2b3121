//! `list`.

use std::{
    io,
    time::{Duration, SystemTime},
};

use comfy_table::{CellAlignment, Table, presets::NOTHING};
use serde::Serialize;
use session_actors::{
    SessionId, SessionKey,
    store::{Entry, Record, Store},
};

use crate::{
    Outcome,
    args::List,
    output::Output,
    selection::State,
    spoken::{count, deadline, since, size, span},
    walk::Walk,
};

/// So many in a table, unless told otherwise.
const ROWS: usize = 100;

/// A session in the list, for programs.
#[derive(Serialize)]
struct Listed<'a> {
    key: &'a SessionKey,
    state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<SessionId>,
    #[serde(flatten)]
    times: Option<Times>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'a str>,
}

#[derive(Serialize)]
struct Times {
    #[serde(with = "humantime_serde")]
    opened_at: SystemTime,
    #[serde(with = "humantime_serde")]
    last_activity: SystemTime,
    #[serde(with = "humantime_serde")]
    ends_at: Option<SystemTime>,
    age_ms: u64,
    idle_ms: u64,
    handled: u64,
    state_bytes: usize,
}

pub(crate) fn run(store: &impl Store, list: &List, output: &mut Output) -> Outcome {
    let now = SystemTime::now();
    let limit = match list.limit {
        Some(0) => usize::MAX,
        Some(limit) => limit,
        None if output.json => usize::MAX,
        None => ROWS,
    };
    let mut rows = Rows { table: table(), limit, matching: 0, now };
    for entry in Walk::new(store, "looking")? {
        let entry = entry?;
        if list.which.takes(&entry, now) {
            rows.add(&entry, output)?;
        }
    }
    for aside in store.set_aside(usize::MAX)? {
        if list.which.takes_aside(aside.key.as_str()) {
            rows.add_aside(&aside.key, &aside.why, output)?;
        }
    }
    rows.finish(output)?;
    Ok(true)
}

struct Rows {
    table: Table,
    limit: usize,
    matching: usize,
    now: SystemTime,
}

impl Rows {
    fn add(&mut self, entry: &Entry, output: &mut Output) -> io::Result<()> {
        self.matching += 1;
        if self.matching > self.limit {
            return Ok(());
        }
        let (key, state) = (&entry.key, State::of(entry, self.now));
        match &entry.record {
            Ok(record) if output.json => {
                let (session, times) = (Some(record.session), Some(self.times(record)));
                output.object(&Listed { key, state, session, times, why: None })
            }
            Ok(record) => {
                self.table.add_row([
                    key.as_str().to_owned(),
                    state.name().to_owned(),
                    span(since(record.opened_at, self.now)),
                    span(since(record.last_activity, self.now)),
                    deadline(record.ends_at, self.now),
                    record.handled.to_string(),
                    size(record.state.as_json().len()),
                ]);
                Ok(())
            }
            Err(why) => self.unreadable(key, state, &why.to_string(), output),
        }
    }

    fn add_aside(&mut self, key: &SessionKey, why: &str, output: &mut Output) -> io::Result<()> {
        self.matching += 1;
        if self.matching > self.limit {
            return Ok(());
        }
        self.unreadable(key, State::Aside, why, output)
    }

    fn unreadable(&mut self, key: &SessionKey, state: State, why: &str, output: &mut Output) -> io::Result<()> {
        if output.json {
            return output.object(&Listed { key, state, session: None, times: None, why: Some(why) });
        }
        let unknown = || "-".to_owned();
        self.table.add_row([
            key.as_str().to_owned(),
            state.name().to_owned(),
            unknown(),
            unknown(),
            unknown(),
            unknown(),
            unknown(),
        ]);
        Ok(())
    }

    fn times(&self, record: &Record) -> Times {
        let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        Times {
            opened_at: record.opened_at,
            last_activity: record.last_activity,
            ends_at: record.ends_at,
            age_ms: millis(since(record.opened_at, self.now)),
            idle_ms: millis(since(record.last_activity, self.now)),
            handled: record.handled,
            state_bytes: record.state.as_json().len(),
        }
    }

    fn finish(&self, output: &mut Output) -> io::Result<()> {
        if output.json {
            return Ok(());
        }
        if self.matching > 0 {
            output.say(self.table.trim_fmt())?;
        }
        let shown = self.matching.min(self.limit);
        let all = count(self.matching as u64, "session");
        if shown < self.matching {
            output.say(format!("{all}, the first {shown} shown: -n 0 shows all"))
        } else {
            output.say(all)
        }
    }
}

fn table() -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(["KEY", "STATE", "AGE", "IDLE", "ENDS", "HANDLED", "SIZE"]);
    for number in [5, 6] {
        if let Some(column) = table.column_mut(number) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}
