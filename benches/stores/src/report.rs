//! The page.

use std::{fmt::Write as _, path::Path};

use clap::ValueEnum;

use crate::{
    entrant::Entrant,
    machine::{processor, says, version},
    runner::{Line, Measured},
    work::Work,
};

/// What was promised of the median of a figure of this crate on redb.
struct Target {
    title: &'static str,
    work: Work,
    name: &'static str,
    /// In the unit of the figure; a ratio is that to another figure of the same row.
    limit: f64,
    over: Option<&'static str>,
}

const TARGETS: [Target; 5] = [
    Target {
        title: "100,000 resting sessions passivated within 5 s",
        work: Work::Passivate,
        name: "all of them",
        limit: 5.0,
        over: None,
    },
    Target {
        title: "restore from the cache, p99, under 1 ms",
        work: Work::Restore,
        name: "one at a time, p99",
        limit: 1_000.0,
        over: None,
    },
    Target {
        title: "start with a million sessions under 1 s",
        work: Work::Start,
        name: "closed: until a message is answered",
        limit: 1_000.0,
        over: None,
    },
    Target {
        title: "resident memory of a passivated session under 16 bytes",
        work: Work::Rest,
        name: "each of 900000 more, in batches, VmRSS",
        limit: 16.0,
        over: None,
    },
    Target {
        title: "`always` with 64 sessions at work: at least 10 times the messages of a commit for each",
        work: Work::Always,
        name: "by hand: a commit for each",
        limit: 10.0,
        over: Some("`always`, 64 at work, asked"),
    },
];

fn median(lines: &[Line], work: Work, name: &str) -> Option<(f64, String)> {
    let line = lines.iter().find(|line| line.work == work && line.name == name)?;
    Some((line.of.get(&Entrant::Redb)?.median(), line.unit.clone()))
}

fn targets(lines: &[Line]) -> String {
    let mut text = String::new();
    for Target { title, work, name, limit, over } in TARGETS {
        let Some((value, unit)) = median(lines, work, name) else { continue };
        let (measured, met) = match over {
            None => (format!("{} {unit}", number(value)), value < limit),
            Some(over) => {
                let Some((below, _)) = median(lines, work, over) else { continue };
                (format!("{} times", number(value / below)), value / below >= limit)
            }
        };
        let _ = writeln!(text, "| {title} | {measured} | {} |", if met { "yes" } else { "**no**" });
    }
    if text.is_empty() { text } else { format!("| target, on redb | measured | met |\n|---|---:|---|\n{text}\n") }
}

pub(crate) fn markdown(lines: &[Line], rounds: usize, short: bool, folder: &Path) -> String {
    let mut text = String::new();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let date = says("date", &["-u", "+%Y-%m-%d"]).unwrap_or_default();
    let rustc = says("rustc", &["--version"]).unwrap_or_default();
    let disk = says("df", &["--output=fstype", &folder.display().to_string()]).unwrap_or_default();
    let packages = ["session-actors", "actix", "tokio", "redb", "rusqlite", "serde_json"]
        .map(|package| format!("{package} {}", version(package)));
    let _ = writeln!(text, "# What it costs to keep sessions in a store\n");
    if short {
        let _ = writeln!(text, "**A short run, to see that it runs: the figures mean nothing.**\n");
    }
    let _ = writeln!(
        text,
        "Medians of {rounds} runs ({} for start, {} for disk and rest), each in a process of its own, taking turns; in \
         brackets the lowest and the highest. {date}, {cores} cores, {}, {disk}, {rustc}; {}, SQLite {}. The machine is \
         shared, and its disk too, so read the ratios within a table and not the milliseconds.\n",
        Work::Start.rounds(rounds),
        Work::Rest.rounds(rounds),
        processor(),
        packages.join(", "),
        rusqlite::version(),
    );
    let _ = writeln!(text, "`cargo run --release -p session-actors-stores -- run` makes this page.\n");
    text.push_str(&targets(lines));

    let mut titles: Vec<&str> = lines.iter().map(|line| line.work.title()).collect();
    titles.dedup();
    for title in titles {
        let of: Vec<_> = lines.iter().filter(|line| line.work.title() == title).collect();
        let Some(first) = of.first() else { continue };
        let _ = writeln!(text, "## {title}\n\n{}\n", first.work.describes());
        let entrants: Vec<_> = Entrant::value_variants()
            .iter()
            .filter(|entrant| of.iter().any(|line| line.of.contains_key(entrant)))
            .collect();
        let _ = write!(text, "| | |");
        for entrant in &entrants {
            let _ = write!(text, " {} |", entrant.title());
        }
        let _ = writeln!(text, "\n|---|---|{}", "---:|".repeat(entrants.len()));
        for line in &of {
            let _ = write!(text, "| {} | {} |", line.name, line.unit);
            for entrant in &entrants {
                let _ = write!(text, " {} |", line.of.get(entrant).map_or_else(String::new, cell));
            }
            let _ = writeln!(text);
        }
        let _ = writeln!(text);
        for entrant in Entrant::value_variants() {
            if let Some(why) = entrant.sits_out(first.work).filter(|_| !entrants.contains(&entrant)) {
                let _ = writeln!(text, "Not in it, because {why}: {}.\n", entrant.title());
            }
        }
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

fn cell(measured: &Measured) -> String {
    let median = number(measured.median());
    match measured.spread() {
        Some((lowest, highest)) => format!("**{median}** ({} to {})", number(lowest), number(highest)),
        None => format!("**{median}**"),
    }
}

/// Three digits that count, and commas.
fn number(value: f64) -> String {
    if value.abs() < 9.995 {
        return format!("{value:.2}");
    }
    if value.abs() < 99.95 {
        return format!("{value:.1}");
    }
    let digits = format!("{:.0}", value.abs());
    let mut text = String::from(if value < 0.0 { "-" } else { "" });
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
