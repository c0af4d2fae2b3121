//! How late sessions end whose idle times are spread over ten seconds, and that none ends early.

use std::time::{Duration, Instant};

use super::{Figure, Scale, percentile};
use crate::{
    contender::{Contender, LONG, Lasts, Limits},
    ledger::{record_ends, take_ends, wait_for_ended},
};

pub(super) async fn expire<C: Contender>(scale: Scale) -> Result<Vec<Figure>, String> {
    let (count, over) = match scale {
        Scale::Full => (100_000, Duration::from_secs(10)),
        Scale::Short => (1_000, Duration::from_millis(500)),
    };
    // Longer than it takes to open them all, so that no end falls into that.
    let first = Duration::from_millis(scale.pick(5_000, 500) as u64);
    let idle = move |index: usize| first + over * u32::try_from(index).unwrap_or(0) / count as u32;
    let contender = C::start(Limits::each(move |index| Lasts { idle: idle(index), ..LONG })).await;
    record_ends(count);
    let mut touched = Vec::with_capacity(count);
    for index in 0..count {
        let session = contender.open(index).await;
        let before = Instant::now();
        contender.ask(&session, 1).await;
        // It was touched between these two.
        touched.push((before, Instant::now()));
    }
    wait_for_ended(count, first + over + Duration::from_secs(20)).await?;
    let mut late = Vec::with_capacity(count);
    let mut early = 0;
    for (index, ended) in take_ends() {
        let (before, after) = touched[index];
        if ended < before + idle(index) {
            early += 1;
        }
        late.push(ended.saturating_duration_since(after + idle(index)).as_secs_f64() * 1e3);
    }
    late.sort_by(f64::total_cmp);
    Ok(vec![
        Figure::new("late p50", percentile(&late, 50.0), "ms"),
        Figure::new("late p99", percentile(&late, 99.0), "ms"),
        Figure::new("late max", percentile(&late, 100.0), "ms"),
        Figure::new("early", f64::from(early), "sessions"),
    ])
}
