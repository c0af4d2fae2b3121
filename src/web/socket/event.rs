//! What a session hears of its sockets.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

use actix::{Message, Recipient};
use actix_web::web::Bytes;
use bytestring::ByteString;
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

use super::Goodbye;

/// Names a socket, unique in the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct SocketId(u64);

impl SocketId {
    fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

impl fmt::Display for SocketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a peer sends, and what it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// Text. Cheap to clone.
    Text(ByteString),
    /// Bytes. Cheap to clone.
    Binary(Bytes),
}

impl From<String> for Frame {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<&str> for Frame {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<ByteString> for Frame {
    fn from(text: ByteString) -> Self {
        Self::Text(text)
    }
}

impl From<Bytes> for Frame {
    fn from(bytes: Bytes) -> Self {
        Self::Binary(bytes)
    }
}

impl From<Vec<u8>> for Frame {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Binary(bytes.into())
    }
}

/// What happens to a socket of the session: give it to [`Sockets::hear`](super::Sockets::hear).
#[derive(Debug, Message)]
#[rtype(result = "()")]
#[non_exhaustive]
pub enum SocketEvent {
    /// It wants in. Dropped, it is closed as failed.
    Joined(Socket),
    /// Its peer has sent something.
    Frame(SocketId, Frame),
    /// It is gone, and why, in a word: `left`, `gone`, `silent`, `too_slow`, `too_large` and the like.
    Left(SocketId, &'static str),
}

/// What came of a [`SocketEvent`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Heard {
    /// This socket is one of the session's now.
    Joined(SocketId),
    /// There are as many as there may be: it was told to come back later.
    Refused(SocketId),
    /// Its peer has sent this.
    Frame(SocketId, Frame),
    /// It is none any more, for this reason.
    Left(SocketId, &'static str),
}

/// What is on its way to a peer.
#[derive(Debug, Clone)]
pub(super) enum Outgoing {
    Frame(Frame),
    /// What this crate says, and not the session.
    Notice(ByteString),
    /// `ends`: because the session does.
    Close {
        goodbye: Goodbye,
        ends: bool,
    },
}

/// The session's end of a socket: a bounded queue that never makes the session wait.
pub struct Socket {
    id: SocketId,
    queue: mpsc::Sender<Outgoing>,
    /// Tells the other end where to send what the peer says.
    address: Option<oneshot::Sender<Recipient<SocketEvent>>>,
    /// Tells the other end that it does not keep up, which cannot hear of that by the queue.
    slow: Option<oneshot::Sender<()>>,
}

/// The other end.
pub(super) struct Line {
    pub(super) outgoing: mpsc::Receiver<Outgoing>,
    pub(super) address: oneshot::Receiver<Recipient<SocketEvent>>,
    pub(super) slow: oneshot::Receiver<()>,
}

impl Socket {
    /// One place more than asked for: the last is kept for the goodbye, so that a full queue can still be told why.
    pub(super) fn new(buffer: usize) -> (Self, Line) {
        let (queue, outgoing) = mpsc::channel(buffer + 1);
        let (tell, address) = oneshot::channel();
        let (hurry, slow) = oneshot::channel();
        let socket = Self { id: SocketId::next(), queue, address: Some(tell), slow: Some(hurry) };
        (socket, Line { outgoing, address, slow })
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> SocketId {
        self.id
    }

    pub(super) fn accept(&mut self, address: Recipient<SocketEvent>) {
        if let Some(tell) = self.address.take() {
            let _ = tell.send(address);
        }
    }

    pub(super) fn is_open(&self) -> bool {
        !self.queue.is_closed()
    }

    /// Queues without waiting. Why it is lost, if it is: it lags by a whole queue, which it is told, or is gone.
    pub(super) fn send(&mut self, outgoing: Outgoing) -> Result<(), &'static str> {
        if self.queue.capacity() <= 1 && self.is_open() {
            self.close(Goodbye::TOO_SLOW, false);
            let _ = self.slow.take().map(|slow| slow.send(()));
            return Err("too_slow");
        }
        self.queue.try_send(outgoing).map_err(|_| "gone")
    }

    /// Says goodbye; a peer that has gone needs none.
    pub(super) fn close(&self, goodbye: Goodbye, ends: bool) {
        let _ = self.queue.try_send(Outgoing::Close { goodbye, ends });
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Socket").field(&self.id.0).finish()
    }
}
