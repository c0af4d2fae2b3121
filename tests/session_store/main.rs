//! The program `session-store`, run as an operator runs it, over files that the embedded store has made.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

mod looking;
mod support;
mod tending;
mod transfer;
