//! How long answers took.

use std::{fmt, time::Duration};

#[derive(Default)]
pub(crate) struct Latencies(Vec<u32>);

impl Latencies {
    pub(crate) fn add(&mut self, took: Duration) {
        self.0.push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
    }

    pub(crate) fn join(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

impl fmt::Display for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let at = |part: f64| {
            let n = ((sorted.len() as f64 * part) as usize).min(sorted.len().saturating_sub(1));
            f64::from(sorted.get(n).copied().unwrap_or(0)) / 1000.0
        };
        write!(
            f,
            "answered within {:.1} ms (half), {:.1} ms (99 in a hundred), {:.1} ms (all)",
            at(0.5),
            at(0.99),
            at(1.0)
        )
    }
}
