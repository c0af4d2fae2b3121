//! `check`.

use std::{
    collections::HashSet,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::Serialize;
use session_actors::{
    SessionKey,
    store::{Change, RedbStore, Store, StoreError},
};

use crate::{Outcome, output::Output, selection::State, spoken::count, transfer::skip_ids, walk::Walk};

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
    /// The largest of all.
    #[serde(skip)]
    last_id: u64,
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
    let index = store.due(UNIX_EPOCH + FAR, usize::MAX)?;
    let mut index: HashSet<_> = index.into_iter().map(|deadline| (deadline.key, deadline.at)).collect();
    for entry in Walk::new(store, "reading")? {
        let entry = entry?;
        found.sessions += 1;
        found.due += u64::from(State::of(&entry, now) == State::Due);
        match entry.record {
            Ok(record) => {
                let id = record.session.get();
                found.ids_taken += u64::from(id >= next_id);
                found.last_id = found.last_id.max(id);
                if let Some(at) = record.ends_at {
                    let indexed = (entry.key, at);
                    if !index.remove(&indexed) {
                        found.misplaced.push(indexed.0);
                    }
                }
            }
            Err(_) => found.unreadable.push(entry.key),
        }
    }
    // What no record has; that of one that cannot be read may be right.
    let unreadable: HashSet<_> = found.unreadable.iter().collect();
    found.misplaced.extend(index.into_iter().map(|(key, _)| key).filter(|key| !unreadable.contains(key)));
    found.misplaced.sort();
    found.misplaced.dedup();
    found.set_aside = store.set_aside(usize::MAX)?.len() as u64;
    Ok(())
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
    skip_ids(store, found.last_id)
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
