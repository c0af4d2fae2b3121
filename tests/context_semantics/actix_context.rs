//! The tests on actix's own context, so that what they expect is known to be true of it.

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

use actix::{Actor, Addr};

pub(crate) type Ctx<A> = actix::Context<A>;

/// Stands for the trait of the same name, which asks for nothing.
pub(crate) trait Session {}

/// Runs an actor. What is returned beside its address keeps nothing alive here.
pub(crate) fn run<A: Actor<Context = Ctx<A>> + Session>(act: A) -> (Addr<A>, ()) {
    (act.start(), ())
}
