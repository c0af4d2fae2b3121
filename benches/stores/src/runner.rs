//! Runs every row of every contender in a process of its own, in turns.

use std::{
    collections::BTreeMap,
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use clap::ValueEnum;
use tempfile::TempDir;

use crate::{
    Run,
    entrant::Entrant,
    report, spread,
    work::{Figure, Work},
};

/// A figure in all its runs, in the order in which figures were first seen.
pub(crate) struct Line {
    pub(crate) work: Work,
    pub(crate) name: String,
    pub(crate) unit: String,
    pub(crate) of: BTreeMap<Entrant, Measured>,
}

#[derive(Default)]
pub(crate) struct Measured(Vec<f64>);

impl Measured {
    pub(crate) fn median(&self) -> f64 {
        spread::median(&self.0)
    }

    /// Lowest and highest; none of a single run.
    pub(crate) fn spread(&self) -> Option<(f64, f64)> {
        (self.0.len() > 1).then(|| spread::spread(&self.0))
    }
}

/// Where the files go. A folder that was not named is removed when the guard is dropped.
pub(crate) fn folder(named: Option<PathBuf>) -> Result<(PathBuf, Option<TempDir>), Box<dyn Error>> {
    if let Some(folder) = named {
        fs::create_dir_all(&folder)?;
        return Ok((folder, None));
    }
    // Not among temporary files, which may be in memory.
    fs::create_dir_all("target")?;
    let temporary = tempfile::Builder::new().prefix("stores-").tempdir_in("target")?;
    Ok((temporary.path().to_owned(), Some(temporary)))
}

pub(crate) fn run(options: &Run) -> Result<(), Box<dyn Error>> {
    let rounds = options.rounds.unwrap_or(if options.short { 1 } else { 5 });
    let (rows, entrants) = (chosen(&options.rows), chosen(&options.entrants));
    let (folder, _temporary) = folder(options.folder.clone())?;
    let mut lines: Vec<Line> = Vec::new();
    for row in rows {
        let rounds = if options.short { 1 } else { row.rounds(rounds) };
        for round in 1..=rounds {
            for entrant in entrants.iter().filter(|entrant| entrant.sits_out(row).is_none()) {
                eprintln!("{row:?}, round {round} of {rounds}: {}", entrant.title());
                for Figure { name, value, unit } in one(row, *entrant, options.short, &folder)? {
                    let place = lines.iter().position(|line| line.work == row && line.name == name);
                    let line = place.unwrap_or_else(|| {
                        lines.push(Line { work: row, name, unit, of: BTreeMap::new() });
                        lines.len() - 1
                    });
                    lines[line].of.entry(*entrant).or_default().0.push(value);
                }
            }
        }
    }
    let page = report::markdown(&lines, rounds, options.short, &folder);
    println!("{page}");
    if let Some(folder) = options.out.clone().or_else(|| (!options.short).then(|| PathBuf::from("benches"))) {
        fs::write(folder.join("STORES.md"), page)?;
    }
    Ok(())
}

fn chosen<T: ValueEnum + Clone>(named: &[T]) -> Vec<T> {
    if named.is_empty() { T::value_variants().to_vec() } else { named.to_vec() }
}

/// In a process of its own.
fn one(row: Work, entrant: Entrant, short: bool, folder: &Path) -> Result<Vec<Figure>, Box<dyn Error>> {
    let name = |value: Option<clap::builder::PossibleValue>| value.map(|value| value.get_name().to_owned());
    let words = [name(row.to_possible_value()), name(entrant.to_possible_value())];
    let output = Command::new(env::current_exe()?)
        .arg("one")
        .args(words.into_iter().flatten())
        .args(short.then_some("--short"))
        .arg("--folder")
        .arg(folder)
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err(format!("{} failed at {row:?}: {}", entrant.title(), output.status).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}
