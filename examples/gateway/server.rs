//! The gateway as a running server: bound, serving, and drained.

use std::io;
use std::net::{SocketAddr, TcpListener};

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpServer, middleware, rt, web};
use metrics_exporter_prometheus::BuildError;
use session_actors::web::give_up_on_deaf_peers;
use session_actors::{ShutdownError, ShutdownReport, StartError};

use super::app::{Gateway, routes};
use super::config::Config;

/// What is left open when all sessions have ended (answers on their way, idle connections) gets this many seconds.
const CLOSING_SECONDS: u64 = 5;

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ServerError {
    #[error("cannot listen on {bind}: {source}; is another gateway running? Set server.bind or GATEWAY_BIND")]
    Bind { bind: SocketAddr, source: io::Error },
    #[error("cannot start the sessions: {0}")]
    Sessions(#[from] StartError),
    #[error("cannot measure: {0}")]
    Metrics(#[from] BuildError),
    #[error("cannot serve: {0}")]
    Serve(#[from] io::Error),
    #[error("the sessions did not drain: {0}")]
    Drain(#[from] ShutdownError),
}

pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    pub(crate) gateway: web::Data<Gateway>,
    handle: ServerHandle,
    serving: rt::task::JoinHandle<io::Result<()>>,
}

impl Server {
    /// Binds first, so that a taken port costs nothing. Must be called inside a running `System`.
    pub(crate) fn start(config: Config) -> Result<Self, ServerError> {
        let bind = config.server.bind;
        let bound = TcpListener::bind(bind).and_then(|listener| Ok((listener.local_addr()?, listener)));
        let (addr, listener) = bound.map_err(|source| ServerError::Bind { bind, source })?;
        let (workers, connections) = (config.server.workers, config.server.max_connections);

        let gateway = web::Data::new(Gateway::start(config)?);
        let shared = gateway.clone();
        let server = HttpServer::new(move || {
            let log = middleware::Logger::new("%a \"%r\" %s %b bytes, %D ms");
            App::new().wrap(log).configure(|app| routes(app, &shared))
        })
        .workers(workers)
        .max_connections(connections)
        // A client that hangs up is noticed at once, so that its watch or its work is not carried on for nobody.
        .h1_allow_half_closed(false)
        .on_connect(give_up_on_deaf_peers)
        .disable_signals()
        .shutdown_timeout(CLOSING_SECONDS)
        .listen(listener)?
        .run();
        let handle = server.handle();
        Ok(Self { addr, gateway, handle, serving: rt::spawn(server) })
    }

    /// Drains in this order:
    ///
    /// 1. `/health` turns, and the registry opens nothing more: newcomers still get an answer, 503.
    /// 2. Work in flight finishes and is answered, sockets get their farewell, sessions end, `/admin/events` tells it and
    ///    ends.
    /// 3. Only then the server stops to listen, and what is still being written gets a moment.
    pub(crate) async fn drain(self) -> Result<ShutdownReport, ServerError> {
        self.gateway.set_draining();
        let report = self.gateway.registry.shutdown(self.gateway.config.server.drain_timeout).await?;
        self.handle.stop(true).await;
        self.serving.await.map_err(io::Error::other)??;
        Ok(report)
    }
}
