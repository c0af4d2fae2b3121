//! Webhooks at a steady rate: each has to be answered, and counted by its session.

use std::{sync::Arc, time::Duration};

use serde_json::Value;
use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{Instant, sleep_until},
};

use crate::{Load, latency::Latencies};

/// That many may wait for their answer at a time.
const AT_ONCE: usize = 512;

pub(crate) async fn run(load: Load, port: u16, wave: u64) -> Result<String, String> {
    let http =
        reqwest::Client::builder().timeout(Duration::from_secs(30)).build().map_err(|error| error.to_string())?;
    let begin = Instant::now();
    let total = load.hooks * load.lasts.as_secs();
    let gate = Arc::new(Semaphore::new(AT_ONCE));
    let mut answers = JoinSet::new();
    let mut all = Latencies::default();
    // How often each session has to have been told so far.
    let mut counts = vec![0_u64; usize::try_from(load.hook_sessions).map_err(|error| error.to_string())?];
    for n in 0..total {
        let due = begin + Duration::from_nanos(n * 1_000_000_000 / load.hooks);
        sleep_until(due).await;
        let permit = Arc::clone(&gate).acquire_owned().await.map_err(|error| error.to_string())?;
        let session = n % load.hook_sessions;
        let url = format!("http://127.0.0.1:{port}/hooks/load/w{wave}-{session}");
        let request = http.post(url).header("X-GitHub-Delivery", format!("{wave}-{n}")).body("{}");
        answers.spawn(async move {
            let answer = request.send().await.map_err(|error| format!("webhook {n}: {error}"))?;
            let status = answer.status();
            let view: Value = answer.json().await.map_err(|error| format!("webhook {n}: {status}: {error}"))?;
            drop(permit);
            if !status.is_success() || view["duplicate"] != false {
                return Err(format!("webhook {n}: {status}: {view}"));
            }
            let counted = view["deliveries"].as_u64().ok_or_else(|| format!("webhook {n}: {view}"))?;
            // From when it was due, so that what had to wait for its turn counts as late.
            Ok((session, counted, due.elapsed()))
        });
        while let Some(answer) = answers.try_join_next() {
            take(answer, &mut all, &mut counts)?;
        }
    }
    while let Some(answer) = answers.join_next().await {
        take(answer, &mut all, &mut counts)?;
    }
    let expected = |session: u64| total / load.hook_sessions + u64::from(session < total % load.hook_sessions);
    for (session, counted) in counts.iter().enumerate() {
        if *counted != expected(session as u64) {
            return Err(format!("session {session} has counted {counted} of {}", expected(session as u64)));
        }
    }
    let took = begin.elapsed();
    Ok(format!("{total} webhooks in {:.1} s, none lost; {all}", took.as_secs_f64()))
}

type Answer = Result<Result<(u64, u64, Duration), String>, tokio::task::JoinError>;

fn take(answer: Answer, all: &mut Latencies, counts: &mut [u64]) -> Result<(), String> {
    let (session, counted, took) = answer.map_err(|error| error.to_string())??;
    all.add(took);
    let count = &mut counts[usize::try_from(session).map_err(|error| error.to_string())?];
    *count = (*count).max(counted);
    Ok(())
}
