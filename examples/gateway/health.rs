//! `/health`: whether the gateway takes work.

use actix_web::{HttpResponse, web};
use serde_json::json;

use super::app::Gateway;
use super::errors::GatewayError;

/// `GET /health`: 503 while draining, so that a load balancer looks elsewhere.
pub(crate) async fn health(gateway: web::Data<Gateway>) -> Result<HttpResponse, GatewayError> {
    if gateway.is_draining() {
        return Err(GatewayError::ShuttingDown);
    }
    Ok(HttpResponse::Ok().json(json!({ "status": "ok", "live": gateway.registry.len() })))
}
