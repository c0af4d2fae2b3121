//! What sessions take in memory that have left it.

use std::{fs, time::Duration};

use super::{Figure, Outcome, Place, ask_all, wait_until};
use crate::{
    allocated::{allocated, count_from_here},
    contenders::{
        chat::{Registry, key, limits, start},
        engine::Engine,
        one_file::OneFile,
    },
};

/// So small that it is full before anything is measured.
const CACHE: usize = 1 << 20;
const WITHIN: Duration = Duration::from_secs(120);

/// Resident bytes of this process; none where the system does not say.
fn resident() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok()? * 1024.0)
}

struct Reading {
    allocated: f64,
    resident: Option<f64>,
}

impl Reading {
    fn take() -> Self {
        Self { allocated: allocated() as f64, resident: resident() }
    }

    /// What has come since, for each of so many.
    fn figures(&self, before: &Self, name: &str, count: usize) -> Vec<Figure> {
        let each = |now: f64, before: f64| (now - before) / count as f64;
        let mut figures =
            vec![Figure::new(format!("{name}, allocated"), each(self.allocated, before.allocated), "bytes")];
        if let (Some(now), Some(before)) = (self.resident, before.resident) {
            figures.push(Figure::new(format!("{name}, VmRSS"), each(now, before), "bytes"));
        }
        figures
    }
}

pub(crate) async fn rest<E: Engine>(place: &Place) -> Outcome {
    count_from_here();
    let mut figures = at_once::<E>(place).await?;
    figures.extend(in_batches::<E>(place).await?);
    Ok(figures)
}

async fn at_once<E: Engine>(place: &Place) -> Outcome {
    let sessions = place.pick(100_000, 1_000);
    // Long enough that the first are not gone when the last come.
    let after = place.pick(Duration::from_secs(5), Duration::from_secs(1));
    let registry = start(limits().passivate_after(after), Some(E::open(&place.file("at-once"), CACHE)?))?;
    // What is made once is not what sessions take.
    ask_all(&registry, sessions..sessions + 1_000).await?;
    gone(&registry, 1_000).await?;

    let before = Reading::take();
    ask_all(&registry, 0..sessions).await?;
    let live = Reading::take();
    if registry.len() != sessions {
        return Err(format!("{} of {sessions} are live", registry.len()).into());
    }
    let mut figures = live.figures(&before, &format!("{sessions} live"), sessions);
    gone(&registry, sessions + 1_000).await?;
    figures.extend(Reading::take().figures(&before, &format!("{sessions} that were live and have gone"), sessions));
    registry.shutdown(WITHIN).await?;
    Ok(figures)
}

async fn in_batches<E: Engine>(place: &Place) -> Outcome {
    let (first, more, batch) = place.pick((100_000, 900_000, 10_000), (1_000, 1_000, 500));
    let limits = limits().passivate_after(Duration::from_millis(100));
    let registry = start(limits, Some(E::open(&place.file("in-batches"), CACHE)?))?;
    for begin in (0..first).step_by(batch) {
        ask_all(&registry, begin..begin + batch).await?;
        wait_until(|| registry.is_empty(), WITHIN).await?;
    }
    gone(&registry, first).await?;
    let before = Reading::take();
    for begin in (first..first + more).step_by(batch) {
        ask_all(&registry, begin..begin + batch).await?;
        wait_until(|| registry.is_empty(), WITHIN).await?;
    }
    gone(&registry, first + more).await?;
    let figures = Reading::take().figures(&before, &format!("each of {more} more, in batches"), more);
    registry.shutdown(WITHIN).await?;
    Ok(figures)
}

/// Waits until so many have left in all, and what is put off until it is quiet was done.
async fn gone(registry: &Registry, count: usize) -> Result<(), Box<dyn std::error::Error>> {
    wait_until(|| registry.is_empty(), WITHIN).await?;
    let stats = registry.stats();
    if stats.passivated != count as u64 || stats.store_failed.total() > 0 {
        return Err(format!("{count} should have gone: {stats:?}").into());
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    Ok(())
}

pub(crate) fn in_one_file(place: &Place) -> Outcome {
    let at_once = place.pick(100_000, 1_000);
    count_from_here();
    let before = Reading::take();
    let mut all = OneFile::open(&place.file("sessions.json"))?;
    for number in 0..at_once {
        all.say(key(number).as_str());
    }
    all.save()?;
    let live = Reading::take();
    if all.len() != at_once {
        return Err(format!("{} of {at_once} are there", all.len()).into());
    }
    Ok(live.figures(&before, &format!("{at_once} live"), at_once))
}
