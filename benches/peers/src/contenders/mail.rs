//! The messages of the contenders that are actix actors.

use std::time::Duration;

use actix::Message;

#[derive(Message)]
#[rtype(result = "u64")]
pub(crate) struct Add(pub(crate) u64);

#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Stop;

/// Answered by a `ResponseFuture`, after [`HOUR`].
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct ByFuture;

/// Answered by a `ResponseActFuture`, which runs in the actor's context, after [`HOUR`].
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct InContext;

pub(super) const HOUR: Duration = Duration::from_secs(3600);
