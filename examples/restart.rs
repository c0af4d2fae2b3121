//! A session that outlives its process: what it knows is in a file when the registry has shut down, and its next
//! message finds it there.
//!
//! ```sh
//! cargo run --features redb --example restart
//! ```

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use actix::prelude::*;
use serde::{Deserialize, Serialize};
use session_actors::store::RedbStore;
use session_actors::{Limits, Persistent, Policy, Session, SessionContext, SessionKey, SessionRegistry};

#[derive(Default)]
struct Chat {
    said: Vec<String>,
}

impl Actor for Chat {
    type Context = SessionContext<Self>;
}

impl Session for Chat {}

/// What is kept. A type of its own, so that it can stay readable while the actor changes.
#[derive(Serialize, Deserialize)]
struct Kept {
    said: Vec<String>,
}

impl Persistent for Chat {
    type State = Kept;

    fn state(&self) -> Kept {
        Kept { said: self.said.clone() }
    }

    fn restore(&mut self, kept: Kept) {
        self.said = kept.said;
    }
}

#[derive(Message)]
#[rtype(result = "Vec<String>")]
struct Say(&'static str);

impl Handler<Say> for Chat {
    type Result = MessageResult<Say>;

    fn handle(&mut self, Say(text): Say, _: &mut Self::Context) -> Self::Result {
        self.said.push(text.into());
        MessageResult(self.said.clone())
    }
}

/// What a process does when it starts. A session that rests for a quarter of a second leaves memory.
fn start(file: &Path) -> Result<SessionRegistry<Chat>, Box<dyn Error>> {
    let limits = Limits::new().passivate_after(Duration::from_millis(250));
    let sessions = SessionRegistry::builder(|_: &SessionKey| Chat::default())
        .policy(Policy::new(limits))
        .persist(RedbStore::open(file)?)
        .start()?;
    Ok(sessions)
}

#[actix::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("sessions.redb");

    let sessions = start(&file)?;
    sessions.send("user:42", Say("hello")).await?;
    while !sessions.is_empty() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    println!("it rested, and {} sessions are in memory", sessions.len());
    let said = sessions.send("user:42", Say("are you there?")).await?;
    println!("it is back and knows {said:?}");
    let report = sessions.shutdown(Duration::from_secs(5)).await?;
    println!("shut down; {} sessions could not be saved", report.unsaved);
    assert_eq!(report.unsaved, 0);
    // A file is open in one registry at a time: until the last handle has gone.
    drop(sessions);

    let sessions = start(&file)?;
    let said = sessions.send("user:42", Say("still?")).await?;
    println!("after a restart it knows {said:?}");
    assert_eq!(said, ["hello", "are you there?", "still?"]);
    Ok(())
}
