//! Promise 7: a flood delays no timer of its thread by more than a turn or two, neither its own session's nor a
//! neighbour's. In real time, with handlers that take theirs: of such a flood, the turns that a `LocalSet` gives before
//! the runtime looks at its timers would be seconds.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

#[path = "support/guard.rs"]
mod guard;
mod support;

use std::time::Duration;

use actix::prelude::*;
use guard::or_give_up;
use session_actors::{EndReason, Ended, Limits, Policy, Session, SessionContext, SessionRegistry};
use support::*;
use tokio::time::Instant;

/// Long for a handler. A turn of 256 of them is 51 ms, and 61 turns are 3.1 s.
const EACH: Duration = Duration::from_micros(200);
/// "A turn or two", and what a busy machine adds to it.
const LATE: Duration = Duration::from_millis(1_200);

#[derive(Clone, Copy, Debug)]
enum Flood {
    Mail,
    Notify,
}

struct Noisy(Flood);

impl Actor for Noisy {
    type Context = SessionContext<Self>;
}

impl Session for Noisy {}

#[derive(Message)]
#[rtype(result = "()")]
struct Again;

impl Handler<Again> for Noisy {
    type Result = ();

    fn handle(&mut self, _: Again, ctx: &mut Self::Context) {
        // Work, not sleep: what is tried is a thread that is never free.
        let begun = Instant::now();
        while begun.elapsed() < EACH {
            std::hint::spin_loop();
        }
        match self.0 {
            Flood::Mail => ctx.address().do_send(Again),
            Flood::Notify => ctx.notify(Again),
        }
    }
}

/// The first end beside or of a flooded session.
async fn first_end(flood: Flood, limits: Limits, neighbour: bool) -> (String, Ended) {
    let registry = SessionRegistry::builder(move |_| Noisy(flood)).policy(Policy::new(limits)).start().unwrap();
    let mut watch = registry.watch();
    let _neighbour = neighbour.then(|| registry.open("neighbour").unwrap());
    settle().await;
    registry.do_send("flooded", Again).unwrap();
    let (key, ended) = next_end(&mut watch).await;
    (key.to_string(), ended)
}

#[test]
fn its_own_greatest_age_comes_on_time() {
    for flood in [Flood::Notify, Flood::Mail] {
        or_give_up(flood, move || async move {
            let limits = Limits::never().max_age(millis(200)).drain_timeout(millis(1));
            let (_, ended) = first_end(flood, limits, false).await;
            assert_eq!(ended.reason, EndReason::MaxAge);
            assert!(ended.age < millis(201) + LATE, "{flood:?}: {:?}", ended.age);
        });
    }
}

#[test]
fn a_neighbours_idle_timeout_comes_on_time() {
    // Mail is activity, so that of the two only the neighbour is idle; `notify` is none, and both are.
    or_give_up("mail", || async {
        let limits = Limits::never().idle_timeout(millis(50)).max_age(secs(20)).drain_timeout(millis(1));
        let (key, ended) = first_end(Flood::Mail, limits, true).await;
        assert_eq!((key.as_str(), ended.reason), ("neighbour", EndReason::IdleTimeout));
        assert!(ended.age < millis(50) + LATE, "{:?}", ended.age);
    });
}
