//! Everybody expires in the same instant, while a few go on being used.

use std::time::{Duration, Instant};

use tokio::task::yield_now;

use super::{Figure, Scale, percentile};
use crate::{
    contender::{Contender, LONG, Lasts, Limits},
    ledger::{ended, expect_ends, last_end},
};

/// Sessions that live on.
const BYSTANDERS: usize = 100;
const MILLISECOND: Duration = Duration::from_millis(1);

pub(super) async fn storm<C: Contender>(scale: Scale) -> Result<Vec<Figure>, String> {
    let count = scale.pick(1_000_000, 2_000);
    let until_storm = Duration::from_millis(scale.pick(30_000, 500) as u64);
    let storm = Instant::now() + until_storm;
    let lasts = move |index: usize| match index {
        0..BYSTANDERS => LONG,
        // Reckoned when it is opened, which is when it is touched.
        _ => Lasts { idle: storm.saturating_duration_since(Instant::now()).max(MILLISECOND), ..LONG },
    };
    let contender = C::start(Limits::each(lasts)).await;
    expect_ends(count);
    let mut bystanders = Vec::new();
    for index in 0..BYSTANDERS {
        bystanders.push(contender.open(index).await);
    }
    for index in BYSTANDERS..BYSTANDERS + count {
        contender.open(index).await;
        // Let it start: its own clock begins there.
        if index % 64 == 0 {
            yield_now().await;
        }
    }
    if Instant::now() >= storm {
        return Err(format!("to open {count} took longer than {until_storm:?}"));
    }
    tokio::time::sleep_until((storm - 10 * MILLISECOND).into()).await;
    let (gone, mut latencies) = requests(&contender, &bystanders, storm).await?;
    latencies.sort_by(f64::total_cmp);
    Ok(vec![
        Figure::new("all gone after", (gone - storm).as_secs_f64(), "s"),
        Figure::new("request p50", percentile(&latencies, 50.0), "ms"),
        Figure::new("request p99", percentile(&latencies, 99.0), "ms"),
        Figure::new("requests", latencies.len() as f64, "requests"),
    ])
}

/// A request each millisecond from the storm until all are gone; when they were, and how late each answer came after
/// its request was due. Whoever blocks the thread for a second delays a thousand of them, and all of these are made and
/// counted, however soon all are gone.
async fn requests<C: Contender>(
    contender: &C,
    bystanders: &[C::Address],
    storm: Instant,
) -> Result<(Instant, Vec<f64>), String> {
    // Room for all of them: an allocator may take its time for a large piece while a million small ones are freed.
    let mut latencies = Vec::with_capacity(60_000);
    for to in bystanders.iter().cycle() {
        let due = storm + MILLISECOND * latencies.len() as u32;
        // Not asleep: tokio's timers have a grain of a millisecond, which would be most of what is measured.
        while last_end().is_none() && Instant::now() < due {
            yield_now().await;
        }
        if let Some(gone) = last_end().filter(|gone| *gone < due) {
            return Ok((gone, latencies));
        }
        if storm.elapsed() > Duration::from_secs(60) {
            break;
        }
        contender.ask(to, 1).await;
        latencies.push(due.elapsed().as_secs_f64() * 1e3);
    }
    Err(format!("{} have ended after a minute", ended()))
}
