//! Sessions that are kept in a store: they outlive memory and restarts, and nothing of it is lost or told twice.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

mod actor;
mod asked;
mod checkpoints;
mod failures;
mod many;
mod model;
mod passivation;
mod restart;
mod silence;
mod stopped_arbiter;
mod threads;
