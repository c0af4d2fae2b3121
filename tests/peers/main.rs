//! What the test suites of other runtimes ask, and what users of other gateways have complained about, asked of this one.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod complaints;
mod ends;
#[path = "../support/exact.rs"]
mod exact;
#[path = "../support/hooked.rs"]
mod hooked;
mod limits;
#[path = "../support/mod.rs"]
mod support;
