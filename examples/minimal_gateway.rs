//! Chat (`ws://127.0.0.1:8080/ws/ada`), `/metrics`, `/admin/`: `cargo run --example minimal_gateway --features metrics,web`
use actix::prelude::*;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, rt, web};
use metrics_exporter_prometheus::PrometheusBuilder;
use session_actors::web::socket::{Frame, Heard, SocketEvent, SocketOptions, Sockets};
use session_actors::web::{Named, Problem, Sessions, admin::Admin, give_up_on_deaf_peers, stop_signal};
use session_actors::{EndReason, Limits, Policy, Session, SessionContext, SessionKey, SessionRegistry, Warning};
use std::{error::Error, time::Duration};

#[derive(Default)]
struct Chat(Sockets);
impl Actor for Chat {
    type Context = SessionContext<Self>;
    fn stopped(&mut self, ctx: &mut Self::Context) {
        self.0.end(ctx.end_reason());
    }
}
impl Session for Chat {
    fn warned(&mut self, warning: Warning, _: &mut SessionContext<Self>) {
        self.0.warn(&warning);
    }
    fn draining(&mut self, reason: EndReason, ctx: &mut SessionContext<Self>) {
        self.0.drain(reason, ctx);
    }
}
impl Handler<SocketEvent> for Chat {
    type Result = ();
    fn handle(&mut self, event: SocketEvent, ctx: &mut Self::Context) {
        if let Heard::Frame(socket, Frame::Text(text)) = self.0.hear(event, ctx) {
            self.0.broadcast(format!("{socket} says: {text}"));
        }
    }
}

async fn chat(request: HttpRequest, body: web::Payload, session: Named<Chat>) -> Result<HttpResponse, Problem> {
    session.attach(&request, body, &SocketOptions::new()).await
}

#[actix_web::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let limits = Limits::new().idle_timeout(Duration::from_secs(900)).warn_before(Duration::from_secs(60));
    let registry = SessionRegistry::builder(|_: &SessionKey| Chat::default()).policy(Policy::new(limits)).start()?;
    let page = PrometheusBuilder::new().install_recorder()?;
    rt::spawn(session_actors::metrics::RegistryMetrics::new(&registry, "chat").run(Duration::from_secs(5)));
    let admin = Admin::unguarded(&registry); // Whoever is on this machine; for others: guarded(&registry, token).
    let sessions = Sessions::by_path(&registry, "user").prefixed("user:");
    let app = move || {
        let (app, page) = (App::new().app_data(sessions.clone()).service(admin.scope("/admin")), page.clone());
        let app = app.route("/metrics", web::get().to(move || std::future::ready(page.render())));
        app.route("/ws/{user}", web::get().to(chat))
    };
    let server = HttpServer::new(app).on_connect(give_up_on_deaf_peers).disable_signals();
    let server = server.bind(("127.0.0.1", 8080))?.run();
    let (handle, serving) = (server.handle(), rt::spawn(server));
    stop_signal().await?;
    registry.shutdown(Duration::from_secs(30)).await?; // Sockets are told; then the door is closed.
    handle.stop(true).await;
    Ok(serving.await??)
}
