//! `/events`: what happens, as server-sent events.

use std::time::Duration;

use actix_web::{
    HttpRequest, HttpResponse, Resource,
    http::{StatusCode, header},
    web::{self, Bytes},
};
use futures_core::Stream;
use futures_util::{
    FutureExt as _,
    stream::{self, StreamExt as _},
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, interval_at, sleep};
use utoipa::IntoParams;

use super::{
    Admin,
    guard::Operator,
    routes::{only, yes},
    shown::Shown,
};
use crate::{EventId, Session, Watch, Watched, web::Problem};

/// Keeps proxies from closing a stream on which nothing happens.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// After a lag.
const PAUSE: Duration = Duration::from_secs(1);
/// Tells the client how soon to come back after a break; it sends `Last-Event-ID` then.
const RETRY: &str = "retry: 2000\n\n";

pub(super) fn resource<A: Session>() -> Resource {
    web::resource("/events").route(web::get().to(events::<A>)).default_service(only("GET"))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct EventsQuery {
    /// For a client that cannot set headers. The header wins: it is what a client sends that comes back by itself.
    last_event_id: Option<String>,
    /// Whether a snapshot has the sessions, or only how many there are: true if it is left out.
    #[serde(default = "yes")]
    #[param(required = false)]
    sessions: bool,
}

/// What there is, then everything that happens. After `Last-Event-ID`, if it is still known, what has happened since.
///
/// Each event has an `id`, a name (`snapshot`, `lagged`, `opened`, `warned`, `extended`, `draining`, `would_end`,
/// `passivated`, `restored`, `store_failed`, `start_failed`, `ended`) and JSON as its `data`, with the same name as `event`.
/// `lagged` says that so many were `missed`, because they were read too slowly, and has what there is since.
#[utoipa::path(get, path = "/events", params(EventsQuery, ("Last-Event-ID" = Option<String>, Header,
        description = "The `id` of the last event that was heard")),
    responses((status = 200, description = "Server-sent events, until the registry has shut down",
        content_type = "text/event-stream", body = String), (status = 400, body = super::openapi::Problem)))]
pub(super) async fn events<A: Session>(
    Operator(admin): Operator<A>,
    request: HttpRequest,
    query: web::Query<EventsQuery>,
) -> Result<HttpResponse, Problem> {
    let header = request.headers().get("Last-Event-ID").map(|id| String::from_utf8_lossy(id.as_bytes()));
    let last = header.as_deref().or(query.last_event_id.as_deref()).filter(|id| !id.is_empty());
    let last = last.map(str::parse::<EventId>).transpose().map_err(|error| {
        let detail = format!("Last-Event-ID is not understood: {error}; send back an id that this gave, or none");
        Problem::new(StatusCode::BAD_REQUEST, "bad_event_id", detail)
    })?;
    let watch = admin.registry()?.watch_events(last);
    let telling = Telling { admin, sessions: query.sessions };
    Ok(HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .insert_header(("X-Accel-Buffering", "no"))
        .streaming(frames(watch, telling, HEARTBEAT)))
}

/// Ends when the registry has ended. A client that reads too slowly makes the watch lag, and nothing else wait.
fn frames<A: Session>(
    watch: Watch,
    telling: Telling<A>,
    heartbeat: Duration,
) -> impl Stream<Item = Result<Bytes, Problem>> {
    let beat = interval_at(Instant::now() + heartbeat, heartbeat);
    let live = stream::unfold((watch, beat, telling), |(mut watch, mut beat, telling)| async move {
        let watched = tokio::select! {
            watched = watch.next() => watched?,
            _ = beat.tick() => return Some((Ok(Bytes::from_static(b": heartbeat\n\n")), (watch, beat, telling))),
        };
        let lagged = matches!(watched, Watched::Lagged { .. });
        let frame = if telling.sessions && !matches!(watched, Watched::Event(_)) {
            let (frame, at) = telling.whole(watched).await?;
            // What has happened meanwhile, or that it was too much.
            watch = telling.admin.registry().ok()?.watch_events(Some(at));
            frame
        } else {
            telling.one(&watched)
        };
        if lagged {
            // Who is behind once is behind again at once, if that is told without end.
            sleep(PAUSE).await;
        }
        Some((Ok(Bytes::from(frame)), (watch, beat, telling)))
    });
    stream::iter([Ok(Bytes::from_static(RETRY.as_bytes()))]).chain(live)
}

/// How it is told.
struct Telling<A: Session> {
    admin: Admin<A>,
    sessions: bool,
}

impl<A: Session> Telling<A> {
    /// An event, or how many sessions there are.
    fn one(&self, watched: &Watched) -> String {
        let mut data = json!(watched);
        if let Some(fields) = data.as_object_mut() {
            fields.remove("sessions");
        }
        hide(&mut data, &self.admin.0.shown);
        frame(&watched.id(), &data)
    }

    /// All sessions, where only their number was told, and where one stands when one knows them; `None` if the registry has
    /// gone.
    async fn whole(&self, counted: Watched) -> Option<(String, EventId)> {
        let told = self.admin.work(move |admin, registry| {
            // The first that a watch gives is there at once.
            let Some(Watched::Snapshot(snapshot)) = registry.watch().next().now_or_never()? else { return None };
            let at = snapshot.at;
            let watched = match counted {
                Watched::Lagged { missed, snapshot: before } => {
                    let since = at.sequence().saturating_sub(before.at.sequence());
                    Watched::Lagged { missed: missed + since, snapshot }
                }
                _ => Watched::Snapshot(snapshot),
            };
            let mut data = json!(watched);
            for session in data.get_mut("sessions").and_then(Value::as_array_mut).into_iter().flatten() {
                hide(session, &admin.0.shown);
            }
            Some((frame(&at, &data), at))
        });
        told.await.ok().flatten()
    }
}

fn frame(id: &EventId, data: &Value) -> String {
    let name = data.get("event").and_then(Value::as_str).unwrap_or("message");
    // JSON as serde_json writes it has no line breaks, so one data line is enough.
    format!("id: {id}\nevent: {name}\ndata: {data}\n\n")
}

fn hide(of_one: &mut Value, shown: &Shown) {
    if !shown.is_plain()
        && let Some(key) = of_one.get_mut("key")
    {
        *key = json!(key.as_str().map(|key| shown.show(key)));
    }
}

#[cfg(test)]
mod tests {
    use actix::Actor;
    use tokio::time::timeout;

    use super::*;
    use crate::{SessionContext, SessionKey, SessionRegistry};

    struct Idle;

    impl Actor for Idle {
        type Context = SessionContext<Self>;
    }

    impl Session for Idle {}

    #[actix::test]
    async fn a_quiet_stream_has_a_heartbeat_and_one_that_is_overrun_a_fresh_snapshot() {
        let registry = SessionRegistry::builder(|_: &SessionKey| Idle).event_history(2).start().unwrap();
        for (sessions, says) in [(true, "\"user:3\""), (false, "\"live\":3")] {
            let telling = Telling { admin: Admin::behind_a_guard(&registry), sessions };
            let mut frames = Box::pin(frames(registry.watch_events(None), telling, Duration::from_millis(20)));
            let mut next = async || {
                let frame = timeout(Duration::from_secs(10), frames.next()).await.unwrap().unwrap().unwrap();
                String::from_utf8(frame.to_vec()).unwrap()
            };
            assert!(next().await.starts_with("retry: "));
            assert!(next().await.contains("event: snapshot\n"));
            assert!(next().await.starts_with(": "), "a comment, which no event source hands on");

            for key in ["user:1", "user:2", "user:3"] {
                registry.close(key).await.ok();
                registry.open(key).unwrap();
            }
            while registry.len() < 3 {
                tokio::task::yield_now().await;
            }
            let lagged = loop {
                let frame = next().await;
                if !frame.starts_with(": ") {
                    break frame;
                }
            };
            assert!(lagged.contains("event: lagged\n") && lagged.contains("\"missed\":"), "{lagged}");
            assert!(lagged.contains(says), "{lagged}");
        }
    }
}
