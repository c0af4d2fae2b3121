//! How a socket is held.

use std::time::Duration;

use actix_web::http::header::{self, HeaderMap, HeaderValue};

/// How sockets are held: what they may send, how far they may lag, and from where they may come.
#[derive(Debug, Clone)]
pub struct SocketOptions {
    pub(super) buffer: usize,
    pub(super) max_frame: usize,
    pub(super) ping_every: Duration,
    pub(super) ping_timeout: Duration,
    pub(super) notices: bool,
    origins: Option<Vec<String>>,
}

impl Default for SocketOptions {
    fn default() -> Self {
        Self {
            buffer: 64,
            max_frame: 64 * 1024,
            ping_every: Duration::from_secs(20),
            ping_timeout: Duration::from_secs(60),
            notices: true,
            origins: Some(Vec::new()),
        }
    }
}

impl SocketOptions {
    /// All as by default, which each setter names.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many frames may wait for a socket; with one more it is let go as too slow. Defaults to 64; at least 1.
    #[must_use]
    pub fn buffer(mut self, frames: usize) -> Self {
        self.buffer = frames.clamp(1, 1 << 20);
        self
    }

    /// The largest message a socket may send, in bytes; also if it comes in several frames. It is refused by the length it
    /// announces, before it is received, and so is one in more than 1,024 pieces. Defaults to 64 KiB.
    #[must_use]
    pub fn max_frame(mut self, bytes: usize) -> Self {
        self.max_frame = bytes;
        self
    }

    /// How often the peer is pinged, and after how long without a sign of it the socket is closed. Defaults to 20 seconds
    /// and 60.
    #[must_use]
    pub fn ping(mut self, every: Duration, timeout: Duration) -> Self {
        let least = Duration::from_millis(10);
        self.ping_every = every.max(least);
        self.ping_timeout = timeout.max(self.ping_every.saturating_add(least));
        self
    }

    /// Nothing is said to the peer but what the session says; only the close frame tells why it ends. For protocols that
    /// know no JSON events.
    #[must_use]
    pub fn without_notices(mut self) -> Self {
        self.notices = false;
        self
    }

    /// A page of this origin, such as `https://app.example.com`, may open a socket as well. By default only pages of
    /// the gateway's own host may, because a browser sends a visitor's cookies along whoever's page it is on; what is no
    /// browser sends no origin, and may.
    #[must_use]
    pub fn allow_origin(mut self, origin: impl Into<String>) -> Self {
        if let Some(origins) = &mut self.origins {
            origins.push(origin.into());
        }
        self
    }

    /// Any page may open a socket: where who may is told by something that a browser does not send by itself.
    #[must_use]
    pub fn allow_any_origin(mut self) -> Self {
        self.origins = None;
        self
    }

    /// The origin that may not, if it is so.
    pub(super) fn refused(&self, headers: &HeaderMap) -> Option<String> {
        let allowed = self.origins.as_ref()?;
        let origin = headers.get(header::ORIGIN)?;
        let host = headers.get(header::HOST).map(HeaderValue::as_bytes);
        let own = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
        let may = own.is_some_and(|(_, authority)| Some(authority.as_bytes()) == host)
            || allowed.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes());
        (!may).then(|| String::from_utf8_lossy(origin.as_bytes()).into_owned())
    }
}
