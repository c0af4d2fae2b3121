//! `/openapi.json`: the routes, described.

use actix_web::{HttpRequest, Resource, web};
use utoipa::{
    Modify, OpenApi,
    openapi::{
        Server,
        security::{Http, HttpAuthScheme, SecurityScheme},
    },
};

use super::only;
pub(super) use crate::web::problem::Body as Problem;

pub(super) fn resource() -> Resource {
    web::resource("/openapi.json").route(web::get().to(describe)).default_service(only("GET"))
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
    modifiers(&Guard),
    security(("token" = [])),
)]
struct Description;

struct Guard;

impl Modify for Guard {
    fn modify(&self, description: &mut utoipa::openapi::OpenApi) {
        let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        description.components.get_or_insert_default().add_security_scheme("token", bearer);
    }
}

async fn describe(request: HttpRequest) -> web::Json<utoipa::openapi::OpenApi> {
    let mut description = Description::openapi();
    let scope = request.path().strip_suffix("/openapi.json").unwrap_or_default();
    description.servers = Some(vec![Server::new(if scope.is_empty() { "/" } else { scope })]);
    web::Json(description)
}
