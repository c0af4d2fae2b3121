//! `/sessions`: what is in memory; `/sessions/{key}`: one, its end, and more time for it.

use std::{cmp::Ordering, time::Duration};

use futures_util::FutureExt as _;

use actix_web::{HttpResponse, Resource, http::StatusCode, web};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    Admin,
    guard::Operator,
    routes::{only, read, yes},
    shown::Shown,
    views::{PhaseView, SessionView, millis},
};
use crate::{EndReason, Ended, Phase, Session, SessionInfo, SessionKey, web::Problem};

pub(super) fn all<A: Session>() -> Resource {
    web::resource("/sessions").route(read().to(list::<A>)).default_service(only("GET, HEAD"))
}

pub(super) fn one<A: Session>() -> Resource {
    web::resource("/sessions/{key}")
        .route(read().to(show::<A>))
        .route(web::delete().to(end::<A>))
        .default_service(only("GET, HEAD, DELETE"))
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
    fn sort(self, sessions: &mut [SessionInfo], shown: &Shown) {
        if matches!(self, Self::Key) && !shown.is_plain() {
            sessions.sort_by_cached_key(|info| (shown.show(info.key.as_str()), info.id));
        } else {
            sessions.sort_unstable_by(|a, b| self.compare(a, b));
        }
    }

    fn compare(self, a: &SessionInfo, b: &SessionInfo) -> Ordering {
        let by = match self {
            Self::Opened => Ordering::Equal,
            Self::Key => a.key.cmp(&b.key),
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
    let listing = admin.work(move |admin, registry| {
        let shown = &admin.0.shown;
        let mut sessions = registry.list();
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
        query.sort.sort(&mut sessions, shown);
        if matches!(query.order, Order::Desc) {
            sessions.reverse();
        }
        let page = sessions.into_iter().skip(query.offset).take(query.limit);
        Listing {
            live,
            matching,
            offset: query.offset,
            sessions: page.map(|info| SessionView::of(info, shown)).collect(),
        }
    });
    Ok(web::Json(listing.await?))
}

/// A session in memory. Looking is no activity.
#[utoipa::path(get, path = "/sessions/{key}", params(("key" = String, Path, description = "As it is shown, percent-encoded")),
    responses((status = 200, body = SessionView), (status = 404, body = super::openapi::Problem)))]
pub(super) async fn show<A: Session>(
    Operator(admin): Operator<A>,
    key: web::Path<String>,
) -> Result<web::Json<SessionView>, Problem> {
    let info = find(&admin, key.into_inner()).await?;
    Ok(web::Json(SessionView::of(info, &admin.0.shown)))
}

/// The session that is shown so, if it is in memory.
async fn find<A: Session>(admin: &Admin<A>, shown: String) -> Result<SessionInfo, Problem> {
    let info = if admin.0.shown.is_plain() {
        let key = SessionKey::new(&shown)?;
        admin.registry()?.info(&key)
    } else {
        // By all of them.
        admin.work(move |admin, registry| admin.0.shown.find(registry, &shown)).await?
    };
    info.ok_or_else(|| not_found(admin))
}

fn not_found<A: Session>(admin: &Admin<A>) -> Problem {
    let is_persistent = admin.registry().is_ok_and(|registry| registry.is_persistent());
    let detail = match (admin.0.shown.is_plain(), is_persistent) {
        (true, false) => "there is no session of this key",
        (true, true) => {
            "no session of this key is in memory; one that rests in the store is there again with its next message, and \
             can be ended where it is"
        }
        (false, false) => {
            "there is no session that is shown as this: sessions are named by the hashes of their keys here"
        }
        (false, true) => {
            "no session that is shown as this is in memory: sessions are named by the hashes of their keys here, and one \
             that rests in the store is there again with its next message"
        }
    };
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
    let key = key.into_inner();
    let whose = if admin.0.shown.is_plain() {
        // It may be in the store.
        SessionKey::new(&key)?
    } else {
        find(&admin, key.clone()).await?.key
    };
    let closing = admin.registry()?.close(&whose);
    tracing::info!(key, "an operator ends a session");
    let ended = if query.wait { Some(closing.await) } else { closing.now_or_never() };
    Ok(match ended {
        // In the store as well there is none, if it says so.
        Some(ended) => HttpResponse::Ok().json(Closed { key, ended: Some(ended?.into()) }),
        None => HttpResponse::Accepted().json(Closed { key, ended: None }),
    })
}

/// One of the two.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Extend {
    /// From now on, such as `30m` or `1h 30m`.
    #[serde(default, with = "humantime_serde")]
    #[schema(required = false, value_type = String)]
    by: Option<Duration>,
    /// From now on, in milliseconds.
    #[schema(required = false, minimum = 1, value_type = u64)]
    by_ms: Option<u64>,
}

impl Extend {
    fn time(&self) -> Result<Duration, Problem> {
        let time = match (self.by, self.by_ms) {
            (Some(by), None) => by,
            (None, Some(by)) => Duration::from_millis(by),
            _ => return Err(bad_time("give either by, such as \"30m\", or by_ms")),
        };
        if time.is_zero() { Err(bad_time("the time is 0: say how much more it is to have")) } else { Ok(time) }
    }
}

fn bad_time(detail: &str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "bad_json", detail)
}

#[derive(Serialize, ToSchema)]
pub(super) struct Extended {
    key: String,
    /// It does not end for being idle before this time is over.
    by_ms: u64,
    /// Until it ends if nothing more happens: it may have had more, and its greatest age stays. Null if it never does.
    #[schema(required)]
    expires_in_ms: Option<u64>,
}

/// How long it has when it is extended by so much. One that is busy ends by its greatest age alone.
fn then(info: &SessionInfo, by: Duration) -> Option<Duration> {
    let age_left = info.limits.max_age.map(|limit| limit.saturating_sub(info.age));
    let idle_left = info.expires_in.filter(|_| info.in_flight == 0).map(|left| left.max(by));
    match (idle_left, age_left) {
        (Some(idle), Some(age)) => Some(idle.min(age)),
        (idle, age) => idle.or(age),
    }
}

/// Puts off a session's idle end: it does not come before that time from now. Its greatest age stays.
#[utoipa::path(post, path = "/sessions/{key}/extend",
    params(("key" = String, Path, description = "As it is shown, percent-encoded")), request_body = Extend,
    responses((status = 200, body = Extended), (status = 400, body = super::openapi::Problem),
        (status = 404, body = super::openapi::Problem),
        (status = 409, description = "It is ending", body = super::openapi::Problem),
        (status = 415, body = super::openapi::Problem)))]
pub(super) async fn more_time<A: Session>(
    Operator(admin): Operator<A>,
    key: web::Path<String>,
    by: web::Json<Extend>,
) -> Result<web::Json<Extended>, Problem> {
    let by = by.time()?;
    let key = key.into_inner();
    let info = find(&admin, key.clone()).await?;
    if !admin.registry()?.extend(&info.key, by) {
        return Err(match info.phase {
            Phase::Draining => Problem::new(StatusCode::CONFLICT, "draining", "the session is ending already"),
            Phase::Active => not_found(&admin),
        });
    }
    let by_ms = millis(by);
    tracing::info!(key, by_ms, "an operator has given a session more time");
    Ok(web::Json(Extended { key, by_ms, expires_in_ms: then(&info, by).map(millis) }))
}
