//! `GET /ws/{user}`: one more socket for the chat `user:{user}`.

use actix_web::{FromRequest, HttpRequest, HttpResponse, dev, rt, web};

use futures_util::StreamExt as _;

use super::app::Gateway;
use super::auth::check_origin;
use super::bridge::Bridge;
use super::chat_session::{Join, JoinRefused};
use super::errors::GatewayError;
use super::frame_guard::FrameGuard;
use super::keys::user_key;
use super::socket::Socket;

/// Whatever can be refused is refused before the upgrade, with a status and a JSON error; afterwards there are only
/// close codes.
pub(crate) async fn chat(
    request: HttpRequest,
    body: web::Payload,
    user: web::Path<String>,
    gateway: web::Data<Gateway>,
) -> Result<HttpResponse, GatewayError> {
    let config = &gateway.config;
    check_origin(request.headers(), &config.chat.allowed_origins)?;
    let key = user_key(&user)?;

    let limit = config.limits.frame_bytes;
    let body = guarded(&request, body, limit).await?;
    let (response, sender, frames) =
        actix_ws::handle(&request, body).map_err(|error| GatewayError::NoUpgrade(error.to_string()))?;
    let frames = frames.max_frame_size(limit).aggregate_continuations().max_continuation_size(limit);

    let (socket, outgoing) = Socket::new(gateway.next_socket(), config.chat.socket_buffer);
    let id = socket.id;
    let session = gateway.registry.send(&key, Join { socket }).await?.map_err(|refused| match refused {
        JoinRefused::TooManySockets { limit } => GatewayError::TooManySockets { limit },
        JoinRefused::NotAChat => GatewayError::Failed,
    })?;
    tracing::info!(socket = id.0, %key, "socket opened");
    rt::spawn(Bridge::new((id, session, outgoing), (sender, frames), config).run());
    Ok(response)
}

async fn guarded(request: &HttpRequest, body: web::Payload, limit: usize) -> Result<web::Payload, GatewayError> {
    let guard = FrameGuard::new(body.into_inner(), limit);
    let mut payload = dev::Payload::Stream { payload: guard.boxed_local() };
    web::Payload::from_request(request, &mut payload).await.map_err(|_| GatewayError::BodyBroken)
}
