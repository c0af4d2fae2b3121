//! Stopping the process: sessions finish what they are doing, newcomers are refused, and there is a hard end.
//!
//! ```sh
//! cargo run --example graceful_shutdown     # press Ctrl-C, or wait for a second
//! ```

use std::error::Error;
use std::time::Duration;

use actix::prelude::*;
use session_actors::{EndReason, OpenError, SendError, Session, SessionContext, SessionKey, SessionRegistry, Unserved};
use tokio::time::{sleep, timeout};

struct Agent;

impl Actor for Agent {
    type Context = SessionContext<Self>;
}

impl Session for Agent {
    /// Only for who has work to finish: the place to tell the user. What must be kept is stored in `stopped`.
    fn draining(&mut self, reason: EndReason, ctx: &mut Self::Context) {
        println!("[{}] draining ({reason})", ctx.key());
    }
}

#[derive(Message)]
#[rtype(result = "()")]
struct Work(Duration);

impl Handler<Work> for Agent {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, Work(time): Work, _: &mut Self::Context) -> ResponseFuture<()> {
        Box::pin(sleep(time))
    }
}

#[actix::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let sessions = SessionRegistry::builder(|_: &SessionKey| Agent).start()?;

    // `send` queues at the call; the reply is awaited later.
    let short = sessions.send("short work", Work(Duration::from_millis(1_300)));
    let endless = sessions.send("endless work", Work(Duration::from_secs(3_600)));
    sessions.send("no work", Work(Duration::ZERO)).await?;
    println!("{} sessions; press Ctrl-C, or wait for a second", sessions.len());
    let _ = timeout(Duration::from_secs(1), actix_rt::signal::ctrl_c()).await;

    // It acts at the call: from here on nothing is opened. Dropping the future would not call it off.
    let shutdown = sessions.shutdown(Duration::from_secs(2));
    match sessions.open("a newcomer") {
        Err(error @ OpenError::ShuttingDown) => println!("a newcomer: {error}"),
        other => panic!("a newcomer got {:?}", other.map(|_| "an address")),
    }

    short.await?;
    println!("the short work was answered");
    match endless.await {
        Err(SendError::Unserved { cause: Unserved::Ended { reason, .. }, .. }) => {
            println!("the endless work was cut after two seconds ({reason})");
            assert_eq!(reason, EndReason::Shutdown);
        }
        other => panic!("the endless work got {other:?}"),
    }

    let report = shutdown.await?;
    println!("drained {}, cut {}, unresponsive {}", report.drained, report.cut, report.unresponsive);
    assert_eq!((report.drained, report.cut, report.unresponsive), (2, 1, 0));
    assert!(sessions.is_empty());
    Ok(())
}
