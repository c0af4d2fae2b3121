//! Races in real time, on several arbiters and several threads, with sessions that expire every millisecond: whoever
//! sends through the registry is answered, nothing is handled twice, no key has two actors, every `Opened` has its
//! `Ended`, and nothing is left.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

mod arena;
#[path = "../support/belief.rs"]
mod belief;
mod ends;
mod racer;
mod sends;
mod stops;
mod thread;
