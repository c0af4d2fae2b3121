//! What all routes share, and the routes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix_web::error::QueryPayloadError;
use actix_web::{HttpRequest, HttpResponse, Route, web};
use session_actors::store::{RedbOptions, RedbStore, Store as _};
use session_actors::web::{Bearer, Problem, admin::Admin};
use session_actors::{SessionRegistry, StartError};

use super::auth::Secret;
use super::config::Config;
use super::errors::GatewayError;
use super::metrics::Metrics;
use super::server::ServerError;
use super::session::GatewaySession;
use super::{health, hooks, metrics, ws};

pub(crate) struct Gateway {
    pub(crate) registry: SessionRegistry<GatewaySession>,
    pub(crate) config: Config,
    pub(crate) metrics: Metrics,
    /// The operator's routes, behind the token if there is one: one for all workers, so that what takes its time is bounded
    /// over all of them.
    pub(crate) admin: Admin<GatewaySession>,
    operator: Option<Bearer>,
    draining: AtomicBool,
}

impl Gateway {
    pub(crate) fn start(config: Config) -> Result<Self, ServerError> {
        let options = RedbOptions::new().cache_bytes(config.store.cache_bytes);
        let store = RedbStore::open_with(&config.store.file, options).map_err(StartError::from)?;
        let stored = store.count().map_err(StartError::from)?;
        let checkpoint = config.sessions.get_limits().checkpoint;
        tracing::info!(?checkpoint, file = %config.store.file.display(), stored, "sessions are kept");
        let registry = SessionRegistry::builder(GatewaySession::factory(Arc::new(config.clone())))
            .policy(config.sessions.clone())
            .arbiters(config.server.session_threads)
            .store_timeout(config.store.timeout)
            .persist(store)
            .start()?;
        let metrics = Metrics::of(&registry)?;
        let token = config.server.admin_token.as_ref().map(Secret::expose);
        let admin = match token {
            Some(token) => Admin::guarded(&registry, token),
            None => Admin::unguarded(&registry),
        };
        let operator = token.map(Bearer::new);
        Ok(Self { registry, config, metrics, admin, operator, draining: AtomicBool::new(false) })
    }

    /// Whether a request comes from whoever may use the operator's routes.
    pub(crate) fn check_operator(&self, request: &HttpRequest) -> Result<(), Problem> {
        self.operator.as_ref().map_or(Ok(()), |token| token.check(request))
    }

    // Relaxed in both: a flag that only `/health` reads. The registry's own flag is what refuses work.

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    pub(crate) fn set_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }
}

/// A tail `{user:.*}` takes slashes as they are, so any key can be written.
pub(crate) fn routes(app: &mut web::ServiceConfig, gateway: &web::Data<Gateway>) {
    app.app_data(gateway.clone())
        .app_data(ws::sessions(&gateway.registry))
        .app_data(web::Data::new(ws::options(&gateway.config)))
        .app_data(web::QueryConfig::default().error_handler(bad_query))
        .service(
            web::resource("/health")
                .route(web::get().to(health::health))
                // Some load balancers ask so.
                .route(web::head().to(health::health))
                .default_service(only("GET, HEAD")),
        )
        .service(
            web::resource("/hooks/{source}/{id:.*}")
                .route(web::post().to(hooks::deliver))
                .default_service(only("POST")),
        )
        .service(web::resource("/ws/{user:.*}").route(web::get().to(ws::chat)).default_service(only("GET")))
        .service(web::resource("/metrics").route(web::get().to(metrics::page)).default_service(only("GET")))
        .service(gateway.admin.scope("/admin"))
        .default_service(web::to(async || Err::<HttpResponse, _>(GatewayError::NoRoute)));
}

/// What a resource answers to all other methods.
fn only(allow: &'static str) -> Route {
    web::to(move || async move { Err::<HttpResponse, _>(GatewayError::WrongMethod { allow }) })
}

fn bad_query(error: QueryPayloadError, request: &HttpRequest) -> actix_web::Error {
    let message = match error {
        QueryPayloadError::Deserialize(error) => error.to_string(),
        error => error.to_string(),
    };
    // What it says of a value that is no number does not name the field.
    let hint = match request.path() {
        path if path.starts_with("/hooks/") => "; work_ms is a whole number of milliseconds",
        _ => "",
    };
    GatewayError::BadQuery(format!("{message}{hint}")).into()
}
