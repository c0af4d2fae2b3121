//! The task between one WebSocket and its session.
//!
//! Three things may happen next: the session says something, the peer sends a frame, or it is time to ping. Writing
//! waits for the peer, but only this task waits: the session never does, its queue to this socket is bounded and drops
//! the socket when full. When either side ends, the bridge tells the other and is gone.

use std::io;
use std::time::Duration;

use actix::prelude::SendError;
use actix_web::error::PayloadError;
use actix_ws::{AggregatedMessage, AggregatedMessageStream, CloseReason, Closed, ProtocolError};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::chat_session::{Leave, Say};
use super::config::Config;
use super::protocol::{ClientFrame, Farewell, FrameError, ServerEvent, SocketId};
use super::session::SessionAddr;
use super::socket::Outgoing;

/// A write that does not get through in this time has no reader.
const WRITE_PATIENCE: Duration = Duration::from_secs(10);
/// How long the peer may take to answer a close frame with its own.
const CLOSE_PATIENCE: Duration = Duration::from_secs(2);

pub(crate) struct Bridge {
    pub(crate) socket: SocketId,
    pub(crate) session: SessionAddr,
    pub(crate) outgoing: mpsc::Receiver<Outgoing>,
    pub(crate) sender: actix_ws::Session,
    pub(crate) frames: AggregatedMessageStream,
    pub(crate) ping_every: Duration,
    pub(crate) ping_timeout: Duration,
    pub(crate) max_work: Duration,
}

/// Why the bridge comes down.
enum Down {
    /// The session has let the socket go, and says why: it need not be told. More than that: it may be ending, and what
    /// is sent to it then would open its key again for nobody.
    Dismissed(Farewell),
    /// This side ends it and says why.
    Farewell(Farewell),
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

impl Bridge {
    /// The settings are copied: a bridge must not keep the gateway, and with it the registry, alive.
    pub(crate) fn new(
        (socket, session, outgoing): (SocketId, SessionAddr, mpsc::Receiver<Outgoing>),
        (sender, frames): (actix_ws::Session, AggregatedMessageStream),
        config: &Config,
    ) -> Self {
        let (ping_every, ping_timeout) = (config.chat.ping_every, config.chat.ping_timeout);
        let max_work = config.limits.max_work;
        Self { socket, session, outgoing, sender, frames, ping_every, ping_timeout, max_work }
    }

    pub(crate) async fn run(mut self) {
        let Err(down) = self.carry().await;
        let why = match &down {
            Down::Dismissed(farewell) | Down::Farewell(farewell) => farewell.reason,
            Down::Left(_) => "left",
            Down::Gone(why) => why,
        };
        // First the session, so that it does not wait for a peer that takes its time to say goodbye.
        if !matches!(down, Down::Dismissed(_)) {
            self.session.do_send(Leave { socket: self.socket, why });
        }
        tracing::info!(socket = self.socket.0, why, "socket closed");
        self.come_down(down).await;
    }

    /// Runs until something ends it; there is no good end but a reason.
    async fn carry(&mut self) -> Result<std::convert::Infallible, Down> {
        let mut ping = interval(self.ping_every);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last_heard = Instant::now();
        loop {
            tokio::select! {
                said = self.outgoing.recv() => match said {
                    Some(Outgoing::Event(text)) => self.write(&text).await?,
                    Some(Outgoing::Close(farewell)) => return Err(Down::Dismissed(farewell)),
                    None => return Err(Down::Dismissed(Farewell::FAILED)),
                },
                frame = self.frames.recv() => {
                    last_heard = Instant::now();
                    self.hear(frame.ok_or(Down::Gone("gone"))?.map_err(refused)?).await?;
                }
                _ = ping.tick() => {
                    if last_heard.elapsed() >= self.ping_timeout {
                        return Err(Down::Farewell(Farewell::SILENT));
                    }
                    patiently(self.sender.ping(b"")).await?;
                }
            }
        }
    }

    async fn hear(&mut self, frame: AggregatedMessage) -> Result<(), Down> {
        match frame {
            AggregatedMessage::Text(text) => match ClientFrame::parse(&text) {
                Ok(frame) => self.say(frame).await,
                Err(error) => self.refuse(error).await,
            },
            AggregatedMessage::Ping(bytes) => patiently(self.sender.pong(&bytes)).await,
            AggregatedMessage::Pong(_) => Ok(()),
            AggregatedMessage::Binary(_) => Err(Down::Farewell(Farewell::NOT_TEXT)),
            AggregatedMessage::Close(reason) => Err(Down::Left(reason)),
        }
    }

    async fn say(&mut self, ClientFrame { say: text, think_ms }: ClientFrame) -> Result<(), Down> {
        let think = Duration::from_millis(think_ms);
        if think > self.max_work {
            let message = format!("a reply may take {:?} at most: ask for less", self.max_work);
            return self.refuse(FrameError { error: "too_slow_a_reply", message }).await;
        }
        match self.session.try_send(Say { socket: self.socket, text, think }) {
            // If the session has ended, why stands in the queue from it.
            Ok(()) | Err(SendError::Closed(_)) => Ok(()),
            Err(SendError::Full(_)) => {
                let message = "the session has too many messages waiting: say it again later".into();
                self.refuse(FrameError { error: "busy", message }).await
            }
        }
    }

    async fn refuse(&mut self, error: FrameError) -> Result<(), Down> {
        self.write(&ServerEvent::Error(error).to_json()).await
    }

    async fn write(&mut self, text: &str) -> Result<(), Down> {
        patiently(self.sender.text(text)).await
    }

    async fn come_down(mut self, down: Down) {
        let reason = match down {
            Down::Gone(_) => return,
            Down::Left(ref reason) => reason.as_ref().map(|reason| reason.code.into()),
            Down::Dismissed(farewell) | Down::Farewell(farewell) => {
                if self.write(&farewell.event().to_json()).await.is_err() {
                    return;
                }
                Some(CloseReason { code: farewell.code, description: Some(farewell.message.into()) })
            }
        };
        let answered = matches!(down, Down::Left(_));
        // The clone keeps the connection open until the peer has read the close frame and sent its own; what else it
        // sends meanwhile is dropped.
        let open = self.sender.clone();
        if patiently(self.sender.close(reason)).await.is_ok() && !answered {
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

async fn patiently(write: impl Future<Output = Result<(), Closed>>) -> Result<(), Down> {
    Ok(timeout(WRITE_PATIENCE, write).await.map_err(|_| Down::Gone("too_slow"))??)
}

/// What a frame that could not be read says about its sender.
fn refused(error: ProtocolError) -> Down {
    let farewell = match error {
        ProtocolError::Overflow => Farewell::TOO_LARGE,
        ProtocolError::Io(error) if error.kind() == io::ErrorKind::InvalidData => Farewell::NOT_UTF8,
        ProtocolError::Io(error) => match error.get_ref().and_then(|source| source.downcast_ref::<PayloadError>()) {
            Some(PayloadError::Overflow) => Farewell::TOO_LARGE,
            Some(_) => return Down::Gone("gone"),
            // Fragments that are each small enough and together are not.
            None => Farewell::TOO_LARGE,
        },
        _ => Farewell::BROKEN,
    };
    Down::Farewell(farewell)
}
