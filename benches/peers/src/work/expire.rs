//! How late sessions end whose times are spread over ten seconds, half of them by their idle time and half by their
//! greatest age, and that none ends early.

use std::time::{Duration, Instant};

use super::{Figure, Scale, percentile};
use crate::{
    contender::{Contender, Limits, Times},
    ledger::{record_ends, take_ends, wait_for_ended},
};

pub(super) async fn expire<C: Contender>(scale: Scale) -> Result<Vec<Figure>, String> {
    let (count, over) = match scale {
        Scale::Full => (100_000, Duration::from_secs(10)),
        Scale::Short => (1_000, Duration::from_millis(500)),
    };
    // Longer than it takes to open them all, so that no end falls into that.
    let first = Duration::from_millis(scale.pick(5_000, 500) as u64);
    let after = move |index: usize| first + over * u32::try_from(index).unwrap_or(0) / count as u32;
    let times = move |index: usize| match index % 2 {
        0 => Times::idle(after(index)),
        _ => Times { idle: Times::HOUR, max_age: after(index) },
    };
    let contender = C::start(Limits::each(times)).await;
    record_ends(count);
    let mut touched = Vec::with_capacity(count);
    for index in 0..count {
        let opens = Instant::now();
        let session = contender.open(index).await;
        let asks = Instant::now();
        contender.ask(&session, 1).await;
        // It was opened, and touched, between this and the moment it has answered.
        touched.push((if index % 2 == 0 { asks } else { opens }, Instant::now()));
    }
    wait_for_ended(count, first + over + Duration::from_secs(20)).await?;
    let mut late = Vec::with_capacity(count);
    let mut early = 0;
    for (index, ended) in take_ends() {
        let (before, answered) = touched[index];
        if ended < before + after(index) {
            early += 1;
        }
        late.push(ended.saturating_duration_since(answered + after(index)).as_secs_f64() * 1e3);
    }
    late.sort_by(f64::total_cmp);
    Ok(vec![
        Figure::new("late p50", percentile(&late, 50.0), "ms"),
        Figure::new("late p99", percentile(&late, 99.0), "ms"),
        Figure::new("late max", percentile(&late, 100.0), "ms"),
        Figure::new("early", f64::from(early), "sessions"),
    ])
}
