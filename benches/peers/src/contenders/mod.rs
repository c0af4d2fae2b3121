//! Who is measured. Each is written as its own documentation would have it, as strong as it honestly
//! gets, with an idle timeout and a maximum age that both work; the head of each file says what it
//! cannot do.

pub(crate) mod bare_actix;
mod deadline;
pub(crate) mod erlang;
pub(crate) mod kameo;
mod keys;
mod mail;
pub(crate) mod moka;
pub(crate) mod ractor;
pub(crate) mod reset_by_hand;
pub(crate) mod session_actors;
pub(crate) mod sweep;
pub(crate) mod tokio_task;
