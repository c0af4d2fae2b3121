//! The feature `web`: sessions of requests, errors as answers, WebSockets, and what operators see.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

mod admin;
mod answers;
mod browser;
mod events;
mod extract;
mod openapi;
mod page;
mod policy;
mod sockets;
mod support;
