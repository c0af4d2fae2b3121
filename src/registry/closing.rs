//! Waiting for the end of a session that was closed.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::sync::oneshot;

use crate::event::Ended;

/// Resolves when the session has ended and its `Ended` event is published: with what it left, or
/// with `None` if there was no session. Dropping it cancels nothing.
#[must_use = "the session ends without it, but nobody knows when"]
pub struct Closing(Option<oneshot::Receiver<Ended>>);

impl Closing {
    pub(crate) fn new(ended: Option<oneshot::Receiver<Ended>>) -> Self {
        Self(ended)
    }
}

impl Future for Closing {
    type Output = Option<Ended>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(ended) = self.0.as_mut() else {
            return Poll::Ready(None);
        };
        let ended = ready!(Pin::new(ended).poll(cx)).ok();
        self.0 = None;
        Poll::Ready(ended)
    }
}

impl fmt::Debug for Closing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Closing")
    }
}
