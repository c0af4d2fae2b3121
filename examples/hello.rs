//! A session that ends by itself when nobody talks to it any more, and a new one in its place when somebody does.
//!
//! ```sh
//! cargo run --example hello
//! ```

use std::error::Error;
use std::time::Duration;

use actix::prelude::*;
use session_actors::{
    EndReason, Ended, EventKind, Limits, Policy, Session, SessionContext, SessionKey, SessionRegistry, Watch, Watched,
};

/// What one conversation remembers.
struct Chat {
    turns: usize,
}

impl Actor for Chat {
    type Context = SessionContext<Self>;
}

impl Session for Chat {}

#[derive(Message)]
#[rtype(result = "String")]
struct Say(&'static str);

impl Handler<Say> for Chat {
    type Result = String;

    fn handle(&mut self, Say(text): Say, _: &mut Self::Context) -> String {
        self.turns += 1;
        format!("turn {}: you said {text:?}", self.turns)
    }
}

#[actix::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let limits = Limits::new().idle_timeout(Duration::from_millis(500));
    let sessions = SessionRegistry::builder(|_: &SessionKey| Chat { turns: 0 }).policy(Policy::new(limits)).start()?;
    let mut watch = sessions.watch();

    // The first message opens the session, the second finds it.
    println!("{}", sessions.send("user:42", Say("hello")).await?);
    let second = sessions.send("user:42", Say("still here")).await?;
    println!("{second}");
    assert!(second.starts_with("turn 2"));

    println!("... and now nobody says anything for half a second ...");
    let ended = next_end(&mut watch).await.ok_or("the watch ended early")?;
    println!("ended: {}, after {} messages", ended.reason, ended.handled);
    assert_eq!(ended.reason, EndReason::IdleTimeout);
    assert_eq!(ended.handled, 2);
    assert!(sessions.is_empty());

    // Same key, new incarnation: it remembers nothing.
    let again = sessions.send("user:42", Say("back again")).await?;
    println!("{again}");
    assert!(again.starts_with("turn 1"));

    sessions.shutdown(Duration::from_secs(5)).await?;
    Ok(())
}

async fn next_end(watch: &mut Watch) -> Option<Ended> {
    while let Some(item) = watch.next().await {
        if let Watched::Event(event) = item
            && let EventKind::Ended(ended) = &event.kind
        {
            return Some(ended.clone());
        }
    }
    None
}
