//! What users of actix know of its context holds for `SessionContext`.
//!
//! Every test is compiled and run twice, on both contexts: what it expects is what actix does, and
//! the crate may not differ. Where it does so by design there is a test of its own, in `differences`.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::duplicate_mod)]

#[path = "context_semantics/actix_context.rs"]
mod actix_context;
#[path = "context_semantics/differences.rs"]
mod differences;
#[path = "context_semantics/equivalence.rs"]
mod equivalence;
#[path = "support/guard.rs"]
mod guard;
#[path = "context_semantics/session_context.rs"]
mod session_context;
mod support;
