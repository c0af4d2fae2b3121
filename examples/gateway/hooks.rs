//! `POST /hooks/{source}/{id}`: any JSON webhook, into the session `hook:{source}:{id}`.

use std::time::Duration;

use actix_web::http::header;
use actix_web::web::Bytes;
use actix_web::{HttpRequest, web};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::timeout;

use super::app::Gateway;
use super::auth::check_signature;
use super::config::RequestLimits;
use super::errors::GatewayError;
use super::hook_session::{Deliver, Delivery, HookView, NotAHook};
use super::keys::hook_key;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HookQuery {
    /// Pretend that handling this webhook takes so long.
    #[serde(default)]
    work_ms: u64,
}

/// The order is the cheapest check first, and nothing is parsed or opened for a sender that has not proved itself.
pub(crate) async fn deliver(
    request: HttpRequest,
    path: web::Path<(String, String)>,
    query: web::Query<HookQuery>,
    body: web::Payload,
    gateway: web::Data<Gateway>,
) -> Result<web::Json<HookView>, GatewayError> {
    let (source, id) = path.into_inner();
    let key = hook_key(&source, &id)?;
    let limits = &gateway.config.limits;
    let work = Duration::from_millis(query.work_ms);
    if work > limits.max_work {
        return Err(GatewayError::BadQuery(format!("work_ms is more than limits.max_work ({:?})", limits.max_work)));
    }

    let body = read(&request, body, limits).await?;
    check_signature(gateway.config.hooks.secrets.get(&source), request.headers(), &body)?;
    let document: Value = serde_json::from_slice(&body).map_err(GatewayError::BadJson)?;
    let delivery = Delivery::new(request.headers(), &document, body.len());

    let view = gateway.registry.send(&key, Deliver { delivery, work }).await?;
    Ok(web::Json(view.map_err(|NotAHook| GatewayError::Failed)?))
}

/// Reads the body as it came, because the signature is over its bytes, and no more of it than allowed.
async fn read(request: &HttpRequest, body: web::Payload, limits: &RequestLimits) -> Result<Bytes, GatewayError> {
    let limit = limits.body_bytes;
    let announced = request.headers().get(header::CONTENT_LENGTH);
    let announced = announced.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|announced| announced > limit as u64) {
        return Err(GatewayError::TooLarge { limit });
    }
    timeout(limits.body_timeout, body.to_bytes_limited(limit))
        .await
        .map_err(|_| GatewayError::BodyTimeout(limits.body_timeout))?
        .map_err(|_| GatewayError::TooLarge { limit })?
        .map_err(|_| GatewayError::BodyBroken)
}
