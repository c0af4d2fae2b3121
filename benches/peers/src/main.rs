//! session-actors measured against what a user would pick instead, in one run and as ratios.
//!
//! ```sh
//! cargo run --release -p session-actors-peers -- run            # everything; writes benches/RESULTS.md
//! cargo run --release -p session-actors-peers -- run --short    # a few seconds: does it still run?
//! cargo run --release -p session-actors-peers -- one hot ractor # one row of one contender, as JSON
//! ```
//!
//! Each contender runs in a process of its own, Erlang if `erl` is there (Debian: `erlang-base`); the contenders of a
//! row take turns, several times, so that a machine that changes its mind changes it for all of them.

mod allocated;
mod contender;
mod contenders;
mod entrant;
mod jemalloc;
mod ledger;
mod machine;
mod report;
mod runner;
mod spread;
mod watcher;
mod work;

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};

use crate::{
    entrant::Entrant,
    work::{Scale, Work},
};

#[derive(Debug, Parser)]
#[command(about = "session-actors against what a user would pick instead")]
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
    /// Where the table and the picture go [default: nowhere with --short, otherwise benches/].
    #[arg(long)]
    out: Option<PathBuf>,
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::One { work, entrant, short } => {
            let scale = if short { Scale::Short } else { Scale::Full };
            entrant.run(work, scale).and_then(|figures| {
                println!("{}", serde_json::to_string(&figures).map_err(|error| error.to_string())?);
                Ok(())
            })
        }
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
