//! Replies that go on without their session.
//!
//! A session that ends by its own will or by a panic leaves the replies that need it no more to be
//! finished, as bare actix does. A shutdown waits for them too, up to its deadline, and what is left
//! then is cut, and told why.

use std::{pin::pin, sync::Arc};

use super::{caller::because, held::Held, panics::drop_quietly, replies::Replies, traits::Session};
use crate::{error::Unserved, key::SessionKey, registry::hub::Hub};

/// What goes on, until it is dropped; counted by the capacity.
struct Detached<A: Session> {
    replies: Option<Replies>,
    hub: Arc<Hub<A>>,
    /// How the session ended.
    why: Unserved,
}

impl<A: Session> Drop for Detached<A> {
    fn drop(&mut self) {
        // Also when the task is dropped with its arbiter.
        because(self.why.clone(), || drop_quietly(self.replies.take()));
        self.hub.end_detached();
    }
}

/// Lets them go on on this thread, to their end or to the deadline of a shutdown.
pub(super) fn run_on<A: Session>(replies: Replies, hub: Arc<Hub<A>>, key: SessionKey, why: Unserved) {
    hub.capacity.detach();
    // Made here, not in the task: one that is never polled gives its count back all the same.
    let mut detached = Detached { replies: Some(replies), hub: Arc::clone(&hub), why };
    actix::spawn(async move {
        let mut cut = pin!(hub.shutdown.passed());
        while let Some(replies) = detached.replies.as_mut() {
            tokio::select! {
                made = replies.next() => match made {
                    Some(mut made) => {
                        // The session is over: there is nothing behind it any more that could be saved.
                        if let Some(held) = made.held.take() {
                            held.deliver();
                        }
                        made.log(Some(&key));
                    }
                    None => return,
                },
                () = &mut cut => {
                    // What has come in the same moment is not cut.
                    let mut held = Vec::new();
                    replies.last_look(&key, &mut held);
                    held.into_iter().for_each(Held::deliver);
                    return hub.shutdown.note_cut_replies(replies.len());
                }
            }
        }
    });
}
