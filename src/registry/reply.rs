//! Waiting for the answer to a message sent through the registry.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use actix::Message;
use tokio::sync::oneshot;

use crate::{error::SendError, session::caller::Caller};

/// The answer to a message sent by [`SessionRegistry::send`](crate::SessionRegistry::send).
///
/// The message is in the mailbox already. Dropping this before it is handled cancels it, as in
/// actix: it is then dropped unhandled.
#[must_use = "the message is cancelled if nobody waits for its answer; use do_send to let it go"]
pub struct Reply<M: Message> {
    state: State<M>,
}

enum State<M: Message> {
    Waiting {
        rx: oneshot::Receiver<M::Result>,
        caller: Caller,
    },
    /// `None` once it has been given out.
    Failed(Option<SendError<M>>),
}

impl<M: Message> Reply<M> {
    pub(super) fn waiting(rx: oneshot::Receiver<M::Result>, caller: Caller) -> Self {
        Self { state: State::Waiting { rx, caller } }
    }

    pub(super) fn failed(error: SendError<M>) -> Self {
        Self { state: State::Failed(Some(error)) }
    }
}

// Never pinned inside: the receiver is `Unpin`, the error is only moved out.
impl<M: Message> Unpin for Reply<M> {}

impl<M: Message> Future for Reply<M> {
    type Output = Result<M::Result, SendError<M>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        match &mut this.state {
            State::Waiting { rx, caller } => {
                let answer = ready!(Pin::new(rx).poll(cx));
                let answer = answer.map_err(|_| SendError::Unserved { cause: caller.heard() });
                this.state = State::Failed(None);
                Poll::Ready(answer)
            }
            State::Failed(error) => match error.take() {
                Some(error) => Poll::Ready(Err(error)),
                // Polled after it was done; a future may do anything then but panic here.
                None => Poll::Pending,
            },
        }
    }
}

impl<M: Message> fmt::Debug for Reply<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.state {
            State::Waiting { .. } => f.write_str("Reply(waiting)"),
            State::Failed(error) => f.debug_tuple("Reply").field(error).finish(),
        }
    }
}
