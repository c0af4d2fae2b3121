//! `show`.

use std::time::SystemTime;

use serde::Serialize;
use session_actors::{
    SessionKey,
    store::{Aside, Record, Store, StoreError},
};

use crate::{
    Outcome,
    line::SetAside,
    output::{Output, harmless},
    spoken::{deadline, since, span},
};

/// All of a key, for programs.
#[derive(Serialize)]
struct Shown<'a> {
    key: &'a SessionKey,
    record: Option<&'a Record>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unreadable: Option<String>,
    set_aside: Vec<SetAside>,
}

pub(crate) fn run(store: &impl Store, key: &SessionKey, output: &mut Output) -> Outcome {
    let loaded = match store.load(key) {
        Ok(record) => Ok(record),
        Err(error @ StoreError::Undecodable { .. }) => Err(error.to_string()),
        Err(error) => return Err(error.into()),
    };
    let mut aside = store.set_aside(usize::MAX)?;
    aside.retain(|aside| aside.key == *key);
    if matches!(loaded, Ok(None)) && aside.is_empty() {
        return Err(format!("nothing is kept of {key}; `list` shows the keys there are").into());
    }
    let well = loaded.is_ok();
    if output.json {
        let set_aside = aside.iter().map(SetAside::of).collect();
        let (record, unreadable) = match &loaded {
            Ok(record) => (record.as_ref(), None),
            Err(why) => (None, Some(why.clone())),
        };
        output.object(&Shown { key, record, unreadable, set_aside })?;
        return Ok(well);
    }
    match &loaded {
        Ok(Some(record)) => say_record(key, record, output)?,
        Ok(None) => output.say(format!("{key} has no session"))?,
        Err(why) => output.say(why)?,
    }
    for aside in &aside {
        say_aside(aside, output)?;
    }
    Ok(well)
}

fn say_record(key: &SessionKey, record: &Record, output: &mut Output) -> Result<(), Box<dyn std::error::Error>> {
    let now = SystemTime::now();
    let at = |at: SystemTime| humantime::format_rfc3339_seconds(at);
    let ago = |at: SystemTime| span(since(at, now));
    output.say(format!("key            {key}"))?;
    output.say(format!("session        {}", record.session))?;
    output.say(format!("opened         {}, {} ago", at(record.opened_at), ago(record.opened_at)))?;
    output.say(format!("last activity  {}, {} ago", at(record.last_activity), ago(record.last_activity)))?;
    if let Some(until) = record.extended_until {
        output.say(format!("put off until  {}", at(until)))?;
    }
    let ends = record.ends_at.map_or_else(String::new, |ends| format!("{}, ", at(ends)));
    output.say(format!("ends           {ends}{}", deadline(record.ends_at, now)))?;
    output.say(format!("handled        {}", record.handled))?;
    if let Some(limits) = &record.limits {
        output.say(format!("own limits     {}", serde_json::to_string(limits)?))?;
    }
    let state: serde_json::Value = serde_json::from_str(record.state.as_json())?;
    output.say(format!("state          {}", harmless(&serde_json::to_string_pretty(&state)?)))?;
    Ok(())
}

fn say_aside(aside: &Aside, output: &mut Output) -> std::io::Result<()> {
    let at = humantime::format_rfc3339_seconds(aside.at);
    output.say(format!("set aside      {at}, because: {}", harmless(&aside.why)))?;
    match std::str::from_utf8(&aside.bytes) {
        Ok(text) => output.say(format!("               {}", harmless(text))),
        Err(_) => output.say(format!("               {} bytes that are no text; --json has them", aside.bytes.len())),
    }
}
