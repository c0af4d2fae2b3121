//! A session comes back from the store for a message.

use std::{cell::RefCell, rc::Rc, time::Instant};

use super::{Figure, Outcome, Place, percentile};
use session_actors::store::Store;

use crate::contenders::{
    chat::{Registry, Say, key, limits, start},
    engine::{CACHE, Engine, fill, shuffled},
};

const AT_ONCE: usize = 64;

pub(crate) async fn restore<E: Engine>(place: &Place) -> Outcome {
    let (sessions, restores) = (place.pick(100_000, 1_000), place.pick(20_000, 200));
    let file = place.file("sessions");
    let store = E::open(&file, CACHE)?;
    fill(&store, sessions, None)?;
    for number in 0..sessions {
        // Into its cache.
        store.load(&key(number))?;
    }
    let registry = start(limits(), Some(store))?;
    // Once the threads are there, and what is not part of every restore was done.
    let mut keys = shuffled(sessions);
    let (warm_up, one_by_one, together) = (restores / 10, restores, restores);
    take_turns(&registry, keys.by_ref().take(warm_up).collect(), 1).await?;

    let begin = Instant::now();
    let mut alone = take_turns(&registry, keys.by_ref().take(one_by_one).collect(), 1).await?;
    let alone_took = begin.elapsed().as_secs_f64();
    let begin = Instant::now();
    let mut many = take_turns(&registry, keys.by_ref().take(together).collect(), AT_ONCE).await?;
    let many_took = begin.elapsed().as_secs_f64();

    let stats = registry.stats();
    if stats.restored != (warm_up + one_by_one + together) as u64 || stats.opened > 0 {
        return Err(format!("not what was expected: {stats:?}").into());
    }
    let mut figures = Vec::new();
    for (who, times, took) in [("one at a time", &mut alone, alone_took), ("64 at once", &mut many, many_took)] {
        times.sort_by(f64::total_cmp);
        figures.extend([
            Figure::new(format!("{who}, p50"), percentile(times, 50.0), "µs"),
            Figure::new(format!("{who}, p99"), percentile(times, 99.0), "µs"),
            Figure::new(format!("{who}, the longest"), percentile(times, 100.0), "µs"),
            Figure::new(format!("{who}, a second"), restores as f64 / took, "restores"),
        ]);
    }
    Ok(figures)
}

/// So many callers work off the keys. Returns how long each answer took, in microseconds.
async fn take_turns(
    registry: &Registry,
    numbers: Vec<usize>,
    callers: usize,
) -> Result<Vec<f64>, Box<dyn std::error::Error>> {
    let times = Rc::new(RefCell::new(Vec::with_capacity(numbers.len())));
    let numbers = Rc::new(RefCell::new(numbers.into_iter()));
    let callers: Vec<_> = (0..callers)
        .map(|_| {
            let (registry, numbers, times) = (registry.clone(), Rc::clone(&numbers), Rc::clone(&times));
            actix::spawn(async move {
                loop {
                    let next = numbers.borrow_mut().next();
                    let Some(number) = next else { return Ok(()) };
                    let key = key(number);
                    let begin = Instant::now();
                    registry.send(key, Say).await.map_err(|error| error.to_string())?;
                    times.borrow_mut().push(begin.elapsed().as_secs_f64() * 1e6);
                }
            })
        })
        .collect();
    for caller in callers {
        let outcome: Result<(), String> = caller.await?;
        outcome?;
    }
    Ok(times.take())
}
