//! `prune`.

use std::time::SystemTime;

use serde::Serialize;
use session_actors::store::{Change, Store};

use crate::{
    Outcome,
    output::Output,
    selection::{Selection, State},
    spoken::count,
    walk::Walk,
};

/// Deleted together.
const BATCH: usize = 1_000;

#[derive(Serialize)]
struct Pruned {
    pruned: u64,
    dry_run: bool,
}

pub(crate) fn run(store: &impl Store, which: &Selection, dry_run: bool, output: &mut Output) -> Outcome {
    if which.state == Some(State::Aside) {
        return Err("what was set aside is deleted by name: session-store delete --aside KEY".into());
    }
    // A glob alone narrows what is due, and widens nothing.
    let due_only = which.state.is_none() && which.older_than.is_none() && which.idle_for.is_none();
    // One moment for all, so that a dry run of it counts what it deletes.
    let now = SystemTime::now();
    let (mut pruned, mut batch) = (0, Vec::new());
    for entry in Walk::new(store, "pruning")? {
        let entry = entry?;
        if !which.takes(&entry, now) || due_only && State::of(&entry, now) != State::Due {
            continue;
        }
        pruned += 1;
        if dry_run {
            continue;
        }
        batch.push(Change::Discard { key: entry.key });
        if batch.len() == BATCH {
            store.commit(&batch)?;
            batch.clear();
        }
    }
    store.commit(&batch)?;
    if output.json {
        output.object(&Pruned { pruned, dry_run })?;
    } else if dry_run {
        output.say(format!("{} would be deleted", count(pruned, "session")))?;
    } else {
        output.say(format!("{} deleted", count(pruned, "session")))?;
    }
    Ok(true)
}
