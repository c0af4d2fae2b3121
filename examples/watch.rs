//! A watcher that always knows which sessions are live: one snapshot, then every event, and a resume without a gap.
//!
//! ```sh
//! cargo run --example watch
//! ```

use std::collections::BTreeSet;
use std::error::Error;
use std::time::Duration;

use actix::prelude::*;
use session_actors::{
    EventId, EventKind, Session, SessionContext, SessionId, SessionKey, SessionRegistry, Snapshot, Watched,
};

struct Chat;

impl Actor for Chat {
    type Context = SessionContext<Self>;
}

impl Session for Chat {}

#[derive(Message)]
#[rtype(result = "()")]
struct Hello;

impl Handler<Hello> for Chat {
    type Result = ();

    fn handle(&mut self, _: Hello, _: &mut Self::Context) {}
}

/// What a dashboard keeps.
#[derive(Default)]
struct Board {
    live: BTreeSet<SessionId>,
    at: Option<EventId>,
}

impl Board {
    fn apply(&mut self, item: &Watched) {
        match item {
            // Too slow, and events were dropped: the fresh snapshot makes it right again.
            Watched::Snapshot(snapshot) | Watched::Lagged { snapshot, .. } => self.replace(snapshot),
            Watched::Event(event) => {
                match &event.kind {
                    EventKind::Opened { .. } => assert!(self.live.insert(event.session), "opened twice"),
                    EventKind::Ended(_) => assert!(self.live.remove(&event.session), "ended without an Opened"),
                    _ => {}
                }
                println!("{} {:<8} now live: {}", event.id, event.key.as_str(), self.live.len());
                self.at = Some(event.id);
            }
            _ => {}
        }
    }

    fn replace(&mut self, snapshot: &Snapshot) {
        self.live = snapshot.sessions.iter().map(|info| info.id).collect();
        self.at = Some(snapshot.at);
        println!("{} snapshot now live: {}", snapshot.at, self.live.len());
    }
}

#[actix::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let sessions = SessionRegistry::builder(|_: &SessionKey| Chat).start()?;
    for key in ["user:1", "user:2"] {
        sessions.send(key, Hello).await?;
    }

    // A watcher that comes late begins with what is live now.
    let mut board = Board::default();
    let mut watch = sessions.watch();
    board.apply(&watch.next().await.ok_or("no snapshot")?);
    assert_eq!(board.live.len(), 2);

    sessions.close("user:1").await?;
    board.apply(&watch.next().await.ok_or("the watch ended early")?);
    assert_eq!(board.live.len(), 1);

    // It goes away for a while; the registry keeps the last `event_history` events.
    drop(watch);
    println!("(disconnected)");
    for key in ["user:3", "user:4"] {
        sessions.send(key, Hello).await?;
    }

    // And comes back: no snapshot, only the events it has not seen.
    let mut watch = sessions.watch_from(board.at.ok_or("nothing seen yet")?);
    for _ in 0..2 {
        let item = watch.next().await.ok_or("the watch ended early")?;
        assert!(matches!(item, Watched::Event(_)), "resumed, not restarted");
        board.apply(&item);
    }
    let live: BTreeSet<SessionId> = sessions.list().into_iter().map(|info| info.id).collect();
    assert_eq!(board.live, live, "snapshot plus events is the live set");

    // A shutdown ends every session, each with its event, and then the stream.
    sessions.shutdown(Duration::from_secs(5)).await?;
    while let Some(item) = watch.next().await {
        board.apply(&item);
    }
    assert!(board.live.is_empty());
    Ok(())
}
