//! The session's end of one WebSocket: a bounded queue that never makes the session wait.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::protocol::{Farewell, ServerEvent, SocketId};

/// What the bridge is to send. Text is shared by all sockets of a session.
#[derive(Clone, Debug)]
pub(crate) enum Outgoing {
    Event(Arc<str>),
    Close(Farewell),
}

impl From<&ServerEvent> for Outgoing {
    fn from(event: &ServerEvent) -> Self {
        Self::Event(event.to_json().into())
    }
}

/// The sending half, held by the session; the bridge holds the receiver.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) id: SocketId,
    queue: mpsc::Sender<Outgoing>,
}

/// A socket that can take no more: it is gone, or its queue is full. It must be let go.
#[derive(Debug)]
#[must_use]
pub(crate) struct Lost(pub(crate) &'static str);

impl Socket {
    /// One place more than asked for: the last is kept for the farewell, so a full queue can still be told why.
    pub(crate) fn new(id: SocketId, buffer: usize) -> (Self, mpsc::Receiver<Outgoing>) {
        let (queue, outgoing) = mpsc::channel(buffer + 1);
        (Self { id, queue }, outgoing)
    }

    pub(crate) fn is_open(&self) -> bool {
        !self.queue.is_closed()
    }

    /// Queues without waiting. A socket that lags by a whole queue is told so and lost.
    pub(crate) fn send(&self, event: Outgoing) -> Result<(), Lost> {
        if self.queue.capacity() <= 1 {
            self.close(Farewell::TOO_SLOW);
            return Err(Lost("too_slow"));
        }
        self.queue.try_send(event).map_err(|_| Lost("gone"))
    }

    /// Says goodbye; a bridge that has gone needs none.
    pub(crate) fn close(&self, farewell: Farewell) {
        let _ = self.queue.try_send(Outgoing::Close(farewell));
    }
}
