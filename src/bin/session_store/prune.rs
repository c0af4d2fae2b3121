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
    let due = Selection { state: Some(State::Due), ..Selection::default() };
    let which = if which.is_all() { &due } else { which };
    // One moment for all, so that a dry run of it counts what it deletes.
    let now = SystemTime::now();
    let (mut pruned, mut batch) = (0, Vec::new());
    for entry in Walk::new(store, "pruning")? {
        let entry = entry?;
        if !which.takes(&entry, now) {
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
