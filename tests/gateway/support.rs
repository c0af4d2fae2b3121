//! A gateway on a port of its own, and clients that wait for what they expect.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use actix::prelude::*;
use actix_web::http::StatusCode;
use actix_web::http::header::HeaderMap;
use awc::ws::{CloseReason, Frame, Message as WsMessage};
use awc::{BoxedSocket, ClientRequest, ws};
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use session_actors::SessionContext;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::gateway::config::Config;
use crate::gateway::server::Server;
use crate::gateway::session::GatewaySession;

/// Longer than anything here takes; reached only when something is broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Sessions that no test outlives.
pub(crate) const LASTING: &str = "[sessions]\nidle_timeout = \"1h\"";

/// Any port, and the settings of the example but for `settings`.
pub(crate) fn config(settings: &str) -> Config {
    Config::parse(settings, "the test", [("GATEWAY_BIND".into(), "127.0.0.1:0".into())]).expect("settings")
}

/// The headers that ask for a WebSocket.
pub(crate) const HANDSHAKE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                                    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

pub(crate) struct TestGateway {
    pub(crate) server: Server,
    /// Where it keeps its sessions.
    pub(crate) folder: TempDir,
    http: awc::Client,
}

impl TestGateway {
    pub(crate) fn start(settings: &str) -> Self {
        Self::start_in(tempfile::tempdir().expect("a folder"), settings)
    }

    /// With what another one has left there.
    pub(crate) fn start_in(folder: TempDir, settings: &str) -> Self {
        let mut config = config(settings);
        config.store.file = folder.path().join("gateway.redb");
        let server = Server::start(config).expect("the gateway starts");
        // No time limit on an answer: an event stream has no end. `PATIENCE` bounds each wait instead.
        let http = awc::Client::builder().disable_timeout().finish();
        Self { server, folder, http }
    }

    pub(crate) fn request(&self, method: &str, path: &str) -> ClientRequest {
        let method = method.parse().expect("method");
        self.http.request(method, format!("http://{}{path}", self.server.addr))
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        answer(self.request("GET", path).send().await.expect("an answer")).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        answer(self.request("DELETE", path).send().await.expect("an answer")).await
    }

    pub(crate) async fn post(&self, path: &str, body: impl Into<String>) -> Answer {
        answer(self.request("POST", path).send_body(body.into()).await.expect("an answer")).await
    }

    pub(crate) async fn events(&self, path: &str) -> Events {
        Events::read(self.request("GET", path)).await
    }

    /// One more socket of `user`, its `joined` read.
    pub(crate) async fn join(&self, user: &str) -> (Chat, Value) {
        let mut chat = self.connect(user).await;
        let joined = chat.until("joined").await;
        (chat, joined)
    }

    pub(crate) async fn connect(&self, user: &str) -> Chat {
        let url = format!("http://{}/ws/{user}", self.server.addr);
        let connecting = self.http.ws(url).connect();
        let (_, socket) = timeout(PATIENCE, connecting).await.expect("in time").expect("a socket");
        Chat { socket }
    }

    /// What a WebSocket client gets that is refused.
    pub(crate) async fn refused_upgrade(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        get_raw(self.server.addr, path, &format!("{HANDSHAKE}{headers}")).await
    }
}

/// An answer to a request around upgrades, body and all; `awc` takes none there.
pub(crate) async fn get_raw(addr: SocketAddr, path: &str, headers: &str) -> Answer {
    let mut socket = TcpStream::connect(addr).await.expect("connected");
    let request = format!("GET {path} HTTP/1.1\r\nHost: {addr}\r\n{headers}\r\n");
    socket.write_all(request.as_bytes()).await.expect("written");
    let mut response = String::new();
    timeout(PATIENCE, socket.read_to_string(&mut response)).await.expect("an end in time").expect("read");

    let (head, body) = response.split_once("\r\n\r\n").expect("a head");
    let (line, fields) = head.split_once("\r\n").expect("headers");
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    let mut headers = HeaderMap::new();
    for (name, value) in fields.lines().filter_map(|field| field.split_once(": ")) {
        headers.insert(name.parse().expect("a name"), value.parse().expect("a value"));
    }
    Answer { status, headers, body: serde_json::from_str(body).expect("JSON") }
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    /// A problem with this status and code, and what to do about it.
    #[track_caller]
    pub(crate) fn is_error(&self, status: u16, code: &str) {
        assert_eq!((self.status.as_u16(), &self.body["code"]), (status, &Value::from(code)), "{self:?}");
        assert!(self.body["detail"].as_str().is_some_and(|detail| detail.len() > 20), "{self:?}");
    }

    #[track_caller]
    pub(crate) fn ok(self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{self:?}");
        self.body
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

pub(crate) async fn answer<S>(mut response: awc::ClientResponse<S>) -> Answer
where
    S: Stream<Item = Result<actix_web::web::Bytes, actix_web::error::PayloadError>>,
{
    let body = timeout(PATIENCE, response.body()).await.expect("in time").expect("a body");
    Answer {
        status: response.status(),
        headers: response.headers().clone(),
        body: serde_json::from_slice(&body).unwrap_or_else(|_| panic!("not JSON: {body:?}")),
    }
}

pub(crate) struct Chat {
    socket: actix_codec::Framed<BoxedSocket, ws::Codec>,
}

impl Chat {
    pub(crate) async fn say(&mut self, text: &str) {
        self.send(WsMessage::Text(text.to_owned().into())).await;
    }

    pub(crate) async fn send(&mut self, message: WsMessage) {
        timeout(PATIENCE, self.socket.send(message)).await.expect("in time").expect("sent");
    }

    /// Bytes as they are, past the codec.
    pub(crate) async fn send_raw(&mut self, bytes: &[u8]) {
        let connection = self.socket.io_mut();
        connection.write_all(bytes).await.expect("written");
        connection.flush().await.expect("flushed");
    }

    /// The next event, pings answered on the way.
    pub(crate) async fn event(&mut self) -> Value {
        match self.frame().await {
            Frame::Text(text) => serde_json::from_slice(&text).expect("a JSON event"),
            other => panic!("wanted an event, got {other:?}"),
        }
    }

    /// Reads to the next event of that name.
    pub(crate) async fn until(&mut self, name: &str) -> Value {
        loop {
            let event = self.event().await;
            if event["event"] == name {
                return event;
            }
        }
    }

    /// Reads to the `closed` event and the close frame right behind it: its reason and the code.
    pub(crate) async fn closed(&mut self) -> (String, u16) {
        let closed = self.until("closed").await;
        let code = self.close_frame().await.map(|reason| reason.code.into());
        let reason = closed["reason"].as_str().expect("a reason").to_owned();
        assert!(!closed["message"].as_str().expect("a message").is_empty());
        (reason, code.expect("a close code"))
    }

    /// Reads to the next pong.
    pub(crate) async fn pong(&mut self) -> actix_web::web::Bytes {
        loop {
            if let Frame::Pong(bytes) = self.frame().await {
                return bytes;
            }
        }
    }

    pub(crate) async fn close_frame(&mut self) -> Option<CloseReason> {
        match self.frame().await {
            Frame::Close(reason) => reason,
            other => panic!("wanted a close frame, got {other:?}"),
        }
    }

    async fn frame(&mut self) -> Frame {
        loop {
            let frame = timeout(PATIENCE, self.socket.next()).await.expect("a frame in time");
            match frame.expect("an open connection").expect("a frame") {
                Frame::Ping(bytes) => self.send(WsMessage::Pong(bytes)).await,
                frame => return frame,
            }
        }
    }
}

/// One server-sent event.
#[derive(Debug)]
pub(crate) struct Sse {
    pub(crate) event: String,
    pub(crate) data: Value,
}

pub(crate) struct Events {
    body: futures_util::stream::LocalBoxStream<'static, Result<actix_web::web::Bytes, awc::error::PayloadError>>,
    text: String,
    ready: VecDeque<Sse>,
}

impl Events {
    pub(crate) async fn read(request: ClientRequest) -> Self {
        let response = timeout(PATIENCE, request.send()).await.expect("in time").expect("an answer");
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers().get("content-type").expect("a type"), "text/event-stream");
        Self { body: response.boxed_local(), text: String::new(), ready: VecDeque::new() }
    }

    /// The next event, or `None` where the stream has ended.
    pub(crate) async fn next(&mut self) -> Option<Sse> {
        while self.ready.is_empty() {
            let chunk = timeout(PATIENCE, self.body.next()).await.expect("an event in time")?;
            self.text.push_str(std::str::from_utf8(&chunk.expect("a chunk")).expect("UTF-8"));
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                self.ready.extend(sse(block));
                self.text = rest.to_owned();
            }
        }
        self.ready.pop_front()
    }

    /// Reads to the next event of that name.
    pub(crate) async fn until(&mut self, name: &str) -> Sse {
        loop {
            let sse = self.next().await.expect("a stream that goes on");
            if sse.event == name {
                return sse;
            }
        }
    }
}

fn sse(block: &str) -> Option<Sse> {
    let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    Some(Sse { event: field("event")?.into(), data: serde_json::from_str(field("data")?).expect("JSON") })
}

/// Makes the session's handler panic.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Panic;

impl Handler<Panic> for GatewaySession {
    type Result = ();

    fn handle(&mut self, _: Panic, _: &mut SessionContext<Self>) {
        panic!("asked to by the test");
    }
}
