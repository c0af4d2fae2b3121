//! `/events`: what happens, as server-sent events.

use std::{borrow::Cow, time::Duration};

use actix_web::{
    HttpRequest, HttpResponse, Resource,
    http::{StatusCode, header},
    web::{self, Bytes},
};
use futures_core::Stream;
use futures_util::stream::{self, StreamExt as _};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, interval_at};
use utoipa::IntoParams;

use super::{guard::Operator, only, shown::Shown};
use crate::{EventId, Session, Snapshot, Watch, Watched, web::Problem};

/// Keeps proxies from closing a stream on which nothing happens.
const HEARTBEAT: Duration = Duration::from_secs(15);
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

fn yes() -> bool {
    true
}

/// What there is, then everything that happens. After `Last-Event-ID`, if it is still known, what has happened since.
#[utoipa::path(get, path = "/events", params(EventsQuery, ("Last-Event-ID" = Option<String>, Header)), responses(
    (status = 200, content_type = "text/event-stream", body = String), (status = 400, body = super::openapi::Problem)))]
pub(super) async fn events<A: Session>(
    Operator(admin): Operator<A>,
    request: HttpRequest,
    query: web::Query<EventsQuery>,
) -> Result<HttpResponse, Problem> {
    let header = request.headers().get("Last-Event-ID").map(|id| String::from_utf8_lossy(id.as_bytes()));
    let last = header.as_deref().or(query.last_event_id.as_deref()).filter(|id| !id.is_empty());
    let registry = admin.registry()?;
    let watch = match last {
        Some(id) => registry.watch_from(id.parse::<EventId>().map_err(|error| {
            let detail = format!("Last-Event-ID is not understood: {error}; send back an id that this gave, or none");
            Problem::new(StatusCode::BAD_REQUEST, "bad_event_id", detail)
        })?),
        None => registry.watch(),
    };
    let telling = Telling { shown: admin.0.shown.clone(), sessions: query.sessions };
    Ok(HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .insert_header(("X-Accel-Buffering", "no"))
        .streaming(frames(watch, telling, HEARTBEAT)))
}

/// Ends when the registry has ended. A client that reads too slowly makes the watch lag, and nothing else wait.
fn frames(watch: Watch, telling: Telling, heartbeat: Duration) -> impl Stream<Item = Result<Bytes, Problem>> {
    let beat = interval_at(Instant::now() + heartbeat, heartbeat);
    let live = stream::unfold((watch, beat, telling), |(mut watch, mut beat, telling)| async move {
        let frame = tokio::select! {
            watched = watch.next() => telling.frame(&watched?),
            _ = beat.tick() => ": heartbeat\n\n".into(),
        };
        Some((Ok(Bytes::from(frame)), (watch, beat, telling)))
    });
    stream::iter([Ok(Bytes::from_static(RETRY.as_bytes()))]).chain(live)
}

/// How it is told.
struct Telling {
    shown: Shown,
    sessions: bool,
}

impl Telling {
    fn frame(&self, watched: &Watched) -> String {
        let data = self.data(watched);
        let name = match data.get("event").and_then(Value::as_str) {
            Some(name) => Cow::Borrowed(name),
            None => "message".into(),
        };
        // JSON as serde_json writes it has no line breaks, so one data line is enough.
        format!("id: {}\nevent: {name}\ndata: {data}\n\n", watched.id())
    }

    fn data(&self, watched: &Watched) -> Value {
        let (Watched::Snapshot(snapshot) | Watched::Lagged { snapshot, .. }) = watched else {
            return self.hide(json!(watched));
        };
        if !self.sessions {
            return Self::count(watched, snapshot);
        }
        let mut data = json!(watched);
        for session in data.get_mut("sessions").and_then(Value::as_array_mut).into_iter().flatten() {
            *session = self.hide(session.take());
        }
        data
    }

    fn count(watched: &Watched, snapshot: &Snapshot) -> Value {
        let live = snapshot.sessions.len();
        match watched {
            Watched::Lagged { missed, .. } => {
                json!({ "event": "lagged", "id": snapshot.at, "missed": missed, "live": live })
            }
            _ => json!({ "event": "snapshot", "id": snapshot.at, "live": live }),
        }
    }

    fn hide(&self, mut of_one: Value) -> Value {
        if !self.shown.is_plain()
            && let Some(key) = of_one.get_mut("key")
        {
            let shown = key.as_str().map(|key| self.shown.show(key));
            *key = json!(shown);
        }
        of_one
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
            let telling = Telling { shown: Shown::Plain, sessions };
            let mut frames = Box::pin(frames(registry.watch(), telling, Duration::from_millis(20)));
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
