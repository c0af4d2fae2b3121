//! `GET /ws/{user}`: one more socket for the chat `user:{user}`.

use actix_web::{HttpRequest, HttpResponse, web};
use session_actors::SessionRegistry;
use session_actors::web::socket::SocketOptions;
use session_actors::web::{Named, Problem, Sessions};

use super::config::Config;
use super::keys::USER;
use super::session::GatewaySession;

pub(crate) fn sessions(registry: &SessionRegistry<GatewaySession>) -> Sessions<GatewaySession> {
    Sessions::by_path(registry, "user").prefixed(USER)
}

pub(crate) fn options(config: &Config) -> SocketOptions {
    let options = SocketOptions::new()
        .buffer(config.chat.socket_buffer)
        .max_frame(config.limits.frame_bytes)
        .ping(config.chat.ping_every, config.chat.ping_timeout);
    config.chat.allowed_origins.iter().fold(options, SocketOptions::allow_origin)
}

/// Whatever can be refused is refused before the upgrade, with a status and a problem; afterwards there are only close
/// codes.
pub(crate) async fn chat(
    request: HttpRequest,
    body: web::Payload,
    session: Named<GatewaySession>,
    options: web::Data<SocketOptions>,
) -> Result<HttpResponse, Problem> {
    session.attach(&request, body, &options).await
}
