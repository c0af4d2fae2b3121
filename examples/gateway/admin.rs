//! `/sessions` and `/sessions/{key}`: what is live, and ending it. `/health`: whether the gateway takes work.

use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};
use serde_json::json;
use session_actors::{CloseError, Ended, SessionInfo, SessionKey, Stats};

use super::app::Gateway;
use super::auth::Admin;
use super::errors::GatewayError;
use super::keys::key;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    /// Only keys that begin so.
    #[serde(default)]
    prefix: String,
    /// An answer must have an end where sessions are many.
    #[serde(default = "thousand")]
    limit: usize,
}

fn thousand() -> usize {
    1000
}

#[derive(Debug, Serialize)]
pub(crate) struct Listing {
    stats: Stats,
    /// How many there are, where `limit` cut the list short.
    matching: usize,
    sessions: Vec<SessionInfo>,
}

/// `GET /sessions`: oldest first.
pub(crate) async fn list(_: Admin, query: web::Query<ListQuery>, gateway: web::Data<Gateway>) -> web::Json<Listing> {
    let mut sessions = gateway.registry.list();
    sessions.retain(|session| session.key.as_str().starts_with(&query.prefix));
    let matching = sessions.len();
    sessions.truncate(query.limit);
    web::Json(Listing { stats: gateway.registry.stats(), matching, sessions })
}

/// `GET /sessions/{key}`. Looking is no activity.
pub(crate) async fn one(
    _: Admin,
    path: web::Path<String>,
    gateway: web::Data<Gateway>,
) -> Result<web::Json<SessionInfo>, GatewayError> {
    let key = key(&path)?;
    let info = gateway.registry.info(&key).ok_or_else(|| GatewayError::NoSession { key: key.to_string() })?;
    Ok(web::Json(info))
}

#[derive(Debug, Serialize)]
pub(crate) struct Closed {
    key: SessionKey,
    ended: Ended,
}

/// `DELETE /sessions/{key}`: drains the session and answers with what it left, once it has ended.
pub(crate) async fn end(
    _: Admin,
    path: web::Path<String>,
    gateway: web::Data<Gateway>,
) -> Result<web::Json<Closed>, GatewayError> {
    let key = key(&path)?;
    let ended = gateway.registry.close(&key).await.map_err(|error| match error {
        CloseError::NotFound => GatewayError::NoSession { key: key.to_string() },
        CloseError::Store { error } => GatewayError::NotClosed(error),
        _ => GatewayError::ShuttingDown,
    })?;
    Ok(web::Json(Closed { key, ended }))
}

/// `GET /health`: 503 while draining, so that a load balancer looks elsewhere.
pub(crate) async fn health(gateway: web::Data<Gateway>) -> Result<HttpResponse, GatewayError> {
    if gateway.is_draining() {
        return Err(GatewayError::ShuttingDown);
    }
    Ok(HttpResponse::Ok().json(json!({ "status": "ok", "live": gateway.registry.len() })))
}
