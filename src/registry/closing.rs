//! Waiting for the end of a session that was closed.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::sync::oneshot;

use crate::{error::CloseError, event::Ended};

/// Resolves when the session has ended and its `Ended` event is published: with what it left. Dropping it cancels nothing.
///
/// # Errors
///
/// If there was no session, or the store that may have it does not let it be ended.
#[must_use = "the session ends without it, but nobody knows when"]
pub struct Closing(Told);

enum Told {
    /// By the end itself. Dropped untold, there is no session.
    End(oneshot::Receiver<Ended>),
    /// By whoever looks after it, in memory and in the store.
    #[cfg_attr(not(feature = "store"), expect(dead_code, reason = "nobody has to"))]
    Watched(oneshot::Receiver<Result<Ended, CloseError>>),
    Failed(CloseError),
}

impl Closing {
    pub(crate) fn new(ended: Option<oneshot::Receiver<Ended>>) -> Self {
        Self(ended.map_or(Told::Failed(CloseError::NotFound), Told::End))
    }

    #[cfg(feature = "store")]
    pub(crate) fn watched(told: oneshot::Receiver<Result<Ended, CloseError>>) -> Self {
        Self(Told::Watched(told))
    }

    #[cfg(feature = "store")]
    pub(crate) fn failed(why: CloseError) -> Self {
        Self(Told::Failed(why))
    }
}

impl Future for Closing {
    type Output = Result<Ended, CloseError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let closed = match &mut self.0 {
            Told::End(ended) => ready!(Pin::new(ended).poll(cx)).map_err(|_| CloseError::NotFound),
            // Dropped untold: with its arbiter.
            Told::Watched(told) => ready!(Pin::new(told).poll(cx)).unwrap_or(Err(CloseError::NoHost)),
            Told::Failed(why) => return Poll::Ready(Err(why.clone())),
        };
        // Polled again, it says the same of a session that is gone.
        self.0 = Told::Failed(CloseError::NotFound);
        Poll::Ready(closed)
    }
}

impl fmt::Debug for Closing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Closing")
    }
}
