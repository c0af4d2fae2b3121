//! The example gateway over real sockets: what a sender of webhooks, a chat client, an operator and a watcher see.
//!
//! Real time throughout, because the clients, the HTTP workers and the sessions live on different threads. Idle times
//! are a few hundred milliseconds, and every test waits for an answer, a frame or an event.

#![allow(clippy::expect_used)]

#[allow(dead_code, reason = "its main is not called here")]
#[path = "../../examples/gateway/main.rs"]
mod gateway;

mod admin;
mod chat;
mod chat_limits;
mod hooks;
mod kept;
mod killed;
mod settings;
mod shutdown;
mod support;
