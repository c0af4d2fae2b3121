//! A start with a million sessions in the store, of which a thousand were due while nobody was there.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use session_actors::store::{Change, Store};

use super::{Figure, Outcome, Place, copy_files, millis, wait_until};
use crate::contenders::{
    chat::{Say, key, limits, start as start_registry},
    engine::{CACHE, Engine, fill},
    one_file::OneFile,
};

const DUE_EVERY: usize = 1_000;
const FILE: &str = "sessions";

pub(crate) async fn start<E: Engine>(place: &Place) -> Outcome {
    let sessions = place.pick(1_000_000, 10_000);
    let name = |how: &str| format!("{}-{how}-{sessions}", E::NAME);
    let policy = known_policy::<E>(place).await?;
    let mut figures = Vec::new();

    let closed = place.copy_of(&name("closed"), |folder| {
        let store = E::open(&folder.join(FILE), CACHE)?;
        fill(&store, sessions, Some(DUE_EVERY))?;
        Ok(store.commit(&[Change::Policy(policy.clone())])?)
    })?;
    figures.extend(starts::<E>("closed", &closed, sessions).await?);

    // Of an open file, as a process leaves it that is killed.
    let killed = place.copy_of(&name("killed"), |folder| {
        let open = place.file("open");
        std::fs::create_dir(&open)?;
        let store = E::open(&open.join(FILE), CACHE)?;
        fill(&store, sessions, Some(DUE_EVERY))?;
        store.commit(&[Change::Policy(policy)])?;
        Ok(copy_files(&open, folder)?)
    })?;
    figures.extend(starts::<E>("killed", &killed, sessions).await?);
    Ok(figures)
}

/// As a store knows it that a registry has worked with: otherwise the deadlines of all records would be computed anew.
async fn known_policy<E: Engine>(place: &Place) -> Result<Option<String>, Box<dyn std::error::Error>> {
    let file = place.file("policy");
    let registry = start_registry(limits(), Some(E::open(&file, CACHE)?))?;
    // The rounds put it there first of all.
    tokio::time::sleep(Duration::from_millis(200)).await;
    registry.shutdown(Duration::from_secs(60)).await?;
    drop(registry);
    let policy = E::open(&file, CACHE)?.policy()?;
    if policy.is_none() {
        return Err("the registry has left no policy".into());
    }
    Ok(policy)
}

async fn starts<E: Engine>(how: &str, folder: &Path, sessions: usize) -> Outcome {
    let begin = Instant::now();
    let store = E::open(&folder.join(FILE), CACHE)?;
    let open = millis(begin);
    let registry = start_registry(limits(), Some(store))?;
    // Nobody's yet.
    registry.send(key(sessions), Say).await?;
    let served = millis(begin);
    let due = (sessions / DUE_EVERY) as u64;
    wait_until(|| registry.stats().ended_in_store >= due, Duration::from_secs(120)).await?;
    let ended = millis(begin);
    registry.shutdown(Duration::from_secs(60)).await?;
    Ok(vec![
        Figure::new(format!("{how}: until the file is open"), open, "ms"),
        Figure::new(format!("{how}: until a message is answered"), served, "ms"),
        Figure::new(format!("{how}: until all that were due have ended"), ended, "ms"),
    ])
}

pub(crate) fn in_one_file(place: &Place) -> Outcome {
    let sessions = place.pick(1_000_000, 10_000);
    let folder = place.copy_of(&format!("one-file-{sessions}"), |folder| {
        let mut all = OneFile::open(&folder.join(FILE))?;
        all.fill(sessions, Some(DUE_EVERY));
        Ok(all.save()?)
    })?;
    let begin = Instant::now();
    let mut all = OneFile::open(&folder.join(FILE))?;
    let open = millis(begin);
    all.say(key(sessions).as_str());
    let served = millis(begin);
    if all.sweep() != sessions / DUE_EVERY {
        return Err("not what was due has ended".into());
    }
    all.save()?;
    let ended = millis(begin);
    Ok(vec![
        Figure::new("closed: until the file is open", open, "ms"),
        Figure::new("closed: until a message is answered", served, "ms"),
        Figure::new("closed: until all that were due have ended", ended, "ms"),
    ])
}
