//! A WebSocket becomes one of a session's.

use actix::Handler;
use actix_web::{
    FromRequest as _, HttpRequest, HttpResponse, dev,
    http::{
        StatusCode,
        header::{self, HeaderValue},
    },
    rt, web,
};
use futures_util::StreamExt as _;

use super::{Socket, SocketEvent, SocketOptions, bridge::Bridge, frame_guard::FrameGuard};
use crate::{
    Session,
    web::{Named, Problem},
};

impl<A: Session + Handler<SocketEvent>> Named<A> {
    /// Upgrades the request to a WebSocket and attaches it to the session, whose actor has taken it when this is ready.
    /// See [`socket`](super).
    ///
    /// Take a [`Named`] for it, and no [`Opened`](crate::web::Opened): that would open the session before it is known whether the
    /// socket may come in, for any page that asks.
    ///
    /// # Errors
    ///
    /// Whatever can be refused is refused before the upgrade: a page of another origin (403, `origin_refused`), a request
    /// that wants no upgrade (426, `no_upgrade`), and all that [`send`](Self::send) may refuse.
    pub async fn attach(
        &self,
        request: &HttpRequest,
        body: web::Payload,
        options: &SocketOptions,
    ) -> Result<HttpResponse, Problem> {
        if let Some(origin) = options.refused(request.headers()) {
            let detail =
                format!("a page of {origin} may not open a socket here: those who run the gateway can allow it");
            return Err(Problem::new(StatusCode::FORBIDDEN, "origin_refused", detail));
        }
        let (guard, ending) = FrameGuard::new(body.into_inner(), options.max_frame);
        let mut payload = dev::Payload::Stream { payload: guard.boxed_local() };
        let body = web::Payload::from_request(request, &mut payload).await.map_err(|error| no_upgrade(&error))?;
        let (response, peer, frames) = actix_ws::handle(request, body).map_err(|error| no_upgrade(&error))?;
        let frames =
            frames.max_frame_size(options.max_frame).aggregate_continuations().max_continuation_size(options.max_frame);

        let (socket, line) = Socket::new(options.buffer);
        self.send(SocketEvent::Joined(socket)).await?;
        tracing::debug!(socket = %line.id(), key = %self.key(), "socket opened");
        rt::spawn(Bridge::new(line, peer, frames, ending, options).run());
        Ok(response)
    }
}

fn no_upgrade(error: &actix_web::Error) -> Problem {
    Problem::new(
        StatusCode::UPGRADE_REQUIRED,
        "no_upgrade",
        format!("this is a WebSocket ({error}): connect with a WebSocket client, by version 13 of the protocol"),
    )
    .header(header::UPGRADE, HeaderValue::from_static("websocket"))
    .header(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"))
}
