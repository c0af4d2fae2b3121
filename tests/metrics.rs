//! What a registry tells its metrics: by the page that Prometheus would read.
#![allow(missing_docs, clippy::unwrap_used)]

use std::time::Duration;

use actix::prelude::*;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use session_actors::{Limits, Policy, Session, SessionContext, SessionKey, SessionRegistry, metrics::RegistryMetrics};
use tokio::time::{pause, sleep};

struct Worker;

impl Actor for Worker {
    type Context = SessionContext<Self>;
}

impl Session for Worker {}

#[derive(Message)]
#[rtype(result = "()")]
struct Work(Duration);

impl Handler<Work> for Worker {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, Work(time): Work, _: &mut Self::Context) -> Self::Result {
        Box::pin(sleep(time))
    }
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// With a recorder of this test alone.
fn measured(policy: Policy) -> (SessionRegistry<Worker>, RegistryMetrics<Worker>, PrometheusHandle) {
    pause();
    let registry = SessionRegistry::builder(|_: &SessionKey| Worker).policy(policy).start().unwrap();
    let recorder = PrometheusBuilder::new().build_recorder();
    let metrics = metrics::with_local_recorder(&recorder, || RegistryMetrics::new(&registry, "test"));
    (registry, metrics, recorder.handle())
}

/// The value of a series on the page, which has it once.
fn value(page: &str, series: &str) -> f64 {
    let mut values = page.lines().filter_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    let value = values.next().unwrap_or_else(|| panic!("no {series} in\n{page}"));
    assert_eq!(values.next(), None, "{series} twice");
    value.parse().unwrap()
}

#[actix::test]
async fn everything_is_there_before_it_happens() {
    let (_registry, _metrics, page) = measured(Policy::new(Limits::new()).max_sessions(7));
    let page = page.render();
    for reason in
        ["idle_timeout", "max_age", "stuck", "closed", "stopped", "evicted", "panicked", "shutdown", "aborted"]
    {
        assert_eq!(value(&page, &format!("session_actors_ended_total{{registry=\"test\",reason=\"{reason}\"}}")), 0.0);
        // What has no deadline is never late.
        let late = format!("session_actors_expiry_late_seconds_count{{registry=\"test\",reason=\"{reason}\"}}");
        assert_eq!(page.contains(&late), ["idle_timeout", "max_age", "stuck"].contains(&reason), "{page}");
    }
    assert_eq!(value(&page, "session_actors_opened_total{registry=\"test\"}"), 0.0);
    assert_eq!(value(&page, "session_actors_sessions_max{registry=\"test\"}"), 7.0);
    assert!(page.contains("# HELP session_actors_refused_total Opens refused for lack of room"), "{page}");
    assert!(page.contains("# TYPE session_actors_refused_total counter"), "{page}");
}

#[actix::test]
async fn numbers_are_those_of_the_moment_of_the_update() {
    let (registry, metrics, page) = measured(Policy::new(Limits::new().idle_timeout(secs(60))).max_sessions(2));
    registry.send("a", Work(secs(0))).await.unwrap();
    let draining = registry.send("b", Work(secs(10)));
    sleep(secs(1)).await;
    let closing = registry.close("b");
    registry.open("c").unwrap_err();
    sleep(secs(1)).await;
    metrics.update();
    let now = page.render();
    let sessions = |state| value(&now, &format!("session_actors_sessions{{registry=\"test\",state=\"{state}\"}}"));
    assert_eq!((sessions("active"), sessions("draining"), sessions("waiting")), (1.0, 1.0, 0.0));
    assert_eq!(value(&now, "session_actors_refused_total{registry=\"test\"}"), 1.0);
    closing.await.unwrap();
    draining.await.unwrap();
    metrics.update();
    metrics.update();
    let now = page.render();
    assert_eq!(value(&now, "session_actors_ended_total{registry=\"test\",reason=\"closed\"}"), 1.0);
    assert_eq!(value(&now, "session_actors_opened_total{registry=\"test\"}"), 2.0);
}

#[actix::test]
async fn ages_idle_times_and_drains_are_those_of_the_events() {
    let (registry, metrics, page) = measured(Policy::new(Limits::new().idle_timeout(secs(60))));
    let running = actix::spawn(metrics.run(secs(5)));
    tokio::task::yield_now().await;
    registry.send("rests", Work(secs(0))).await.unwrap();
    let works = registry.send("works", Work(secs(30)));
    sleep(secs(10)).await;
    // It drains for the twenty seconds that are left.
    registry.close("works").await.unwrap();
    works.await.unwrap();
    sleep(secs(100)).await;
    let now = page.render();
    let sum = |what, reason| {
        value(&now, &format!("session_actors_{what}_seconds_sum{{registry=\"test\",reason=\"{reason}\"}}"))
    };
    let count = |what, reason| {
        value(&now, &format!("session_actors_{what}_seconds_count{{registry=\"test\",reason=\"{reason}\"}}"))
    };
    let about = |value: f64, seconds: f64| assert!((value - seconds).abs() < 0.1, "{value} instead of {seconds}");
    about(sum("age", "closed"), 30.0);
    about(sum("drain", "closed"), 20.0);
    about(sum("age", "idle_timeout"), 60.0);
    about(sum("idle", "idle_timeout"), 60.0);
    assert_eq!((count("drain", "closed"), count("drain", "idle_timeout")), (1.0, 0.0));
    // Updated by itself.
    assert_eq!(value(&now, "session_actors_ended_total{registry=\"test\",reason=\"idle_timeout\"}"), 1.0);

    registry.shutdown(secs(1)).await.unwrap();
    running.await.unwrap();
}
