//! `/openapi.json`: the routes, described.

use std::collections::BTreeMap;

use actix_web::{HttpRequest, Resource, http::StatusCode, web};
use utoipa::{
    Modify, OpenApi,
    openapi::{
        Content, Ref, RefOr, Response, Server,
        security::{Http, HttpAuthScheme, SecurityScheme},
    },
};

use super::routes::{only, read};
pub(super) use crate::web::problem::Body as Problem;

pub(super) fn resource() -> Resource {
    web::resource("/openapi.json").route(read().to(describe)).default_service(only("GET, HEAD"))
}

#[derive(OpenApi)]
#[openapi(
    info(title = "Sessions", description = "What an operator sees of a gateway's sessions, and does to them."),
    paths(
        super::sessions::list,
        super::sessions::show,
        super::sessions::end,
        super::sessions::more_time,
        super::counts::stats,
        super::policy::policy,
        super::policy::set_policy,
        super::events::events,
    ),
    components(schemas(super::sessions::Sort, super::sessions::Order)),
    modifiers(&Common),
    security(("token" = [])),
)]
struct Description;

/// What is the same for all routes.
struct Common;

impl Modify for Common {
    fn modify(&self, description: &mut utoipa::openapi::OpenApi) {
        let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        description.components.get_or_insert_default().add_security_scheme("token", bearer);
        for (path, item) in &mut description.paths.paths {
            let of = path.trim_start_matches('/').split('/').next().unwrap_or_default().to_owned();
            for operation in [&mut item.get, &mut item.put, &mut item.post, &mut item.delete].into_iter().flatten() {
                operation.tags = Some(vec![of.clone()]);
                common(&mut operation.responses.responses);
            }
        }
    }
}

/// Errors are problem details; each route wants the token, and may come too late; and every answer has words.
fn common(responses: &mut BTreeMap<String, RefOr<Response>>) {
    let problem = || Content::new(Some(Ref::from_schema_name("Problem")));
    for status in ["401", "403", "503"] {
        responses.entry(status.into()).or_insert_with(|| RefOr::T(Response::new("")));
    }
    for (status, response) in responses {
        let RefOr::T(response) = response else { continue };
        let status: Option<StatusCode> = status.parse().ok();
        if response.description.is_empty() {
            response.description = status.and_then(|status| status.canonical_reason()).unwrap_or_default().to_owned();
        }
        if status.is_some_and(|status| status.is_client_error() || status.is_server_error()) {
            response.content = [("application/problem+json".to_owned(), RefOr::T(problem()))].into_iter().collect();
        }
    }
}

async fn describe(request: HttpRequest) -> web::Json<utoipa::openapi::OpenApi> {
    let mut description = Description::openapi();
    let scope = request.path().strip_suffix("/openapi.json").unwrap_or_default();
    description.servers = Some(vec![Server::new(if scope.is_empty() { "/" } else { scope })]);
    web::Json(description)
}
