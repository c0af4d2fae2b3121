//! Runs every row of every contender in a process of its own, in turns.

use std::{
    collections::BTreeMap,
    env, fs,
    path::PathBuf,
    process::{Command, Stdio},
};

use clap::ValueEnum;

use crate::{Run, entrant::Entrant, jemalloc, report, spread, work::Figure, work::Work};

/// The runs of each figure: by row, name of the figure, contender.
pub(crate) type Runs = BTreeMap<(Work, String), BTreeMap<Entrant, Measured>>;

pub(crate) struct Measured {
    pub(crate) unit: String,
    pub(crate) values: Vec<f64>,
}

impl Measured {
    pub(crate) fn median(&self) -> f64 {
        spread::median(&self.values)
    }

    /// Lowest and highest.
    pub(crate) fn spread(&self) -> (f64, f64) {
        spread::spread(&self.values)
    }
}

pub(crate) fn run(options: &Run) -> Result<(), String> {
    let rounds = options.rounds.unwrap_or(if options.short { 1 } else { 5 });
    let mut rows = chosen(&options.rows);
    rows.retain(|row| match row.is_missing() {
        Some(why) => {
            eprintln!("{} is left out: {why}", row.title());
            false
        }
        None => true,
    });
    let mut entrants = chosen(&options.entrants);
    entrants.retain(|entrant| match entrant.is_missing() {
        Some(why) => {
            eprintln!("{} takes no part: {why}", entrant.title());
            false
        }
        None => true,
    });
    let (mut runs, mut failed) = (Runs::new(), Vec::new());
    for row in rows {
        let rounds = if options.short { 1 } else { row.rounds(rounds) };
        for round in 1..=rounds {
            for entrant in entrants.iter().filter(|entrant| entrant.sits_out(row).is_none()) {
                eprintln!("{row:?}, round {round} of {rounds}: {}", entrant.title());
                let figures = match one(row, *entrant, options.short) {
                    Ok(figures) => figures,
                    // A measurement of half an hour is not thrown away for it; a check fails.
                    Err(why) if !options.short => {
                        let why = format!("{}, {}: {}", row.title(), entrant.title(), why.trim());
                        eprintln!("{why}");
                        failed.push(why);
                        continue;
                    }
                    Err(why) => return Err(why),
                };
                for figure in figures {
                    let Figure { name, value, unit } = figure;
                    let measured = runs.entry((row, name)).or_default().entry(*entrant);
                    measured.or_insert_with(|| Measured { unit, values: Vec::new() }).values.push(value);
                }
            }
        }
    }
    let table = report::markdown(&runs, &failed, rounds, options.short);
    println!("{table}");
    if let Some(folder) = options.out.clone().or_else(|| (!options.short).then(|| PathBuf::from("benches"))) {
        let file = folder.join("RESULTS.md");
        fs::write(&file, table).map_err(|error| format!("{} cannot be written: {error}", file.display()))?;
        report::picture(&runs, &folder.join("RESULTS.svg"))?;
    }
    Ok(())
}

fn chosen<T: ValueEnum + Clone>(named: &[T]) -> Vec<T> {
    if named.is_empty() { T::value_variants().to_vec() } else { named.to_vec() }
}

/// In a process of its own.
fn one(row: Work, entrant: Entrant, short: bool) -> Result<Vec<Figure>, String> {
    let name = |value: Option<clap::builder::PossibleValue>| value.map(|value| value.get_name().to_owned());
    let words = [name(row.to_possible_value()), name(entrant.to_possible_value())];
    let program = env::current_exe().map_err(|error| format!("this program cannot be found: {error}"))?;
    let mut command = Command::new(program);
    command.arg("one").args(words.into_iter().flatten()).args(short.then_some("--short")).stderr(Stdio::inherit());
    if row.wants_jemalloc() {
        jemalloc::preload(&mut command);
    }
    let output = command.output().map_err(|error| format!("{} cannot be started: {error}", entrant.title()))?;
    if !output.status.success() {
        return Err(format!("{} failed at {row:?}: {}", entrant.title(), output.status));
    }
    serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("{} at {row:?} printed no figures: {error}", entrant.title()))
}
