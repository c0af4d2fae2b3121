//! `GET /events`: the registry's watch as server-sent events, first what is live, then every event.

use std::borrow::Cow;
use std::time::Duration;

use actix_web::http::header;
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::stream::{self, Stream};
use serde::Deserialize;
use serde_json::Value;
use session_actors::{EventId, Watch, Watched};
use tokio::time::{Instant, interval_at};

use super::app::Gateway;
use super::auth::Admin;
use super::errors::GatewayError;

/// Keeps proxies from closing a stream on which nothing happens.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Tells the client how soon to come back after a break; it sends `Last-Event-ID` then.
const RETRY: &str = "retry: 2000\n\n";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EventsQuery {
    /// For a client that cannot set headers. The header wins: it is what a client sends that comes back by itself.
    last_event_id: Option<String>,
}

pub(crate) async fn events(
    _: Admin,
    request: HttpRequest,
    query: web::Query<EventsQuery>,
    gateway: web::Data<Gateway>,
) -> Result<HttpResponse, GatewayError> {
    let header = request.headers().get("Last-Event-ID").map(|id| String::from_utf8_lossy(id.as_bytes()));
    let last = header.as_deref().or(query.last_event_id.as_deref()).filter(|id| !id.is_empty());
    let watch = match last {
        Some(id) => gateway.registry.watch_from(id.parse::<EventId>().map_err(GatewayError::BadEventId)?),
        None => gateway.registry.watch(),
    };
    Ok(HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .insert_header(("X-Accel-Buffering", "no"))
        .streaming(frames(watch, HEARTBEAT)))
}

/// Ends when the registry has ended. A client that reads too slowly makes the watch lag, and nothing else wait.
pub(crate) fn frames(watch: Watch, heartbeat: Duration) -> impl Stream<Item = Result<Bytes, GatewayError>> {
    let beat = interval_at(Instant::now() + heartbeat, heartbeat);
    let live = stream::unfold((watch, beat), |(mut watch, mut beat)| async move {
        let frame = tokio::select! {
            watched = watch.next() => frame(&watched?),
            _ = beat.tick() => ": heartbeat\n\n".into(),
        };
        Some((Ok(Bytes::from(frame)), (watch, beat)))
    });
    stream::StreamExt::chain(stream::iter([Ok(Bytes::from_static(RETRY.as_bytes()))]), live)
}

fn frame(watched: &Watched) -> String {
    // JSON as serde_json writes it has no line breaks, so one data line is enough.
    let (Ok(data), name) = (serde_json::to_string(watched), name(watched)) else {
        return ": an event that is no JSON\n\n".into();
    };
    format!("id: {}\nevent: {name}\ndata: {data}\n\n", watched.id())
}

/// The same word as the field `event` of the data, so that an event source can subscribe by it.
fn name(watched: &Watched) -> Cow<'static, str> {
    match watched {
        Watched::Snapshot(_) => "snapshot".into(),
        Watched::Lagged { .. } => "lagged".into(),
        other => match serde_json::to_value(other) {
            Ok(Value::Object(data)) => data.get("event").and_then(Value::as_str).unwrap_or("message").to_owned().into(),
            _ => "message".into(),
        },
    }
}
