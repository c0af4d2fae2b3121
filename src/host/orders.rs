//! What is sent to a host: a queue that loses nothing when the host goes.
//!
//! tokio's channel drops what it finds when its receiver is dropped. Who has been let in just before, and has not queued
//! yet, queues afterwards, into a channel that nobody empties until its last sender goes; and a start in there has the
//! registry in its hands, with that sender. So whoever was let in is waited for here, as actix's mailboxes do.

use std::{
    future::poll_fn,
    pin::pin,
    task::{Context, Poll, Waker},
    thread,
};

use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::unconstrained,
};

use crate::session::panics::drop_quietly;

/// Dropped, it drops all that was ever sent with success.
pub(crate) struct Orders<T>(UnboundedReceiver<T>);

impl<T> Orders<T> {
    /// And the way there. Without bound.
    pub(super) fn new() -> (UnboundedSender<T>, Self) {
        let (sender, receiver) = unbounded_channel();
        (sender, Self(receiver))
    }

    /// The next one, or that nobody is left who could send any.
    pub(super) async fn next(&mut self) -> Option<T> {
        self.0.recv().await
    }
}

impl<T> Drop for Orders<T> {
    fn drop(&mut self) {
        self.0.close();
        let mut waker = Context::from_waker(Waker::noop());
        loop {
            // Without the budget of the task that it may be dropped in, which would make it look empty.
            let next = unconstrained(poll_fn(|cx| self.0.poll_recv(cx)));
            match pin!(next).poll(&mut waker) {
                // A start tells the log what becomes of it, and a subscriber is foreign code.
                Poll::Ready(Some(order)) => drop(drop_quietly(order)),
                Poll::Ready(None) => return,
                // Another thread is about to queue: a few instructions.
                Poll::Pending => thread::yield_now(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Barrier};

    use super::*;

    struct Grenade(#[allow(dead_code)] Arc<()>);

    impl Drop for Grenade {
        fn drop(&mut self) {
            panic!("dropped");
        }
    }

    #[test]
    fn what_panics_when_it_is_dropped_keeps_nothing_else_there() {
        let marker = Arc::new(());
        let (sender, orders) = Orders::new();
        for _ in 0..3 {
            assert!(sender.send(Grenade(Arc::clone(&marker))).is_ok());
        }
        drop(orders);
        assert_eq!(Arc::strong_count(&marker), 1);
    }

    /// With tokio's own receiver this fails within some hundred times.
    #[test]
    fn what_was_sent_with_success_is_dropped_with_it() {
        let marker = Arc::new(());
        for _ in 0..3_000 {
            let (sender, orders) = Orders::new();
            let begin = Arc::new(Barrier::new(2));
            thread::scope(|threads| {
                let (sender, begin_too) = (sender.clone(), Arc::clone(&begin));
                let marker = &marker;
                threads.spawn(move || {
                    begin_too.wait();
                    while sender.send(Arc::clone(marker)).is_ok() {}
                });
                begin.wait();
                drop(orders);
            });
            // The sender is still there, and so is what it queued too late.
            assert_eq!(Arc::strong_count(&marker), 1);
            drop(sender);
        }
    }
}
