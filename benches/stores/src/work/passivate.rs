//! Many sessions rest at once and leave memory.

use std::time::{Duration, Instant};

use super::{Figure, Outcome, Place, ask_all, size, wait_for_handled, wait_until};
use crate::contenders::{
    chat::{Say, handled, key, limits, start},
    engine::{CACHE, Engine, shuffled},
    one_file::OneFile,
};

const WITHIN: Duration = Duration::from_secs(300);

pub(crate) async fn passivate<E: Engine>(place: &Place) -> Outcome {
    let sessions = place.pick(100_000, 500);
    let after = place.pick(Duration::from_secs(5), Duration::from_secs(1));
    let file = place.file("sessions");
    let registry = start(limits().passivate_after(after), Some(E::open(&file, CACHE)?))?;
    ask_all(&registry, shuffled(sessions)).await?;

    let first = Instant::now();
    let expected = handled() + sessions as u64;
    for number in shuffled(sessions) {
        registry.do_send(key(number), Say).map_err(|error| error.to_string())?;
    }
    wait_for_handled(expected).await;
    let spread = first.elapsed();
    if registry.len() != sessions || registry.stats().passivated > 0 {
        return Err(format!("{} of {sessions} are live", registry.len()).into());
    }
    tokio::time::sleep_until((first + after).into()).await;
    wait_until(|| registry.is_empty(), WITHIN).await?;
    let took = (first + after).elapsed().as_secs_f64();
    let stats = registry.stats();
    if stats.passivated != sessions as u64 || stats.store_failed.total() > 0 {
        return Err(format!("not what was expected: {stats:?}").into());
    }
    registry.shutdown(WITHIN).await?;
    drop(registry);
    Ok(vec![
        Figure::new("all of them", took, "s"),
        Figure::new("of it, the time within which they fell due", spread.as_secs_f64(), "s"),
        Figure::new("a second", sessions as f64 / took, "sessions"),
        Figure::new("on disk afterwards, for each", size(&file)? as f64 / sessions as f64, "bytes"),
    ])
}

pub(crate) fn in_one_file(place: &Place) -> Outcome {
    let sessions = place.pick(100_000, 500);
    let file = place.file("sessions.json");
    let mut all = OneFile::open(&file)?;
    for number in shuffled(sessions) {
        all.say(key(number).as_str());
    }
    let begin = Instant::now();
    all.save()?;
    let took = begin.elapsed().as_secs_f64();
    Ok(vec![
        Figure::new("all of them", took, "s"),
        Figure::new("a second", sessions as f64 / took, "sessions"),
        Figure::new("on disk afterwards, for each", size(&file)? as f64 / sessions as f64, "bytes"),
    ])
}
