//! The same tests on the context of this crate.

#[path = "act.rs"]
mod act;
#[path = "addresses.rs"]
mod addresses;
#[path = "life.rs"]
mod life;
#[path = "order.rs"]
mod order;
#[path = "replies.rs"]
mod replies;
#[path = "script.rs"]
pub(crate) mod script;
#[path = "streams.rs"]
mod streams;
#[path = "timers.rs"]
mod timers;
#[path = "waits.rs"]
mod waits;

use actix::Addr;
use session_actors::{Limits, Policy, SessionRegistry};
pub(crate) use session_actors::{Session, SessionContext as Ctx};

use crate::guard::quiet_provoked_panics;

/// Runs an actor as a session without limits. What is returned beside its address is its registry,
/// which would end it if it were dropped.
///
/// What it leaves in its mailbox finds no successor, as in actix.
pub(crate) fn run<A: Session + Send>(act: A) -> (Addr<A>, SessionRegistry<A>) {
    quiet_provoked_panics();
    let registry = SessionRegistry::builder(|_| panic!("provoked: there is only this one"))
        .policy(Policy::new(Limits::never()))
        .start()
        .unwrap();
    (registry.open_with("k", move |_| act).unwrap(), registry)
}
