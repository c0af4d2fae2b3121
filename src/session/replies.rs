//! Replies that are being made by futures of their own (`ResponseFuture`, relays).
//!
//! They are polled by the session task but belong to nobody's context: a `ctx.wait`, a full
//! mailbox or `ctx.stop()` does not stand between them and their callers, and a panic in one fails
//! that reply only. What is still running when a session ends by its own will or by a panic goes
//! on without it, as in actix; a hard end drops it.

use std::{
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

use actix::{ResponseFuture, dev::OneshotSender};
use futures_core::ready;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::{sync::oneshot, task::unconstrained};
use tracing::field::display;

use super::{
    caller::Caller,
    held::Held,
    items::Work,
    panics::{drop_quietly, panic_message, quietly},
};
use crate::{error::Unserved, key::SessionKey};

/// A reply in the making.
type Running = Pin<Box<dyn Future<Output = Made>>>;

/// A reply that is done, one way or the other.
pub(crate) struct Made {
    /// How its end counts.
    pub(crate) work: Work,
    /// It has not left yet: what is behind it has to be saved first.
    pub(super) held: Option<Held>,
    /// Whether there was one. Otherwise it panicked, or its sender was let go.
    answered: bool,
    panic: Option<String>,
}

impl Made {
    /// Says so if it panicked; `key` is whose it was, if no span says it.
    pub(crate) fn log(&self, key: Option<&SessionKey>) {
        if let Some(panic) = &self.panic {
            // A subscriber that panics must not take the session with it.
            let _ = quietly(|| {
                let key = key.map(display);
                tracing::warn!(key, %panic, "a reply's future panicked: its caller is told, the session goes on");
            });
        }
    }
}

/// The replies in the making of one session.
#[derive(Default)]
pub(crate) struct Replies {
    running: FuturesUnordered<Running>,
    /// How many of them count as work in flight.
    tracked: u32,
}

impl Replies {
    pub(crate) fn push<T: 'static>(&mut self, reply: Reply<T>) {
        if reply.work != Work::Clockwork {
            self.tracked += 1;
        }
        self.running.push(Box::pin(reply));
    }

    pub(crate) fn tracked(&self) -> u32 {
        self.tracked
    }

    /// How many there are, whether they count as work in flight or not.
    pub(crate) fn len(&self) -> usize {
        self.running.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// The next reply that is done, if one is.
    pub(crate) fn poll_done(&mut self, cx: &mut Context<'_>) -> Option<Made> {
        let Poll::Ready(Some(made)) = self.running.poll_next_unpin(cx) else {
            return None;
        };
        if made.work != Work::Clockwork {
            self.tracked = self.tracked.saturating_sub(1);
        }
        Some(made)
    }

    /// A last look when the actor is gone: what its hooks have answered, or taken with them, is
    /// known only now. Returns how many tracked ones were answered; `held` gets those that have not left yet.
    pub(super) fn last_look(&mut self, key: &SessionKey, held: &mut Vec<Held>) -> u32 {
        let mut cx = Context::from_waker(Waker::noop());
        let mut answered = 0;
        // Without the runtime's budget, or what is there would say that it is not ready yet.
        let mut next = || pin!(unconstrained(poll_fn(|cx| Poll::Ready(self.poll_done(cx))))).poll(&mut cx);
        while let Poll::Ready(Some(mut made)) = next() {
            made.log(Some(key));
            held.extend(made.held.take());
            answered += u32::from(made.answered && made.work != Work::Clockwork);
        }
        answered
    }

    /// The next one that is done, waited for; `None` when there is none left.
    pub(crate) async fn next(&mut self) -> Option<Made> {
        self.running.next().await
    }
}

impl std::fmt::Debug for Replies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Replies").field(&self.running.len()).finish()
    }
}

/// Where a reply comes from.
enum Source<T> {
    Future(ResponseFuture<T>),
    /// A response that sends by itself; `None` of it means that it let its sender go.
    Relay(oneshot::Receiver<T>),
}

/// A reply in the making and whoever waits for it.
pub(crate) struct Reply<T> {
    /// `None` once it has ended.
    source: Option<Source<T>>,
    tx: Option<OneshotSender<T>>,
    caller: Option<Caller>,
    work: Work,
    /// It does not leave when it is made.
    held: bool,
}

impl<T: 'static> Reply<T> {
    pub(crate) fn future(
        future: ResponseFuture<T>,
        tx: Option<OneshotSender<T>>,
        caller: Option<Caller>,
        work: Work,
    ) -> Self {
        Self { source: Some(Source::Future(future)), tx, caller, work, held: false }
    }

    pub(crate) fn relay(
        relay: oneshot::Receiver<T>,
        tx: Option<OneshotSender<T>>,
        caller: Option<Caller>,
        work: Work,
    ) -> Self {
        Self { source: Some(Source::Relay(relay)), tx, caller, work, held: false }
    }

    /// Whether it is given out with the piece of work, to leave when what is behind it is saved.
    pub(super) fn held(mut self, held: bool) -> Self {
        self.held = held;
        self
    }

    /// How its end counts.
    pub(crate) fn work(&self) -> Work {
        self.work
    }

    /// Ready with whether there was a reply, and the reply itself if it is held.
    fn poll_source(&mut self, cx: &mut Context<'_>) -> Poll<(bool, Option<Held>)> {
        let reply = match &mut self.source {
            Some(Source::Future(future)) => Some(ready!(future.as_mut().poll(cx))),
            Some(Source::Relay(relay)) => ready!(Pin::new(relay).poll(cx)).ok(),
            None => None,
        };
        let answered = reply.is_some();
        let mut held = None;
        match (reply, self.tx.take()) {
            (Some(reply), Some(tx)) if self.held => {
                held = Some(Held::reply(tx, reply, self.caller.clone()));
            }
            (Some(reply), Some(tx)) => {
                // Nobody there any more: the reply is dropped, as in actix.
                let _ = tx.send(reply);
            }
            (None, tx) => {
                // The sender went down, with the actor if there is a reason to tell.
                if let Some(caller) = &self.caller {
                    caller.tell_unserved();
                }
                drop(tx);
            }
            (Some(_), None) => {}
        }
        Poll::Ready((answered, held))
    }
}

impl<T: 'static> Future for Reply<T> {
    type Output = Made;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Made> {
        let this = self.get_mut();
        let ((answered, held), panic) = match catch_unwind(AssertUnwindSafe(|| this.poll_source(cx))) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(answered)) => (answered, None),
            Err(payload) => {
                let panic = panic_message(payload);
                if let Some(caller) = &this.caller {
                    caller.tell(Unserved::ReplyPanicked { panic: panic.clone() });
                }
                ((false, None), Some(panic))
            }
        };
        drop_quietly(this.source.take());
        this.tx = None;
        Poll::Ready(Made { work: this.work, held, answered, panic })
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        // Cut: the caller is told why before the reply sender goes.
        if let (Some(_), Some(caller)) = (&self.tx, &self.caller) {
            caller.tell_unserved();
        }
        // Caught here: a panic that got out would end the drop of `FuturesUnordered` half-way, and
        // the callers of the rest would wait for ever.
        drop_quietly(self.source.take());
    }
}
