//! The table and the picture.

use std::{collections::BTreeMap, fmt::Write as _, path::Path};

use clap::ValueEnum;
use plotters::prelude::*;

use crate::{
    entrant::Entrant,
    machine::{processor, says, version},
    runner::{Measured, Runs},
    work::Work,
};

/// Figures that say of what there was how much: more is neither better nor worse.
const COUNTED: [&str; 2] = ["sessions", "requests"];

/// The option that names the rows, if they are not all.
fn rows_of(runs: &Runs) -> String {
    let all = Work::value_variants();
    let measured: Vec<_> = all.iter().filter(|row| runs.keys().any(|(of, _)| of == *row)).collect();
    if measured.len() == all.len() {
        return String::new();
    }
    let names: Vec<_> = measured.iter().filter_map(|row| row.to_possible_value()).collect();
    let names: Vec<_> = names.iter().map(clap::builder::PossibleValue::get_name).collect();
    format!(" --rows {}", names.join(","))
}

pub(crate) fn markdown(runs: &Runs, failed: &[String], rounds: usize, short: bool) -> String {
    let mut text = String::new();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let date = says("date", &["-u", "+%Y-%m-%d"]).unwrap_or_default();
    let rustc = says("rustc", &["--version"]).unwrap_or_default();
    let mut packages: Vec<_> = ["session-actors", "actix", "tokio", "ractor", "kameo", "dashmap", "moka"]
        .map(|package| format!("{package} {}", version(package)))
        .into();
    let release = "io:put_chars(erlang:system_info(otp_release)),halt().";
    packages.extend(says("erl", &["-noshell", "-eval", release]).map(|release| format!("Erlang/OTP {release}")));
    let _ = writeln!(text, "# Measured against what a user would pick instead\n");
    if short {
        let _ = writeln!(text, "**A short run, to see that it runs: the figures mean nothing.**\n");
    }
    let _ = writeln!(
        text,
        "Medians of {rounds} runs ({} for hot and reply, {} for rest, expire and storm), each in a process of its own, taking turns; in brackets the lowest and the highest. \
         `÷` is the median divided by that of session-actors in the same run of this program: above 1, this crate is \
         the cheaper. {date}, {cores} cores, {}, {rustc}; {}.\n",
        Work::Hot.rounds(rounds),
        Work::Rest.rounds(rounds),
        processor(),
        packages.join(", ")
    );
    let _ = writeln!(text, "`cargo run --release -p session-actors-peers -- run{}` makes this page.\n", rows_of(runs));
    for failed in failed {
        let _ = writeln!(text, "**Did not finish:** {failed}\n");
    }
    for ((row, name), measured) in runs {
        let unit = measured.values().next().map_or_else(String::new, |measured| measured.unit.clone());
        let name = if name.is_empty() { String::new() } else { format!(", {name}") };
        let _ = writeln!(text, "## {}{name}\n\n{}\n", row.title(), row.describes());
        let _ = writeln!(text, "| | {unit} | | ÷ |\n|---|---:|---|---:|");
        let ours = measured.get(&Entrant::SessionActors).map(Measured::median);
        let mut without: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for entrant in Entrant::value_variants().iter().filter(|entrant| !measured.contains_key(entrant)) {
            if let Some(why) = entrant.sits_out(*row) {
                without.entry(why).or_default().push(entrant.title());
            }
        }
        for (entrant, measured) in measured {
            let (lowest, highest) = measured.spread();
            let ratio = ours
                .filter(|ours| *ours > 0.0 && !COUNTED.contains(&unit.as_str()))
                .map_or_else(String::new, |ours| format!("{:.2}", measured.median() / ours));
            let _ = writeln!(
                text,
                "| {} | {} | ({} to {}) | {ratio} |",
                entrant.title(),
                short_number(measured.median()),
                short_number(lowest),
                short_number(highest)
            );
        }
        let _ = writeln!(text);
        for (why, entrants) in without {
            let _ = writeln!(text, "Not in it, because {why}: {}.\n", entrants.join(", "));
        }
    }
    text
}

fn short_number(value: f64) -> String {
    match value {
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

/// The ratios of the rows that have one figure, on a logarithmic axis.
pub(crate) fn picture(runs: &Runs, file: &Path) -> Result<(), String> {
    draw(runs, file).map_err(|error| format!("{} cannot be drawn: {error}", file.display()))
}

fn draw(runs: &Runs, file: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let rows: Vec<_> = [Work::Hot, Work::Spread, Work::Reply, Work::Open, Work::Churn]
        .into_iter()
        .filter_map(|row| runs.get(&(row, String::new())).map(|measured| (row, measured)))
        .collect();
    let mut entrants: Vec<Entrant> = rows.iter().flat_map(|(_, measured)| measured.keys().copied()).collect();
    entrants.sort_unstable();
    entrants.dedup();
    entrants.retain(|entrant| *entrant != Entrant::SessionActors);
    let height = 60 + 24 * (rows.len() * (entrants.len() + 1)) as u32;
    let area = SVGBackend::new(file, (900, height)).into_drawing_area();
    area.fill(&WHITE)?;
    let text = |size: i32| ("sans-serif", size).into_font();
    area.draw(&Text::new("time, as a multiple of session-actors' (logarithmic)", (20, 14), text(18)))?;
    let (left, right) = (330.0, 840.0);
    let x = |ratio: f64| {
        let place = (ratio.clamp(0.05, 50.0).log10() - 0.05_f64.log10()) / (50_f64.log10() - 0.05_f64.log10());
        (left + place * (right - left)) as i32
    };
    let mut y = 50;
    for (row, measured) in rows {
        let Some(ours) = measured.get(&Entrant::SessionActors).map(Measured::median) else { continue };
        area.draw(&Text::new(row.title(), (20, y), text(16)))?;
        for (number, entrant) in entrants.iter().enumerate() {
            let Some(other) = measured.get(entrant) else { continue };
            let ratio = other.median() / ours;
            let color = Palette99::pick(number).mix(0.9);
            area.draw(&Text::new(entrant.title().replace('`', ""), (110, y + 1), text(14)))?;
            let (from, to) = (x(1.0).min(x(ratio)), x(1.0).max(x(ratio)));
            area.draw(&Rectangle::new([(from, y), (to.max(from + 1), y + 14)], color.filled()))?;
            area.draw(&Text::new(format!("{ratio:.2}"), (x(ratio).max(x(1.0)) + 6, y + 1), text(13)))?;
            y += 22;
        }
        y += 20;
    }
    area.draw(&PathElement::new([(x(1.0), 40), (x(1.0), y - 10)], BLACK.stroke_width(1)))?;
    area.present()?;
    Ok(())
}
