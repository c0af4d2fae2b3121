//! The task between one WebSocket and its session.
//!
//! Three things may happen next: the session says something, the peer sends a frame, or it is time to ping. Writing
//! waits for the peer, but only this task waits: the session never does, its queue to this socket is bounded. Where the
//! session's mailbox is full, the peer is not read until there is room. When either side ends, the bridge tells the
//! other and is gone.

use std::{borrow::Cow, cell::RefCell, convert::Infallible, future::Future, io, pin::pin, time::Duration};

use actix::{Recipient, prelude::SendError};
use actix_ws::{AggregatedMessage, AggregatedMessageStream, CloseReason, Closed, ProtocolError};
use futures_util::FutureExt as _;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use super::{
    Frame, Goodbye, SocketEvent, SocketOptions,
    event::{Line, Outgoing},
    frame_guard::{Ending, Fault},
};

/// A write that does not get through in this time has no reader.
const WRITE_PATIENCE: Duration = Duration::from_secs(10);
/// How long the peer may take to answer a close frame with its own.
const CLOSE_PATIENCE: Duration = Duration::from_secs(2);
/// Between two looks whether the session's mailbox has room.
const LONGEST_PAUSE: Duration = Duration::from_millis(64);

/// Keeps neither the registry nor the session alive.
pub(super) struct Bridge {
    line: Line,
    peer: actix_ws::Session,
    frames: AggregatedMessageStream,
    ending: Ending,
    ping_every: Duration,
    ping_timeout: Duration,
    notices: bool,
}

/// Why it comes down.
enum Down {
    /// The session has let the socket go. `ends`: because it ends itself, so it need not be told. More than that: what is
    /// sent to it then would open its key again for nobody.
    Dismissed { goodbye: Goodbye, ends: bool },
    /// This side ends it and says why.
    Refused(Goodbye),
    /// The peer sent a close frame, to be answered in kind.
    Left(Option<CloseReason>),
    /// The connection is gone, or nothing gets through any more: there is nobody to tell.
    Gone(&'static str),
}

impl From<Closed> for Down {
    fn from(_: Closed) -> Self {
        Self::Gone("gone")
    }
}

impl Down {
    fn why(&self) -> &'static str {
        match self {
            Self::Dismissed { goodbye, .. } | Self::Refused(goodbye) => match &goodbye.reason {
                Cow::Borrowed(reason) => reason,
                Cow::Owned(_) => "dismissed",
            },
            Self::Left(_) => "left",
            Self::Gone(why) => why,
        }
    }
}

impl Bridge {
    pub(super) fn new(
        line: Line,
        peer: actix_ws::Session,
        frames: AggregatedMessageStream,
        ending: Ending,
        options: &SocketOptions,
    ) -> Self {
        let SocketOptions { ping_every, ping_timeout, notices, .. } = *options;
        Self { line, peer, frames, ending, ping_every, ping_timeout, notices }
    }

    pub(super) async fn run(mut self) {
        // Nobody if the session did not take it: it was told why, or is gone.
        let session = self.line.session().cloned();
        // A frame for which there was no room.
        let waiting = RefCell::new(None);
        let (down, lagged) = self.carry_or_lag(session.as_ref(), &waiting).await;
        let why = down.why();
        // First the session, so that it does not wait for a peer that takes its time to say goodbye.
        if let (Some(session), Some(last)) = (&session, waiting.into_inner()) {
            session.do_send(last);
        }
        if lagged || matches!(down, Down::Dismissed { ends: true, .. }) {
            self.line.set_told();
        }
        self.line.leave(why);
        tracing::debug!(socket = %self.line.id(), why, "socket closed");
        self.come_down(down).await;
    }

    /// Carries; and if the peer does not keep up, tells the session so at once, though much of what was said may still be
    /// on its way.
    async fn carry_or_lag(&mut self, session: Option<&Recipient<SocketEvent>>, waiting: &Waiting) -> (Down, bool) {
        let (id, slow) = (self.line.id(), self.line.slow.take());
        let mut carry = pin!(self.carry(session, waiting));
        if let Some(slow) = slow {
            tokio::select! {
                Err(down) = &mut carry => return (down, false),
                Ok(()) = slow => {}
            }
        }
        if let Some(session) = session {
            session.do_send(SocketEvent::Left(id, "too_slow"));
        }
        let Err(down) = carry.await;
        (down, true)
    }

    /// Runs until something ends it; there is no good end but a reason.
    async fn carry(&mut self, session: Option<&Recipient<SocketEvent>>, waiting: &Waiting) -> Result<Infallible, Down> {
        let mut ping = interval(self.ping_every);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last_heard = Instant::now();
        loop {
            let is_full = waiting.borrow().is_some();
            tokio::select! {
                said = self.line.outgoing.recv() => match said {
                    Some(Outgoing::Frame(frame)) => self.write(frame).await?,
                    Some(Outgoing::Notice(text)) => self.notice(Frame::Text(text)).await?,
                    Some(Outgoing::Close { goodbye, ends }) => return Err(Down::Dismissed { goodbye, ends }),
                    // The session's actor went away without a word: it panicked, or its thread ended.
                    None => return Err(Down::Dismissed { goodbye: Goodbye::FAILED, ends: true }),
                },
                frame = self.frames.recv(), if !is_full => {
                    last_heard = Instant::now();
                    let frame = match frame {
                        Some(Ok(frame)) => frame,
                        Some(Err(error)) => return Err(self.unreadable(&error, session)),
                        None => return Err(self.broken_off()),
                    };
                    if let Some(frame) = self.hear(frame).await? && let Some(session) = session {
                        offer(session, SocketEvent::Frame(self.line.id(), frame), waiting);
                    }
                }
                () = room(session, waiting), if is_full => {
                    // It could not be heard meanwhile.
                    last_heard = Instant::now();
                }
                _ = ping.tick() => {
                    if !is_full && last_heard.elapsed() >= self.ping_timeout {
                        return Err(Down::Refused(Goodbye::SILENT));
                    }
                    patiently(self.peer.ping(b"")).await?;
                }
            }
        }
    }

    /// The frames have ended, and all that were good are read.
    fn broken_off(&self) -> Down {
        match self.ending.fault() {
            None => Down::Gone("gone"),
            Some(Fault::TooLarge) => Down::Refused(Goodbye::TOO_LARGE),
            Some(Fault::Broken) => Down::Refused(Goodbye::BROKEN),
        }
    }

    /// The decoder refuses a frame. It found that before it gave the frames of the same read: they are the session's.
    fn unreadable(&mut self, error: &ProtocolError, session: Option<&Recipient<SocketEvent>>) -> Down {
        let id = self.line.id();
        while let Some(Some(Ok(frame))) = self.frames.recv().now_or_never() {
            let frame = match frame {
                AggregatedMessage::Text(text) => Frame::Text(text),
                AggregatedMessage::Binary(bytes) => Frame::Binary(bytes),
                AggregatedMessage::Ping(_) | AggregatedMessage::Pong(_) => continue,
                AggregatedMessage::Close(_) => break,
            };
            if let Some(session) = session {
                session.do_send(SocketEvent::Frame(id, frame));
            }
        }
        refused(error)
    }

    /// What the session is to hear.
    async fn hear(&mut self, frame: AggregatedMessage) -> Result<Option<Frame>, Down> {
        match frame {
            AggregatedMessage::Text(text) => Ok(Some(Frame::Text(text))),
            AggregatedMessage::Binary(bytes) => Ok(Some(Frame::Binary(bytes))),
            AggregatedMessage::Ping(bytes) => patiently(self.peer.pong(&bytes)).await.map(|()| None),
            AggregatedMessage::Pong(_) => Ok(None),
            AggregatedMessage::Close(reason) => Err(Down::Left(reason)),
        }
    }

    async fn write(&mut self, frame: Frame) -> Result<(), Down> {
        match frame {
            Frame::Text(text) => patiently(self.peer.text(text)).await,
            Frame::Binary(bytes) => patiently(self.peer.binary(bytes)).await,
        }
    }

    async fn notice(&mut self, frame: Frame) -> Result<(), Down> {
        if self.notices { self.write(frame).await } else { Ok(()) }
    }

    async fn come_down(mut self, down: Down) {
        let reason = match down {
            Down::Gone(_) => return,
            Down::Left(ref reason) => reason.as_ref().map(|reason| reason.code.into()),
            Down::Dismissed { ref goodbye, .. } | Down::Refused(ref goodbye) => {
                if self.notice(Frame::Text(goodbye.notice())).await.is_err() {
                    return;
                }
                Some(CloseReason { code: goodbye.code, description: Some(goodbye.close_text()) })
            }
        };
        let answered = matches!(down, Down::Left(_));
        // The clone keeps the connection open until the peer has read the close frame and sent its own; what else it
        // sends meanwhile is dropped.
        let open = self.peer.clone();
        if patiently(self.peer.close(reason)).await.is_ok() && !answered {
            let closed = async {
                while let Some(Ok(frame)) = self.frames.recv().await
                    && !matches!(frame, AggregatedMessage::Close(_))
                {}
            };
            let _ = timeout(CLOSE_PATIENCE, closed).await;
        }
        drop(open);
    }
}

type Waiting = RefCell<Option<SocketEvent>>;

/// Gives the session a frame, or lets it wait.
fn offer(session: &Recipient<SocketEvent>, event: SocketEvent, waiting: &Waiting) {
    // If the session has ended, why stands in the queue from it.
    if let Err(SendError::Full(event)) = session.try_send(event) {
        waiting.replace(Some(event));
    }
}

/// Resolves when what waits has got its place. A mailbox does not tell when there is room, so it is tried again, the more
/// seldom the longer that takes.
async fn room(session: Option<&Recipient<SocketEvent>>, waiting: &Waiting) {
    let mut pause = Duration::from_millis(1);
    let Some(session) = session else { return };
    loop {
        sleep(pause).await;
        let Some(event) = waiting.take() else { return };
        offer(session, event, waiting);
        pause = (2 * pause).min(LONGEST_PAUSE);
    }
}

async fn patiently(write: impl Future<Output = Result<(), Closed>>) -> Result<(), Down> {
    Ok(timeout(WRITE_PATIENCE, write).await.map_err(|_| Down::Gone("too_slow"))??)
}

/// What a frame that could not be read says about its sender. Its header was good.
fn refused(error: &ProtocolError) -> Down {
    Down::Refused(match error {
        ProtocolError::Overflow => Goodbye::TOO_LARGE,
        ProtocolError::Io(error) if error.kind() == io::ErrorKind::InvalidData => Goodbye::NOT_UTF8,
        // Pieces that are each small enough and together are not.
        ProtocolError::Io(_) => Goodbye::TOO_LARGE,
        _ => Goodbye::BROKEN,
    })
}
