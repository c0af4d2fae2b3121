//! `delete`.

use serde::Serialize;
use session_actors::{
    SessionKey,
    store::{Change, Store, StoreError},
};

use crate::{Outcome, output::Output};

#[derive(Serialize)]
struct Deleted<'a> {
    key: &'a SessionKey,
    deleted: bool,
}

pub(crate) fn run(store: &impl Store, keys: &[SessionKey], aside: bool, output: &mut Output) -> Outcome {
    let set_aside = if aside { store.set_aside(usize::MAX)? } else { Vec::new() };
    let mut well = true;
    for key in keys {
        let (there, change) = if aside {
            (set_aside.iter().any(|aside| aside.key == *key), Change::DiscardAside { key: key.clone() })
        } else {
            // One that cannot be read is there.
            let there = match store.load(key) {
                Ok(record) => record.is_some(),
                Err(StoreError::Undecodable { .. }) => true,
                Err(error) => return Err(error.into()),
            };
            (there, Change::Discard { key: key.clone() })
        };
        if there {
            store.commit(&[change])?;
        }
        well &= there;
        let what = if aside { "was set aside of it" } else { "is kept of it" };
        match (output.json, there) {
            (true, deleted) => output.object(&Deleted { key, deleted })?,
            (false, true) => output.say(format!("{key}: deleted"))?,
            (false, false) => output.say(format!("{key}: nothing {what}"))?,
        }
    }
    Ok(well)
}
