//! The page, and its parts: embedded, from no other place, and without any data.

use actix_web::{HttpRequest, HttpResponse, Resource, http::header, web};

use super::routes::{only, read};

/// Everything but what the page itself is made of and asks for. Keys are hostile input: were one of them to become
/// markup, it could still do nothing.
const ONLY_ITSELF: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
                           base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(super) fn index() -> Resource {
    part("/", "text/html; charset=utf-8", include_str!("page/index.html"))
}

pub(super) fn script() -> Resource {
    part("/page.js", "text/javascript; charset=utf-8", include_str!("page/page.js"))
}

pub(super) fn style() -> Resource {
    part("/page.css", "text/css; charset=utf-8", include_str!("page/page.css"))
}

/// Its parts are beside it, and so it wants a slash at its end.
pub(super) fn at_root() -> Resource {
    let there = read().to(|request: HttpRequest| async move {
        let last = request.path().rsplit('/').next().unwrap_or_default();
        HttpResponse::PermanentRedirect().insert_header((header::LOCATION, format!("{last}/"))).finish()
    });
    web::resource("").route(there).default_service(only("GET, HEAD"))
}

fn part(path: &str, content_type: &'static str, text: &'static str) -> Resource {
    let serve = read().to(move || async move {
        HttpResponse::Ok()
            .content_type(content_type)
            .insert_header((header::CONTENT_SECURITY_POLICY, ONLY_ITSELF))
            .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
            .insert_header((header::REFERRER_POLICY, "no-referrer"))
            .insert_header((header::CACHE_CONTROL, "no-cache"))
            .body(text)
    });
    web::resource(path).route(serve).default_service(only("GET, HEAD"))
}
