//! Everybody expires in the same instant, while a few go on being used.

use std::time::{Duration, Instant};

use super::{Figure, Scale, percentile};
use crate::{
    contender::{Contender, Limits, Times},
    ledger::ended,
};

/// Sessions that live on.
const BYSTANDERS: usize = 100;

pub(super) async fn storm<C: Contender>(scale: Scale) -> Result<Vec<Figure>, String> {
    let count = scale.pick(1_000_000, 2_000);
    let until_storm = Duration::from_millis(scale.pick(30_000, 500) as u64);
    let start = Instant::now();
    let storm = start + until_storm;
    let idle = move |index: usize| match index {
        0..BYSTANDERS => Times::HOUR,
        // Reckoned when it is opened, which is when it is touched.
        _ => storm.saturating_duration_since(Instant::now()).max(Duration::from_millis(1)),
    };
    let contender = C::start(Limits::each(move |index| Times::idle(idle(index)))).await;
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

    // A request each millisecond, as scheduled, until all are gone: one that is late because the last one was, is late,
    // and those that were due while nothing was answered are asked all the same. That the runtime's timer wakes by the
    // millisecond is in the figures, for every contender.
    // Room for all of them: an allocator may take its time for a large piece while a million small ones are freed.
    let (mut latencies, mut asked) = (Vec::with_capacity(60_000), 0_u32);
    let begin = Instant::now();
    let mut gone = None;
    while begin.elapsed() < Duration::from_secs(120) {
        let due = begin + Duration::from_millis(1) * asked;
        if gone.is_some_and(|gone| due > gone) {
            break;
        }
        tokio::time::sleep_until(due.into()).await;
        contender.ask(&bystanders[asked as usize % BYSTANDERS], 1).await;
        latencies.push(due.elapsed().as_secs_f64() * 1e3);
        asked += 1;
        if gone.is_none() && ended() >= count {
            gone = Some(Instant::now());
        }
    }
    let Some(gone) = gone else { return Err(format!("{} of {count} sessions have ended", ended())) };
    latencies.sort_by(f64::total_cmp);
    Ok(vec![
        Figure::new("all gone after", gone.saturating_duration_since(storm).as_secs_f64(), "s"),
        Figure::new("requests", f64::from(asked), "asked"),
        Figure::new("request p50", percentile(&latencies, 50.0), "ms"),
        Figure::new("request p99", percentile(&latencies, 99.0), "ms"),
    ])
}
