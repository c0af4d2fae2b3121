//! How late sessions end, and that none ends early: every other one by its idle time, the rest by its maximum age, and
//! both are spread over ten seconds.

use std::time::{Duration, Instant};

use super::{Figure, Scale, percentile};
use crate::{
    contender::{Contender, LONG, Lasts, Limits},
    ledger::{record_ends, take_ends, wait_for_ended},
};

fn ends_idle(index: usize) -> bool {
    index.is_multiple_of(2)
}

pub(super) async fn expire<C: Contender>(scale: Scale) -> Result<Vec<Figure>, String> {
    let (count, over) = match scale {
        Scale::Full => (100_000, Duration::from_secs(10)),
        Scale::Short => (1_000, Duration::from_millis(500)),
    };
    // Longer than it takes to open them all, so that no end falls into that.
    let first = Duration::from_millis(scale.pick(5_000, 500) as u64);
    let after = move |index: usize| first + over * u32::try_from(index).unwrap_or(0) / count as u32;
    let lasts = move |index: usize| match ends_idle(index) {
        true => Lasts { idle: after(index), ..LONG },
        false => Lasts { max_age: after(index), ..LONG },
    };
    let contender = C::start(Limits::each(lasts)).await;
    record_ends(count);
    // Between which two instants its time began: an idle time at the message, an age at the opening or, where a session
    // starts by itself, a little later.
    let mut began = Vec::with_capacity(count);
    for index in 0..count {
        let opening = Instant::now();
        let session = contender.open(index).await;
        let asking = Instant::now();
        contender.ask(&session, 1).await;
        began.push((if ends_idle(index) { asking } else { opening }, Instant::now()));
    }
    wait_for_ended(count, first + over + Duration::from_secs(20)).await?;
    let (mut idle, mut age) = (Vec::new(), Vec::new());
    let mut early = 0;
    for (index, ended) in take_ends() {
        let (earliest, latest) = began[index];
        if ended < earliest + after(index) {
            early += 1;
        }
        let late = if ends_idle(index) { &mut idle } else { &mut age };
        late.push(ended.saturating_duration_since(latest + after(index)).as_secs_f64() * 1e3);
    }
    let mut figures = vec![Figure::new("early", f64::from(early), "sessions")];
    for (name, mut late) in [("idle", idle), ("max age", age)] {
        late.sort_by(f64::total_cmp);
        for (of, percent) in [("p50", 50.0), ("p99", 99.0), ("max", 100.0)] {
            figures.push(Figure::new(&format!("{name}, late {of}"), percentile(&late, percent), "ms"));
        }
    }
    Ok(figures)
}
