//! What it costs to keep sessions in a store: this crate on redb, this crate on SQLite, and the one JSON file of all
//! sessions that many gateways have.
//!
//! ```sh
//! cargo run --release -p session-actors-stores -- run            # everything; writes benches/STORES.md
//! cargo run --release -p session-actors-stores -- run --short    # a few seconds: does it still run?
//! cargo run --release -p session-actors-stores -- one always redb # one row of one contender, as JSON
//! ```
//!
//! Each contender runs in a process of its own; the contenders of a row take turns, several times, so that a machine
//! that changes its mind changes it for all of them.

#[path = "../../peers/src/allocated.rs"]
mod allocated;
mod contenders;
mod entrant;
#[path = "../../peers/src/machine.rs"]
mod machine;
mod report;
mod runner;
#[path = "../../peers/src/spread.rs"]
mod spread;
mod work;

use std::{error::Error, path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};

use crate::{
    entrant::Entrant,
    work::{Place, Scale, Work},
};

#[derive(Debug, Parser)]
#[command(about = "what it costs to keep sessions in a store")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measures and writes the table.
    Run(Run),
    /// One row of one contender in this process; prints its figures as JSON.
    One {
        work: Work,
        entrant: Entrant,
        /// Seconds instead of minutes; the figures mean nothing.
        #[arg(long)]
        short: bool,
        /// Where the files go; what takes long to make is kept there for others [default: a folder in target/].
        #[arg(long)]
        folder: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
struct Run {
    /// How often each contender has its turn in a row [default: 5, with --short 1].
    #[arg(long)]
    rounds: Option<usize>,
    /// Seconds instead of minutes; the figures mean nothing.
    #[arg(long)]
    short: bool,
    /// These rows only.
    #[arg(long, value_delimiter = ',')]
    rows: Vec<Work>,
    /// These contenders only.
    #[arg(long, value_delimiter = ',')]
    entrants: Vec<Entrant>,
    /// Where the files go: on the disk that is to be measured [default: a folder in target/, removed at the end].
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Where the page goes [default: nowhere with --short, otherwise benches/].
    #[arg(long)]
    out: Option<PathBuf>,
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::One { work, entrant, short, folder } => one(work, entrant, short, folder),
        Command::Run(run) => runner::run(&run),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn one(work: Work, entrant: Entrant, short: bool, folder: Option<PathBuf>) -> Result<(), Box<dyn Error>> {
    let (shared, _temporary) = runner::folder(folder)?;
    let place = Place::new(&shared, if short { Scale::Short } else { Scale::Full })?;
    let figures = entrant.run(work, &place)?;
    println!("{}", serde_json::to_string(&figures)?);
    Ok(())
}
