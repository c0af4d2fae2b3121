//! The task between one WebSocket and its session.
//!
//! Three things may happen next: the session says something, the peer sends a frame, or it is time to ping. Writing
//! waits for the peer, but only this task waits: the session never does, its queue to this socket is bounded. Where the
//! session's mailbox is full, the peer is not read until there is room. When either side ends, the bridge tells the
//! other and is gone.

use std::{
    borrow::Cow,
    convert::Infallible,
    future::Future,
    io,
    pin::{Pin, pin},
    time::Duration,
};

use actix::{Recipient, dev::RecipientRequest, prelude::SendError};
use actix_web::error::PayloadError;
use actix_ws::{AggregatedMessage, AggregatedMessageStream, CloseReason, Closed, ProtocolError};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, MissedTickBehavior, interval, timeout},
};

use super::{
    Frame, Goodbye, SocketEvent, SocketId, SocketOptions,
    event::{Line, Outgoing},
};

/// A write that does not get through in this time has no reader.
const WRITE_PATIENCE: Duration = Duration::from_secs(10);
/// How long the peer may take to answer a close frame with its own.
const CLOSE_PATIENCE: Duration = Duration::from_secs(2);

/// Keeps neither the registry nor the session alive.
pub(super) struct Bridge {
    id: SocketId,
    outgoing: mpsc::Receiver<Outgoing>,
    address: oneshot::Receiver<Recipient<SocketEvent>>,
    /// `None` once it was awaited.
    slow: Option<oneshot::Receiver<()>>,
    peer: actix_ws::Session,
    frames: AggregatedMessageStream,
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
        id: SocketId,
        line: Line,
        peer: actix_ws::Session,
        frames: AggregatedMessageStream,
        options: &SocketOptions,
    ) -> Self {
        let SocketOptions { ping_every, ping_timeout, notices, .. } = *options;
        let Line { outgoing, address, slow } = line;
        Self { id, outgoing, address, slow: Some(slow), peer, frames, ping_every, ping_timeout, notices }
    }

    pub(super) async fn run(mut self) {
        // Nothing if the session did not take it: it was told why, or is gone.
        let session = self.address.try_recv().ok();
        let (down, slow) = self.carry_or_lag(session.as_ref()).await;
        let why = down.why();
        // First the session, so that it does not wait for a peer that takes its time to say goodbye.
        let knows = slow || matches!(down, Down::Dismissed { ends: true, .. });
        if let Some(session) = session.filter(|_| !knows) {
            session.do_send(SocketEvent::Left(self.id, why));
        }
        tracing::debug!(socket = %self.id, why, "socket closed");
        self.come_down(down).await;
    }

    /// Carries; and if the peer does not keep up, tells the session so at once, though much of what was said may still be
    /// on its way.
    async fn carry_or_lag(&mut self, session: Option<&Recipient<SocketEvent>>) -> (Down, bool) {
        let (id, slow) = (self.id, self.slow.take());
        let mut carry = pin!(self.carry(session));
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
    async fn carry(&mut self, session: Option<&Recipient<SocketEvent>>) -> Result<Infallible, Down> {
        let mut ping = interval(self.ping_every);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last_heard = Instant::now();
        // A frame for which there was no room.
        let mut waiting: Waiting = None;
        loop {
            tokio::select! {
                said = self.outgoing.recv() => match said {
                    Some(Outgoing::Frame(frame)) => self.write(frame).await?,
                    Some(Outgoing::Notice(text)) => self.notice(Frame::Text(text)).await?,
                    Some(Outgoing::Close { goodbye, ends }) => return Err(Down::Dismissed { goodbye, ends }),
                    // The session's actor went away without a word: it panicked, or its thread ended.
                    None => return Err(Down::Dismissed { goodbye: Goodbye::FAILED, ends: true }),
                },
                frame = self.frames.recv(), if waiting.is_none() => {
                    last_heard = Instant::now();
                    let frame = frame.ok_or(Down::Gone("gone"))?.map_err(refused)?;
                    if let Some(frame) = self.hear(frame).await? && let Some(session) = session {
                        match session.try_send(SocketEvent::Frame(self.id, frame)) {
                            // If the session has ended, why stands in the queue from it.
                            Ok(()) | Err(SendError::Closed(_)) => {}
                            Err(SendError::Full(event)) => waiting = Some(Box::pin(session.send(event))),
                        }
                    }
                }
                () = taken(&mut waiting) => {
                    waiting = None;
                    // It could not be heard meanwhile.
                    last_heard = Instant::now();
                }
                _ = ping.tick() => {
                    if waiting.is_none() && last_heard.elapsed() >= self.ping_timeout {
                        return Err(Down::Refused(Goodbye::SILENT));
                    }
                    patiently(self.peer.ping(b"")).await?;
                }
            }
        }
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

type Waiting = Option<Pin<Box<RecipientRequest<SocketEvent>>>>;

async fn taken(waiting: &mut Waiting) {
    match waiting {
        Some(request) => {
            let _ = request.await;
        }
        None => std::future::pending().await,
    }
}

async fn patiently(write: impl Future<Output = Result<(), Closed>>) -> Result<(), Down> {
    Ok(timeout(WRITE_PATIENCE, write).await.map_err(|_| Down::Gone("too_slow"))??)
}

/// What a frame that could not be read says about its sender.
fn refused(error: ProtocolError) -> Down {
    let goodbye = match error {
        ProtocolError::Overflow => Goodbye::TOO_LARGE,
        ProtocolError::Io(error) if error.kind() == io::ErrorKind::InvalidData => Goodbye::NOT_UTF8,
        ProtocolError::Io(error) => match error.get_ref().and_then(|source| source.downcast_ref::<PayloadError>()) {
            Some(PayloadError::Overflow) => Goodbye::TOO_LARGE,
            Some(_) => return Down::Gone("gone"),
            // Fragments that are each small enough and together are not.
            None => Goodbye::TOO_LARGE,
        },
        _ => Goodbye::BROKEN,
    };
    Down::Refused(goodbye)
}
