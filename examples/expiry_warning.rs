//! Last words: a session is warned before it expires, may ask once for more time, and is told when it is over.
//!
//! ```sh
//! cargo run --example expiry_warning
//! ```

use std::error::Error;
use std::time::Duration;

use actix::prelude::*;
use session_actors::{
    EventKind, Expiry, Limits, Policy, Session, SessionContext, SessionKey, SessionRegistry, Warning, Watched,
};

/// A conversation in which somebody has begun to type an answer.
struct Chat {
    unsent_draft: bool,
}

impl Actor for Chat {
    type Context = SessionContext<Self>;

    fn stopped(&mut self, ctx: &mut Self::Context) {
        if let Some(reason) = ctx.end_reason() {
            println!("[{}] goodbye ({reason})", ctx.key());
        }
    }
}

impl Session for Chat {
    /// `warn_before` the deadline. A gateway writes this to the user's socket.
    fn warned(&mut self, warning: Warning, ctx: &mut Self::Context) {
        println!("[{}] closing in {} ms", ctx.key(), warning.remaining.as_millis());
    }

    /// At the idle deadline. `max_age` is not asked about: it holds for everybody.
    fn expiring(&mut self, ctx: &mut Self::Context) -> Expiry {
        if std::mem::take(&mut self.unsent_draft) {
            println!("[{}] there is an unsent draft: one more moment, please", ctx.key());
            Expiry::Extend(Duration::from_millis(400))
        } else {
            Expiry::End
        }
    }
}

#[actix::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let limits = Limits::new().idle_timeout(Duration::from_millis(600)).warn_before(Duration::from_millis(200));
    let sessions =
        SessionRegistry::builder(|_: &SessionKey| Chat { unsent_draft: true }).policy(Policy::new(limits)).start()?;
    let mut watch = sessions.watch();

    sessions.open("user:42")?;

    // The same story as the operator sees it.
    let mut seen = Vec::new();
    while let Some(item) = watch.next().await {
        let Watched::Event(event) = item else { continue };
        match &event.kind {
            EventKind::Opened { limits, rule, .. } => {
                println!("event {}: opened under {rule}, idle timeout {:?}", event.id, limits.idle_timeout);
                seen.push("opened");
            }
            EventKind::Warned { reason, remaining, .. } => {
                println!("event {}: {reason} in {} ms", event.id, remaining.as_millis());
                seen.push("warned");
            }
            EventKind::Extended { by, .. } => {
                println!("event {}: extended by {} ms", event.id, by.as_millis());
                seen.push("extended");
            }
            EventKind::Ended(ended) => {
                println!("event {}: ended, {} ms old", event.id, ended.age.as_millis());
                seen.push("ended");
                break;
            }
            _ => {}
        }
    }
    // Warned once for each approach to a deadline: the first, and the one after the extension.
    assert_eq!(seen, ["opened", "warned", "extended", "warned", "ended"]);

    sessions.shutdown(Duration::from_secs(5)).await?;
    Ok(())
}
