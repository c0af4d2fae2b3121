//! `/sessions`: what is in memory; `/sessions/{key}`: one, its end, and more time for it.

use std::{cmp::Ordering, time::Duration};

use actix_web::{HttpResponse, Resource, http::StatusCode, web};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    guard::Operator,
    only,
    shown::Shown,
    views::{PhaseView, SessionView, millis},
};
use crate::{EndReason, Ended, OpenError, Phase, Session, SessionInfo, web::Problem};

pub(super) fn all<A: Session>() -> Resource {
    web::resource("/sessions").route(web::get().to(list::<A>)).default_service(only("GET"))
}

pub(super) fn one<A: Session>() -> Resource {
    web::resource("/sessions/{key}")
        .route(web::get().to(show::<A>))
        .route(web::delete().to(end::<A>))
        .default_service(only("GET, DELETE"))
}

pub(super) fn extend<A: Session>() -> Resource {
    web::resource("/sessions/{key}/extend").route(web::post().to(more_time::<A>)).default_service(only("POST"))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// A glob on the key, such as `hook:*`. All, if it is left out.
    #[serde(rename = "match")]
    #[param(rename = "match")]
    glob: Option<String>,
    /// Those in this phase only.
    phase: Option<PhaseView>,
    /// Those whose limits come from there only, such as `rule 1: hook:*`.
    rule: Option<String>,
    /// By what they are sorted: `opened` if it is left out.
    #[param(required = false)]
    sort: Sort,
    /// `asc` if it is left out.
    #[param(required = false)]
    order: Order,
    /// How many of the first are left out.
    #[param(required = false)]
    offset: usize,
    /// How many there are at most: 100 if it is left out, 10,000 at most.
    #[param(required = false, minimum = 0, maximum = 10_000)]
    limit: usize,
}

impl Default for ListQuery {
    fn default() -> Self {
        Self { glob: None, phase: None, rule: None, sort: Sort::Opened, order: Order::Asc, offset: 0, limit: 100 }
    }
}

const MOST: usize = 10_000;

#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Sort {
    /// When they were opened: the oldest first.
    Opened,
    Key,
    Idle,
    /// The time left: those that end next first, those without a deadline last.
    ExpiresIn,
    Handled,
    InFlight,
}

#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Order {
    Asc,
    Desc,
}

impl Sort {
    fn compare(self, a: &SessionInfo, b: &SessionInfo, shown: &Shown) -> Ordering {
        let by = match self {
            Self::Opened => Ordering::Equal,
            Self::Key if shown.is_plain() => a.key.cmp(&b.key),
            Self::Key => shown.show(a.key.as_str()).cmp(&shown.show(b.key.as_str())),
            Self::Idle => a.idle.cmp(&b.idle),
            Self::ExpiresIn => {
                let left = |info: &SessionInfo| info.expires_in.unwrap_or(Duration::MAX);
                left(a).cmp(&left(b))
            }
            Self::Handled => a.handled.cmp(&b.handled),
            Self::InFlight => a.in_flight.cmp(&b.in_flight),
        };
        by.then(a.id.cmp(&b.id))
    }
}

#[derive(Serialize, ToSchema)]
pub(super) struct Listing {
    /// How many sessions are in memory.
    live: usize,
    /// How many of them are asked for.
    matching: usize,
    offset: usize,
    sessions: Vec<SessionView>,
}

/// Sessions in memory. Looking is no activity.
#[utoipa::path(get, path = "/sessions", params(ListQuery), responses(
    (status = 200, body = Listing), (status = 400, body = super::openapi::Problem)))]
pub(super) async fn list<A: Session>(
    Operator(admin): Operator<A>,
    query: web::Query<ListQuery>,
) -> Result<web::Json<Listing>, Problem> {
    let query = query.into_inner();
    if query.limit > MOST {
        let detail = format!("limit is {}; it must be at most {MOST}: ask for pages, with offset", query.limit);
        return Err(Problem::new(StatusCode::BAD_REQUEST, "bad_query", detail));
    }
    let glob = query.glob.as_deref().filter(|glob| !glob.is_empty()).map(glob::Pattern::new).transpose();
    let glob = glob.map_err(|error| {
        let detail = format!("match is no glob: {} at character {}", error.msg, error.pos + 1);
        Problem::new(StatusCode::BAD_REQUEST, "bad_query", detail)
    })?;
    let registry = admin.registry()?;
    // Many take their time, which is not to be a worker's.
    let listing = web::block(move || {
        let shown = &admin.0.shown;
        let mut sessions = registry.list();
        drop(registry);
        let live = sessions.len();
        sessions.retain(|info| {
            query.phase.is_none_or(|phase| PhaseView::from(info.phase) == phase)
                && query.rule.as_ref().is_none_or(|rule| info.rule.to_string() == *rule)
                && glob.as_ref().is_none_or(|glob| match shown {
                    Shown::Plain => glob.matches(info.key.as_str()),
                    Shown::Hashed(_) => glob.matches(&shown.show(info.key.as_str())),
                })
        });
        let matching = sessions.len();
        sessions.sort_by(|a, b| match query.order {
            Order::Asc => query.sort.compare(a, b, shown),
            Order::Desc => query.sort.compare(b, a, shown),
        });
        let page = sessions.into_iter().skip(query.offset).take(query.limit);
        Listing {
            live,
            matching,
            offset: query.offset,
            sessions: page.map(|info| SessionView::of(info, shown)).collect(),
        }
    });
    Ok(web::Json(listing.await.map_err(|_| OpenError::ShuttingDown)?))
}

/// A session in memory. Looking is no activity.
#[utoipa::path(get, path = "/sessions/{key}", params(("key" = String, Path, description = "As it is shown, percent-encoded")),
    responses((status = 200, body = SessionView), (status = 404, body = super::openapi::Problem)))]
pub(super) async fn show<A: Session>(
    Operator(admin): Operator<A>,
    key: web::Path<String>,
) -> Result<web::Json<SessionView>, Problem> {
    let shown = &admin.0.shown;
    let info = shown.find(&admin.registry()?, &key).ok_or_else(not_found)?;
    Ok(web::Json(SessionView::of(info, shown)))
}

fn not_found() -> Problem {
    let detail = "no session of this key is in memory; one that rests in the store comes back with its next message";
    Problem::new(StatusCode::NOT_FOUND, "no_session", detail)
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct EndQuery {
    /// Whether the answer waits for the end: true if it is left out.
    #[serde(default = "yes")]
    #[param(required = false)]
    wait: bool,
}

fn yes() -> bool {
    true
}

#[derive(Serialize, ToSchema)]
pub(super) struct Closed {
    key: String,
    /// What it left; null if the answer did not wait for that.
    #[schema(required)]
    ended: Option<EndedView>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Ended)]
pub(super) struct EndedView {
    /// As what it ended.
    #[schema(value_type = String)]
    reason: EndReason,
    age_ms: u64,
    idle_ms: u64,
    /// From the deadline that it passed until it began to end; null where nobody's time had come.
    #[schema(required)]
    late_ms: Option<u64>,
    /// Messages handled.
    handled: u64,
    /// Pieces of work that were cut.
    cut: u32,
    /// Messages that go to the key's next session.
    handed_over: u64,
    /// Messages that were lost, whose senders were told.
    dropped: u64,
    /// The words of its panic, if it was one.
    #[schema(required)]
    panic: Option<String>,
}

impl From<Ended> for EndedView {
    fn from(ended: Ended) -> Self {
        let Ended { reason, age, idle, late, handled, cut, handed_over, dropped, panic } = ended;
        let (age_ms, idle_ms, late_ms) = (millis(age), millis(idle), late.map(millis));
        Self { reason, age_ms, idle_ms, late_ms, handled, cut, handed_over, dropped, panic }
    }
}

/// Ends a session, in memory or in the store: it finishes what it has begun, for its drain timeout at most.
#[utoipa::path(delete, path = "/sessions/{key}",
    params(("key" = String, Path, description = "As it is shown, percent-encoded"), EndQuery),
    responses((status = 200, description = "It has ended", body = Closed),
        (status = 202, description = "It was asked to", body = Closed),
        (status = 404, body = super::openapi::Problem), (status = 503, body = super::openapi::Problem)))]
pub(super) async fn end<A: Session>(
    Operator(admin): Operator<A>,
    key: web::Path<String>,
    query: web::Query<EndQuery>,
) -> Result<HttpResponse, Problem> {
    let registry = admin.registry()?;
    let whose = admin.0.shown.key(&registry, &key).ok_or_else(not_found)?;
    let key = key.into_inner();
    let closing = registry.close(&whose);
    drop(registry);
    if !query.wait {
        return Ok(HttpResponse::Accepted().json(Closed { key, ended: None }));
    }
    // In the store as well there is none, if it says so.
    let ended = closing.await?;
    tracing::info!(key, "an operator has ended a session");
    Ok(HttpResponse::Ok().json(Closed { key, ended: Some(ended.into()) }))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Extend {
    /// From now on.
    #[schema(minimum = 1)]
    by_ms: u64,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Extended {
    key: String,
    /// It does not end for being idle before this time is over.
    by_ms: u64,
}

/// Puts off a session's idle end: it does not come before that time from now. Its greatest age stays.
#[utoipa::path(post, path = "/sessions/{key}/extend",
    params(("key" = String, Path, description = "As it is shown, percent-encoded")), request_body = Extend,
    responses((status = 200, body = Extended), (status = 400, body = super::openapi::Problem),
        (status = 404, body = super::openapi::Problem),
        (status = 409, description = "It is ending", body = super::openapi::Problem)))]
pub(super) async fn more_time<A: Session>(
    Operator(admin): Operator<A>,
    key: web::Path<String>,
    by: web::Json<Extend>,
) -> Result<web::Json<Extended>, Problem> {
    let Extend { by_ms } = by.into_inner();
    if by_ms == 0 {
        return Err(Problem::new(StatusCode::BAD_REQUEST, "bad_json", "by_ms is 0: write the time in milliseconds"));
    }
    let registry = admin.registry()?;
    let info = admin.0.shown.find(&registry, &key).ok_or_else(not_found)?;
    if !registry.extend(&info.key, Duration::from_millis(by_ms)) {
        return Err(match info.phase {
            Phase::Draining => Problem::new(StatusCode::CONFLICT, "draining", "the session is ending already"),
            Phase::Active => not_found(),
        });
    }
    tracing::info!(key = %key.as_str(), by_ms, "an operator has given a session more time");
    Ok(web::Json(Extended { key: key.into_inner(), by_ms }))
}
