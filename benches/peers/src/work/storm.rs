//! Everybody expires in the same instant, while a few go on being used.

use std::time::{Duration, Instant};

use super::{Figure, Scale, percentile};
use crate::{
    contender::{Contender, LONG, Lasts, Limits},
    ledger::{ended, wait_for_ended},
};

/// Sessions that live on.
const BYSTANDERS: usize = 100;

pub(super) async fn storm<C: Contender>(scale: Scale) -> Result<Vec<Figure>, String> {
    let count = scale.pick(1_000_000, 2_000);
    let until_storm = Duration::from_millis(scale.pick(20_000, 500) as u64);
    let start = Instant::now();
    let storm = start + until_storm;
    let idle = move |index: usize| match index {
        0..BYSTANDERS => Duration::from_secs(3600),
        // Reckoned when it is opened, which is when it is touched.
        _ => storm.saturating_duration_since(Instant::now()).max(Duration::from_millis(1)),
    };
    let contender = C::start(Limits::each(move |index| Lasts { idle: idle(index), ..LONG })).await;
    let mut bystanders = Vec::new();
    for index in 0..BYSTANDERS {
        bystanders.push(contender.open(index).await);
    }
    for index in BYSTANDERS..BYSTANDERS + count {
        contender.open(index).await;
        // Let it start: its own clock begins there.
        if index % 64 == 0 {
            tokio::task::yield_now().await;
        }
    }
    if Instant::now() >= storm {
        return Err(format!("to open {count} took longer than {until_storm:?}"));
    }
    tokio::time::sleep_until((storm - Duration::from_millis(10)).into()).await;

    // A request each millisecond, as scheduled: one that is late because the last one was, is late.
    // Room for all of them: an allocator may take its time for a large piece while a million small ones are freed.
    let (mut latencies, mut asked) = (Vec::with_capacity(60_000), 0_u32);
    let begin = Instant::now();
    while ended() < count {
        let due = begin + Duration::from_millis(1) * asked;
        tokio::time::sleep_until(due.into()).await;
        contender.ask(&bystanders[asked as usize % BYSTANDERS], 1).await;
        latencies.push(due.elapsed().as_secs_f64() * 1e3);
        asked += 1;
        if begin.elapsed() > Duration::from_secs(60) {
            break;
        }
    }
    let gone = storm.elapsed().as_secs_f64();
    wait_for_ended(count, Duration::ZERO).await?;
    latencies.sort_by(f64::total_cmp);
    Ok(vec![
        Figure::new("all gone after", gone, "s"),
        Figure::new("request p50", percentile(&latencies, 50.0), "ms"),
        Figure::new("request p99", percentile(&latencies, 99.0), "ms"),
    ])
}
