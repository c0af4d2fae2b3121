//! What a message costs, by when it is saved.

use std::{
    cell::Cell,
    error::Error,
    fs::File,
    io::Write as _,
    rc::Rc,
    time::{Duration, Instant, SystemTime},
};

use session_actors::{
    Checkpoint,
    store::{Change, Store},
};

use super::{Figure, Outcome, Place, Work, nanos, wait_for_handled};
use crate::contenders::{
    chat::{Registry, Say, handled, key, limits, start},
    engine::{CACHE, Engine, fill, record},
    one_file::OneFile,
};

/// Sessions at work.
const AT_WORK: [usize; 3] = [1, 64, 1_000];
/// Where there are more in the store.
const SOME: usize = 64;
/// Queued before anybody waits.
const BATCH: usize = 1_000;

fn window(work: Work, place: &Place) -> Duration {
    match work {
        // So that there are saves in it.
        Work::EverySecond => place.pick(Duration::from_millis(2_200), Duration::from_millis(100)),
        _ => place.pick(Duration::from_secs(1), Duration::from_millis(100)),
    }
}

fn name(work: Work, at_work: usize, how: &str) -> String {
    let mode = match work {
        Work::NoStore => "no store",
        Work::End => "`end`",
        Work::EverySecond => "`1s`",
        _ => "`always`",
    };
    format!("{mode}, {at_work} at work, {how}")
}

pub(crate) async fn checkpoint<E: Engine>(work: Work, place: &Place) -> Outcome {
    let limits = match work {
        Work::EverySecond => limits().checkpoint(Checkpoint::Every(Duration::from_secs(1))),
        Work::Always => limits().checkpoint(Checkpoint::Always),
        _ => limits(),
    };
    let mut figures = Vec::new();
    for at_work in AT_WORK {
        let file = place.file(&format!("{at_work}"));
        let store = if work == Work::NoStore { None } else { Some(E::open(&file, CACHE)?) };
        let registry = start(limits.clone(), store)?;
        figures.push(Figure::new(
            name(work, at_work, "asked"),
            asked(&registry, at_work, window(work, place)).await?,
            "ns",
        ));
        figures.push(Figure::new(
            name(work, at_work, "told"),
            told(&registry, at_work, window(work, place)).await?,
            "ns",
        ));
        check(&registry)?;
        registry.shutdown(Duration::from_secs(60)).await?;
    }
    if work == Work::Always {
        let file = place.file("many");
        let stored = place.pick(100_000, 1_000);
        let store = E::open(&file, CACHE)?;
        fill(&store, stored, None)?;
        let registry = start(limits, Some(store))?;
        let each = asked(&registry, SOME, window(work, place)).await?;
        figures.push(Figure::new(format!("`always`, {SOME} of {stored} at work, asked"), each, "ns"));
        check(&registry)?;
        registry.shutdown(Duration::from_secs(60)).await?;
        figures.push(Figure::new("by hand: a commit for each", by_hand::<E>(work, place)?, "ns"));
    }
    Ok(figures)
}

fn check(registry: &Registry) -> Result<(), String> {
    let stats = registry.stats();
    if stats.store_failed.total() > 0 { Err(format!("the store failed: {stats:?}")) } else { Ok(()) }
}

/// Nanoseconds for each message, with a caller for each session.
async fn asked(registry: &Registry, at_work: usize, window: Duration) -> Result<f64, Box<dyn Error>> {
    let (over, count) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(0_u64)));
    let callers: Vec<_> = (0..at_work)
        .map(|number| {
            let (registry, over, count, key) = (registry.clone(), Rc::clone(&over), Rc::clone(&count), key(number));
            actix::spawn(async move {
                while !over.get() {
                    registry.send(key.clone(), Say).await.map_err(|error| error.to_string())?;
                    count.set(count.get() + 1);
                }
                Ok(())
            })
        })
        .collect();
    // The first messages open sessions.
    tokio::time::sleep(window / 5).await;
    let (begin, before) = (Instant::now(), count.get());
    tokio::time::sleep(window).await;
    let each = nanos(begin.elapsed()) / (count.get() - before).max(1) as f64;
    over.set(true);
    for caller in callers {
        let outcome: Result<(), String> = caller.await?;
        outcome?;
    }
    Ok(each)
}

/// Nanoseconds for each message, with nobody who waits for an answer.
async fn told(registry: &Registry, at_work: usize, window: Duration) -> Result<f64, Box<dyn Error>> {
    let keys: Vec<_> = (0..at_work).map(key).collect();
    let mut targets = keys.iter().cycle();
    let (begin, before) = (Instant::now(), handled());
    while begin.elapsed() < window {
        let expected = handled() + BATCH as u64;
        for key in targets.by_ref().take(BATCH) {
            registry.do_send(key.clone(), Say).map_err(|error| error.to_string())?;
        }
        wait_for_handled(expected).await;
        // Timers and wishes of the store have their turn as beside any other traffic.
        tokio::task::yield_now().await;
    }
    Ok(nanos(begin.elapsed()) / (handled() - before) as f64)
}

/// Nanoseconds for each message, if each is committed by itself.
fn by_hand<E: Engine>(work: Work, place: &Place) -> Result<f64, Box<dyn Error>> {
    let store = E::open(&place.file("by-hand"), CACHE)?;
    let (begin, mut count) = (Instant::now(), 0_usize);
    while begin.elapsed() < window(work, place) {
        let number = count % SOME;
        store.commit(&[Change::Put { key: key(number), record: record(number, SystemTime::now())? }])?;
        count += 1;
    }
    Ok(nanos(begin.elapsed()) / count as f64)
}

pub(crate) fn in_one_file(work: Work, place: &Place) -> Outcome {
    let mut figures = Vec::new();
    for at_work in AT_WORK {
        let each = kept_in_one(work, place, at_work, at_work)?;
        figures.push(Figure::new(name(work, at_work, "asked"), each, "ns"));
    }
    if work == Work::Always {
        let stored = place.pick(100_000, 1_000);
        let each = kept_in_one(work, place, SOME, stored)?;
        figures.push(Figure::new(format!("`always`, {SOME} of {stored} at work, asked"), each, "ns"));
        figures.push(Figure::new("bare file: an fsync for each", bare(work, place)?, "ns"));
    }
    Ok(figures)
}

/// Each of those at work says something, then all are saved if it is time.
fn kept_in_one(work: Work, place: &Place, at_work: usize, stored: usize) -> Result<f64, Box<dyn Error>> {
    let mut all = OneFile::open(&place.file(&format!("{stored}.json")))?;
    all.fill(stored, None);
    let keys: Vec<_> = (0..at_work).map(key).collect();
    let (begin, mut count, mut saved) = (Instant::now(), 0_usize, Instant::now());
    while begin.elapsed() < window(work, place) {
        for key in &keys {
            all.say(key.as_str());
        }
        count += at_work;
        if work == Work::Always || work == Work::EverySecond && saved.elapsed() > Duration::from_secs(1) {
            all.save()?;
            saved = Instant::now();
        }
    }
    Ok(nanos(begin.elapsed()) / count as f64)
}

/// What the disk takes.
fn bare(work: Work, place: &Place) -> Result<f64, Box<dyn Error>> {
    let mut file = File::create(place.file("bare"))?;
    let (begin, mut count) = (Instant::now(), 0_usize);
    while begin.elapsed() < window(work, place) {
        file.write_all(&[b'x'; 400])?;
        file.sync_data()?;
        count += 1;
    }
    Ok(nanos(begin.elapsed()) / count as f64)
}
