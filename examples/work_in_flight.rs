//! Work that takes longer than the idle timeout is not cut: the idle clock starts when the last piece of work ends.
//!
//! ```sh
//! cargo run --example work_in_flight
//! ```

use std::error::Error;
use std::time::Duration;

use actix::prelude::*;
use session_actors::{
    EndReason, EventKind, Limits, Policy, Session, SessionContext, SessionKey, SessionRegistry, Watched,
};
use tokio::time::sleep;

const IDLE: Duration = Duration::from_millis(200);
const WORK: Duration = Duration::from_millis(700);

struct Agent;

impl Actor for Agent {
    type Context = SessionContext<Self>;
}

impl Session for Agent {}

/// A question whose answer takes a while: the reply is pending until the future is ready.
#[derive(Message)]
#[rtype(result = "u32")]
struct Ask;

impl Handler<Ask> for Agent {
    type Result = ResponseFuture<u32>;

    fn handle(&mut self, _: Ask, _: &mut Self::Context) -> ResponseFuture<u32> {
        Box::pin(async {
            sleep(WORK).await; // the model, the tool, the database
            42
        })
    }
}

/// A job that is answered at once and goes on elsewhere. A hold says: I am still working for this session.
#[derive(Message)]
#[rtype(result = "()")]
struct Render;

impl Handler<Render> for Agent {
    type Result = ();

    fn handle(&mut self, _: Render, ctx: &mut Self::Context) {
        let hold = ctx.hold();
        actix::spawn(async move {
            sleep(WORK).await;
            drop(hold); // dropped early, late or by a panic: the session is free again
        });
    }
}

#[actix::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let sessions = SessionRegistry::builder(|_: &SessionKey| Agent)
        .policy(Policy::new(Limits::new().idle_timeout(IDLE)))
        .start()?;
    let mut watch = sessions.watch();

    println!("idle timeout {IDLE:?}, the work takes {WORK:?}");
    let answer = sessions.send("a pending reply", Ask).await?;
    println!("answered: {answer}");
    assert_eq!(answer, 42);

    sessions.send("a hold", Render).await?;
    println!("the second session has answered and goes on working");

    let mut ended = 0;
    while let Some(item) = watch.next().await {
        let Watched::Event(event) = item else { continue };
        if let EventKind::Ended(end) = &event.kind {
            println!(
                "{}: {}, {} ms old, of these {} ms idle, {} pieces of work cut",
                event.key,
                end.reason,
                end.age.as_millis(),
                end.idle.as_millis(),
                end.cut,
            );
            assert_eq!((end.reason, end.cut), (EndReason::IdleTimeout, 0));
            assert!(end.age >= WORK + IDLE, "the idle clock starts at the end of the work");
            ended += 1;
            if ended == 2 {
                break;
            }
        }
    }
    assert_eq!(ended, 2);

    sessions.shutdown(Duration::from_secs(5)).await?;
    Ok(())
}
