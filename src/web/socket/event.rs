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

impl SocketEvent {
    /// Whether it is of no use to a session that never had the socket: see [`Session::is_moot`](crate::Session::is_moot).
    #[must_use]
    pub fn is_moot(&self) -> bool {
        matches!(self, Self::Left(..))
    }
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
    /// Its peer has sent something though it is none any more: that was on its way. It is no activity.
    Late(SocketId),
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

/// What came of sending to a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    Queued,
    /// It lags by a whole queue, and was told that it is let go.
    TooSlow,
    /// The peer has gone. What it said before may still be on its way; that it left comes behind that.
    Gone,
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

/// The other end. If it is lost, in whatever way, a session that took the socket is told.
pub(super) struct Line {
    id: SocketId,
    pub(super) outgoing: mpsc::Receiver<Outgoing>,
    address: oneshot::Receiver<Recipient<SocketEvent>>,
    /// `None` once it is awaited.
    pub(super) slow: Option<oneshot::Receiver<()>>,
    session: Option<Recipient<SocketEvent>>,
    /// The session knows that it is no more.
    told: bool,
}

impl Line {
    pub(super) fn id(&self) -> SocketId {
        self.id
    }

    /// Who has taken it. Nobody if the session refused it, or is gone.
    pub(super) fn session(&mut self) -> Option<&Recipient<SocketEvent>> {
        if self.session.is_none() {
            self.session = self.address.try_recv().ok();
        }
        self.session.as_ref()
    }

    /// It is no more, which the session is told once, if at all.
    pub(super) fn leave(&mut self, why: &'static str) {
        let id = self.id;
        if !std::mem::replace(&mut self.told, true)
            && let Some(session) = self.session()
        {
            session.do_send(SocketEvent::Left(id, why));
        }
    }

    /// The session knows by itself.
    pub(super) fn set_told(&mut self) {
        self.told = true;
    }
}

impl Drop for Line {
    /// The request was given up on while the session was being asked, or this thread's runtime stops.
    fn drop(&mut self) {
        // From here on it is not taken; or it has been.
        self.address.close();
        self.leave("gone");
    }
}

impl Socket {
    /// One place more than asked for: the last is kept for the goodbye, so that a full queue can still be told why.
    pub(super) fn new(buffer: usize) -> (Self, Line) {
        let (queue, outgoing) = mpsc::channel(buffer + 1);
        let (tell, address) = oneshot::channel();
        let (hurry, slow) = oneshot::channel();
        let id = SocketId::next();
        let line = Line { id, outgoing, address, slow: Some(slow), session: None, told: false };
        (Self { id, queue, address: Some(tell), slow: Some(hurry) }, line)
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> SocketId {
        self.id
    }

    /// Tells the other end who has it. False if there is none any more.
    pub(super) fn accept(&mut self, address: Recipient<SocketEvent>) -> bool {
        self.address.take().is_some_and(|tell| tell.send(address).is_ok())
    }

    /// Queues without waiting.
    pub(super) fn send(&mut self, outgoing: Outgoing) -> Sent {
        if self.queue.capacity() <= 1 && !self.queue.is_closed() {
            self.close(Goodbye::TOO_SLOW, false);
            let _ = self.slow.take().map(|slow| slow.send(()));
            return Sent::TooSlow;
        }
        if self.queue.try_send(outgoing).is_ok() { Sent::Queued } else { Sent::Gone }
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

#[cfg(test)]
mod tests {
    use actix::{Actor, Context, Handler};

    use super::*;

    /// Hears of sockets, and says what.
    struct Ear(mpsc::UnboundedSender<String>);

    impl Actor for Ear {
        type Context = Context<Self>;
    }

    impl Handler<SocketEvent> for Ear {
        type Result = ();

        fn handle(&mut self, event: SocketEvent, _: &mut Self::Context) {
            let _ = self.0.send(format!("{event:?}"));
        }
    }

    fn ear() -> (Recipient<SocketEvent>, mpsc::UnboundedReceiver<String>) {
        let (says, hears) = mpsc::unbounded_channel();
        (Ear(says).start().recipient(), hears)
    }

    #[actix::test]
    async fn a_socket_that_is_lost_after_it_was_taken_is_told_once() {
        for asks in [false, true] {
            let (ear, mut hears) = ear();
            let (mut socket, mut line) = Socket::new(1);
            assert!(socket.accept(ear));
            let left = format!("Left({:?}, \"gone\")", socket.id());
            if asks {
                assert!(line.session().is_some());
            }
            drop(line);
            drop(socket);
            assert_eq!(hears.recv().await, Some(left));
            assert_eq!(hears.recv().await, None, "told twice");
        }
    }

    #[actix::test]
    async fn a_socket_that_is_lost_before_is_not_taken() {
        let (ear, mut hears) = ear();
        let (mut socket, line) = Socket::new(1);
        drop(line);
        assert!(!socket.accept(ear));
        assert_eq!(hears.recv().await, None);
    }

    #[actix::test]
    async fn a_socket_that_left_is_not_lost_as_well() {
        let (ear, mut hears) = ear();
        let (mut socket, mut line) = Socket::new(1);
        socket.accept(ear);
        line.leave("left");
        drop(line);
        assert_eq!(hears.recv().await, Some(format!("Left({:?}, \"left\")", socket.id())));
        assert_eq!(hears.recv().await, None);
    }
}
