//! `/metrics`: the page that Prometheus reads.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use session_actors::SessionRegistry;
use session_actors::metrics::RegistryMetrics;
use session_actors::web::Problem;

use super::app::Gateway;
use super::session::GatewaySession;

/// In seconds: from a drain that takes no time to an age of weeks.
const BUCKETS: [f64; 12] =
    [0.01, 0.1, 1.0, 10.0, 60.0, 600.0, 3_600.0, 21_600.0, 86_400.0, 604_800.0, 2_592_000.0, 31_536_000.0];
/// The same for how late sessions begin to end, which is a matter of milliseconds.
const LATE: [f64; 9] = [0.000_5, 0.001, 0.002, 0.005, 0.01, 0.05, 0.1, 1.0, 10.0];
/// Between two readings if nobody scrapes.
const EVERY: Duration = Duration::from_secs(10);

pub(crate) struct Metrics {
    registry: RegistryMetrics<GatewaySession>,
    page: PrometheusHandle,
}

impl Metrics {
    pub(crate) fn of(registry: &SessionRegistry<GatewaySession>) -> Result<Self, BuildError> {
        let seconds = Matcher::Suffix("_seconds".into());
        let late = Matcher::Full("session_actors_expiry_late_seconds".into());
        let recorder = PrometheusBuilder::new().set_buckets_for_metric(seconds, &BUCKETS)?;
        let recorder = recorder.set_buckets_for_metric(late, &LATE)?.build_recorder();
        // A recorder of its own: nothing else in this process measures anything.
        let registry = metrics::with_local_recorder(&recorder, || RegistryMetrics::new(registry, "gateway"));
        let page = recorder.handle();
        let upkeep = page.clone();
        actix_web::rt::spawn(registry.clone().run(EVERY));
        actix_web::rt::spawn(async move {
            loop {
                actix_web::rt::time::sleep(EVERY).await;
                upkeep.run_upkeep();
            }
        });
        Ok(Self { registry, page })
    }
}

/// `GET /metrics`: the numbers of this very moment.
pub(crate) async fn page(request: HttpRequest, gateway: web::Data<Gateway>) -> Result<HttpResponse, Problem> {
    gateway.check_operator(&request)?;
    let Metrics { registry, page } = &gateway.metrics;
    registry.update();
    Ok(HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(page.render()))
}
