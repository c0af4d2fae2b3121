//! `check`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use session_actors::{
    SessionKey,
    store::{Change, RedbStore, Store, StoreError},
};

use crate::{
    Outcome,
    output::Output,
    selection::State,
    spoken::count,
    transfer::skip_ids,
    walk::{Walk, progress},
};

/// After every deadline there is.
const FAR: Duration = Duration::from_secs(1 << 40);

#[derive(Debug, Default, Serialize)]
struct Found {
    sound: bool,
    sessions: u64,
    due: u64,
    set_aside: u64,
    unreadable: Vec<SessionKey>,
    /// Whose deadline in the index is not that of its record, or is missing there.
    misplaced: Vec<SessionKey>,
    /// Sessions whose ids would be given again.
    ids_taken: u64,
    /// The file had to be put in order, as after a crash.
    put_in_order: bool,
    repaired: bool,
}

pub(crate) fn run(store: &mut RedbStore, repair: bool, output: &mut Output) -> Outcome {
    let mut found = Found { put_in_order: !store.check()?, ..Found::default() };
    look(&*store, &mut found)?;
    let broken = !found.unreadable.is_empty() || found.ids_taken > 0;
    if repair && broken {
        mend(&*store, &found)?;
        found = Found { repaired: true, put_in_order: found.put_in_order, ..Found::default() };
        look(&*store, &mut found)?;
    }
    found.sound = found.unreadable.is_empty() && found.misplaced.is_empty() && found.ids_taken == 0;
    if output.json {
        output.object(&found)?;
    } else {
        say(&found, output)?;
    }
    Ok(found.sound)
}

fn look(store: &impl Store, found: &mut Found) -> Result<(), StoreError> {
    let now = SystemTime::now();
    let next_id = store.reserve_ids(0)?;
    let mut with_deadline = 0;
    for entry in Walk::new(store, "reading")? {
        let entry = entry?;
        found.sessions += 1;
        found.due += u64::from(State::of(&entry, now) == State::Due);
        match entry.record {
            Ok(record) => {
                with_deadline += u64::from(record.ends_at.is_some());
                found.ids_taken += u64::from(record.session.get() >= next_id);
            }
            Err(_) => found.unreadable.push(entry.key),
        }
    }
    let mut indexed = 0;
    let index = store.due(UNIX_EPOCH + FAR, usize::MAX)?;
    let progress = progress(Some(index.len() as u64), "comparing");
    for deadline in index {
        progress.inc(1);
        match store.load(&deadline.key) {
            Ok(Some(record)) if record.ends_at == Some(deadline.at) => indexed += 1,
            Err(StoreError::Undecodable { .. }) => {}
            Ok(_) => found.misplaced.push(deadline.key),
            Err(error) => return Err(error),
        }
    }
    progress.finish_and_clear();
    if indexed < with_deadline && found.misplaced.is_empty() {
        // Rare enough to go through them once more.
        found.misplaced = missing(store)?;
    }
    found.set_aside = store.set_aside(usize::MAX)?.len() as u64;
    Ok(())
}

/// Those with a deadline that the index does not have.
fn missing(store: &impl Store) -> Result<Vec<SessionKey>, StoreError> {
    let index = store.due(UNIX_EPOCH + FAR, usize::MAX)?;
    let indexed: std::collections::HashSet<_> = index.into_iter().map(|deadline| deadline.key).collect();
    let mut missing = Vec::new();
    for entry in Walk::new(store, "comparing")? {
        let entry = entry?;
        if entry.record.is_ok_and(|record| record.ends_at.is_some()) && !indexed.contains(&entry.key) {
            missing.push(entry.key);
        }
    }
    Ok(missing)
}

fn mend(store: &impl Store, found: &Found) -> Result<(), StoreError> {
    for keys in found.unreadable.chunks(1_000) {
        let set_aside: Vec<_> = keys
            .iter()
            .map(|key| {
                let why = match store.load(key) {
                    Err(StoreError::Undecodable { why, .. }) => why,
                    _ => "it could not be read".into(),
                };
                Change::SetAside { key: key.clone(), why }
            })
            .collect();
        store.commit(&set_aside)?;
    }
    let mut last = 0;
    for entry in Walk::new(store, "reading")? {
        last = entry?.record.map_or(last, |record| record.session.get().max(last));
    }
    skip_ids(store, last)
}

fn say(found: &Found, output: &mut Output) -> std::io::Result<()> {
    if found.put_in_order {
        output.say("the file had not been closed, as after a crash, and was put in order")?;
    }
    let (sessions, due) = (count(found.sessions, "session"), found.due);
    output.say(format!("{sessions}, {due} of them due; {} set aside", found.set_aside))?;
    let mut wrong = |keys: &[SessionKey], what: &str, then: &str| {
        if keys.is_empty() {
            return Ok(());
        }
        output.say(format!("{what}: {} ({then})", count(keys.len() as u64, "record")))?;
        for key in keys.iter().take(10) {
            output.say(format!("  {key}"))?;
        }
        if keys.len() > 10 { output.say(format!("  and {} more", keys.len() - 10)) } else { Ok(()) }
    };
    wrong(&found.unreadable, "cannot be read", "`check --repair` sets them aside")?;
    wrong(
        &found.misplaced,
        "another deadline in the index than in the record",
        "`export`, and `import` that into a new file",
    )?;
    if found.ids_taken > 0 {
        let taken = count(found.ids_taken, "session");
        output.say(format!("ids that would be given again: {taken} (`check --repair` skips them)"))?;
    }
    output.say(match (found.sound, found.repaired) {
        (true, false) => "all is well",
        (true, true) => "repaired: all is well now",
        (false, _) => "something is wrong",
    })
}
