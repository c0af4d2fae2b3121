//! What sessions take on disk.

use super::{Figure, Outcome, Place, size};
use crate::contenders::{
    engine::{CACHE, Engine, fill},
    one_file::OneFile,
};

fn counts(place: &Place) -> [usize; 2] {
    place.pick([100_000, 1_000_000], [1_000, 10_000])
}

fn figure(count: usize, bytes: u64) -> Figure {
    Figure::new(format!("{count} sessions, for each"), bytes as f64 / count as f64, "bytes")
}

pub(crate) fn disk<E: Engine>(place: &Place) -> Outcome {
    let mut figures = Vec::new();
    for count in counts(place) {
        let file = place.file(&format!("{count}"));
        let store = E::open(&file, CACHE)?;
        fill(&store, count, None)?;
        drop(store);
        figures.push(figure(count, size(&file)?));
    }
    Ok(figures)
}

pub(crate) fn in_one_file(place: &Place) -> Outcome {
    let mut figures = Vec::new();
    for count in counts(place) {
        let file = place.file(&format!("{count}.json"));
        let mut all = OneFile::open(&file)?;
        all.fill(count, None);
        all.save()?;
        figures.push(figure(count, size(&file)?));
    }
    Ok(figures)
}
