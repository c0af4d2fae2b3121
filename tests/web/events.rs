//! Events, as a stream that can be resumed.

use actix_web::{http::StatusCode, rt};
use awc::Client;
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use session_actors::{Policy, web::admin::Admin, web::socket::SocketOptions};
use tokio::time::timeout;

use crate::support::*;

struct Stream {
    body: std::pin::Pin<Box<dyn futures_util::Stream<Item = Vec<u8>>>>,
    text: String,
}

impl Stream {
    async fn open(port: u16, query: &str, last: Option<&str>) -> Self {
        let mut request = Client::new().get(format!("http://127.0.0.1:{port}/admin/events{query}"));
        request = request.bearer_auth(TOKEN);
        if let Some(last) = last {
            request = request.insert_header(("Last-Event-ID", last));
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers().get("content-type").unwrap(), "text/event-stream");
        let body = response.filter_map(async |chunk| chunk.ok().map(|chunk| chunk.to_vec()));
        Self { body: Box::pin(body), text: String::new() }
    }

    /// The next event: its id, its name, its data. `None` at the end.
    async fn next(&mut self) -> Option<(String, String, Value)> {
        loop {
            while let Some((block, rest)) = self.text.clone().split_once("\n\n") {
                self.text = rest.to_owned();
                let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
                if let (Some(id), Some(event), Some(data)) = (field("id: "), field("event: "), field("data: ")) {
                    return Some((id, event, serde_json::from_str(&data).unwrap()));
                }
            }
            let chunk = timeout(secs(10), self.body.next()).await.expect("nothing comes")?;
            self.text.push_str(&String::from_utf8(chunk).unwrap());
        }
    }
}

#[actix::test]
async fn what_there_is_comes_first_then_what_happens_and_then_the_end() {
    let server = Server::start(Policy::new(limits()), SocketOptions::new());
    server.registry.open("ada").unwrap();
    let mut stream = Stream::open(server.port, "", None).await;
    let (_, name, snapshot) = stream.next().await.unwrap();
    assert_eq!((&*name, &snapshot["sessions"][0]["key"]), ("snapshot", &json!("ada")));
    server.registry.close("ada").await.unwrap();
    let (id, name, ended) = stream.next().await.unwrap();
    assert_eq!((&*name, &ended["reason"], &ended["id"]), ("ended", &json!("closed"), &json!(id)));
    rt::spawn(server.stop());
    assert_eq!(stream.next().await, None);
}

#[actix::test]
async fn who_comes_back_misses_nothing_and_hears_nothing_twice() {
    let server = Server::start(Policy::new(limits()), SocketOptions::new());
    let mut stream = Stream::open(server.port, "?sessions=false", None).await;
    let (_, name, snapshot) = stream.next().await.unwrap();
    assert_eq!((&*name, &snapshot["live"], snapshot.get("sessions")), ("snapshot", &json!(0), None));
    server.registry.open("a").unwrap();
    let (id, ..) = stream.next().await.unwrap();
    drop(stream);
    server.registry.open("b").unwrap();
    server.registry.open("c").unwrap();
    let mut stream = Stream::open(server.port, "", Some(&id)).await;
    for key in ["b", "c"] {
        assert_eq!(stream.next().await.unwrap().2["key"], key);
    }
    let mut by_query = Stream::open(server.port, &format!("?last_event_id={id}"), None).await;
    assert_eq!(by_query.next().await.unwrap().2["key"], "b");
    let request = Client::new().get(format!("http://127.0.0.1:{}/admin/events", server.port)).bearer_auth(TOKEN);
    let mut wrong = request.insert_header(("Last-Event-ID", "yesterday")).send().await.unwrap();
    assert_eq!(wrong.status(), StatusCode::BAD_REQUEST);
    assert_eq!(wrong.json::<Value>().await.unwrap()["code"], "bad_event_id");
    server.stop().await;
}

#[actix::test]
async fn hidden_keys_are_hidden_in_events_too() {
    let registry = registry(Policy::new(limits()));
    registry.open("user:ada").unwrap();
    let admin = Admin::guarded(&registry, TOKEN).hash_keys("a secret");
    let server = actix_web::HttpServer::new(move || actix_web::App::new().service(admin.scope("/admin")));
    let server = server.workers(1).disable_signals().bind(("127.0.0.1", 0)).unwrap();
    let port = server.addrs()[0].port();
    let server = server.run();
    let handle = server.handle();
    rt::spawn(server);
    let mut stream = Stream::open(port, "", None).await;
    let (_, _, snapshot) = stream.next().await.unwrap();
    registry.open("user:bob").unwrap();
    let (_, _, opened) = stream.next().await.unwrap();
    for shown in [&snapshot["sessions"][0]["key"], &opened["key"]] {
        assert_eq!(shown.as_str().unwrap().len(), 16);
    }
    assert!(!format!("{snapshot}{opened}").contains("user:"));
    handle.stop(false).await;
}
