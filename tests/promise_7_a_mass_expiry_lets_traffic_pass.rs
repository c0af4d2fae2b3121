//! Promise 7: when thousands of sessions are due in the same instant, the others are served between their ends.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod support;

use session_actors::{EndReason, Policy, SessionRegistry};
use support::*;
use tokio::task::yield_now;

const SESSIONS: usize = 5_000;

/// By count, on a clock that stands still, not by time: how many ended while one request was answered. Whoever asks
/// without a pause, as many clients at once do, has the worst of it.
async fn most_ends_in_a_request(registry: &SessionRegistry<Probe>) -> usize {
    let mut most = 0;
    while registry.len() > 1 {
        let before = registry.len();
        registry.send("neighbour", Ping).await.unwrap();
        most = most.max(before - registry.len());
        yield_now().await;
    }
    most
}

async fn opened(registry: &SessionRegistry<Probe>) {
    for n in 0..SESSIONS {
        registry.send(format!("k{n}"), Ping).await.unwrap();
    }
    assert_eq!(registry.len(), SESSIONS);
}

#[actix::test]
async fn all_at_their_idle_deadline() {
    tokio::time::pause();
    let registry = registry(limits(), &Log::default());
    opened(&registry).await;
    tokio::time::advance(secs(5)).await;
    registry.send("neighbour", Ping).await.unwrap();
    tokio::time::advance(secs(5)).await;

    let most = most_ends_in_a_request(&registry).await;
    assert!((1..200).contains(&most), "{most} ended while one request waited");
    assert_eq!(registry.stats().ended.get(EndReason::IdleTimeout), SESSIONS as u64);
}

#[actix::test]
async fn all_at_once_by_a_changed_policy() {
    tokio::time::pause();
    let registry = registry(limits(), &Log::default());
    opened(&registry).await;
    tokio::time::advance(secs(5)).await;
    registry.send("neighbour", Ping).await.unwrap();
    registry.set_policy(Policy::new(limits().idle_timeout(secs(4)))).unwrap();

    // The host tells its sessions in slices as well.
    let most = most_ends_in_a_request(&registry).await;
    assert!((1..600).contains(&most), "{most} ended while one request waited");
    assert_eq!(registry.stats().ended.get(EndReason::IdleTimeout), SESSIONS as u64);
}
