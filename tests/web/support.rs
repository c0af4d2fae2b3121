//! The session of these tests, and servers for it.

use std::time::Duration;

use actix::prelude::*;
use actix_web::{
    App, Error, HttpRequest, HttpResponse, HttpServer,
    body::MessageBody,
    dev::{ServerHandle, Service, ServiceResponse},
    http::{Method, StatusCode},
    rt, test, web,
};
use actix_ws::CloseCode;
use serde_json::Value;
use session_actors::{
    EndReason, Limits, Policy, Session, SessionContext, SessionKey, SessionRegistry, Warning,
    web::{
        Named, Problem, Sessions,
        admin::Admin,
        socket::{Frame, Goodbye, Heard, SocketEvent, SocketOptions, Sockets},
    },
};

pub const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Says what it hears, and does as it is told: `crash`, `stop`, `kick`, `flood`, `work`.
#[derive(Default)]
pub struct Chat {
    sockets: Sockets,
    pub counted: u64,
}

impl Actor for Chat {
    type Context = SessionContext<Self>;

    fn stopped(&mut self, ctx: &mut Self::Context) {
        self.sockets.end(ctx.end_reason());
    }
}

impl Session for Chat {
    fn warned(&mut self, warning: Warning, _: &mut SessionContext<Self>) {
        self.sockets.warn(&warning);
    }

    fn draining(&mut self, reason: EndReason, ctx: &mut SessionContext<Self>) {
        self.sockets.drain(reason, ctx);
    }
}

impl Handler<SocketEvent> for Chat {
    type Result = ();

    fn handle(&mut self, event: SocketEvent, ctx: &mut Self::Context) {
        match self.sockets.hear(event, ctx) {
            Heard::Frame(id, Frame::Text(text)) => match &*text {
                "crash" => panic!("as it was told"),
                "stop" => ctx.stop(),
                "kick" => assert!(self.sockets.close(id, Goodbye::new(CloseCode::Policy, "kicked", "as it was told"))),
                "flood" => (0..100_000).for_each(|n| self.sockets.broadcast(format!("{n} {}", "x".repeat(1000)))),
                "work" => {
                    let work = tokio::time::sleep(secs(2)).into_actor(self);
                    ctx.wait(work);
                }
                text => {
                    self.sockets.send(id, format!("you: {text}"));
                    self.sockets.broadcast(format!("all: {text}"));
                }
            },
            Heard::Frame(_, Frame::Binary(bytes)) => self.sockets.broadcast(bytes),
            Heard::Joined(_) | Heard::Refused(_) | Heard::Left(..) => {}
            _ => {}
        }
    }
}

/// Counts itself.
#[derive(Message)]
#[rtype(result = "u64")]
pub struct Count;

impl Handler<Count> for Chat {
    type Result = u64;

    fn handle(&mut self, _: Count, _: &mut Self::Context) -> u64 {
        self.counted += 1;
        self.counted
    }
}

/// Works for a while.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Work(pub Duration);

impl Handler<Work> for Chat {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, Work(time): Work, _: &mut Self::Context) -> Self::Result {
        Box::pin(tokio::time::sleep(time))
    }
}

/// Panics.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Crash;

impl Handler<Crash> for Chat {
    type Result = ();

    fn handle(&mut self, _: Crash, _: &mut Self::Context) {
        panic!("a secret of the inside");
    }
}

pub fn limits() -> Limits {
    Limits::new().idle_timeout(secs(600)).max_age(secs(3600)).drain_timeout(secs(5))
}

pub fn registry(policy: Policy) -> SessionRegistry<Chat> {
    SessionRegistry::builder(|_: &SessionKey| Chat::default()).policy(policy).start().unwrap()
}

pub const TOKEN: &str = "a token";

/// A request with the token, without a server; its status and its body.
pub async fn ask<S, B>(app: &S, method: Method, uri: &str, body: Option<Value>) -> (StatusCode, Value)
where
    S: Service<actix_http::Request, Response = ServiceResponse<B>, Error = Error>,
    B: MessageBody,
{
    let mut request = test::TestRequest::default()
        .method(method)
        .uri(uri)
        .insert_header(("Authorization", format!("Bearer {TOKEN}")));
    if let Some(body) = body {
        request = request.set_json(body);
    }
    let response = test::call_service(app, request.to_request()).await;
    let status = response.status();
    let body = test::read_body(response).await;
    (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

async fn chat(
    request: HttpRequest,
    body: web::Payload,
    session: Named<Chat>,
    options: web::Data<SocketOptions>,
) -> Result<HttpResponse, Problem> {
    session.attach(&request, body, &options).await
}

/// A gateway with `/ws/{user}` and `/admin`, on a port of its own.
pub struct Server {
    pub port: u16,
    pub registry: SessionRegistry<Chat>,
    handle: ServerHandle,
}

impl Server {
    pub fn start(policy: Policy, options: SocketOptions) -> Self {
        Self::of(registry(policy), options, 0)
    }

    pub fn of(registry: SessionRegistry<Chat>, options: SocketOptions, port: u16) -> Self {
        let sessions = Sessions::by_path(&registry, "user").prefixed("user:");
        let admin = Admin::guarded(&registry, TOKEN);
        let options = web::Data::new(options);
        let app = move || {
            App::new()
                .app_data(sessions.clone())
                .app_data(options.clone())
                .service(admin.scope("/admin"))
                .route("/ws/{user}", web::get().to(chat))
        };
        let server = HttpServer::new(app).workers(1).disable_signals().shutdown_timeout(1);
        let server = server.bind(("127.0.0.1", port)).unwrap();
        let port = server.addrs()[0].port();
        let server = server.run();
        let handle = server.handle();
        rt::spawn(server);
        Self { port, registry, handle }
    }

    pub async fn stop(self) {
        self.registry.shutdown(secs(5)).await.unwrap();
        self.handle.stop(false).await;
    }
}
