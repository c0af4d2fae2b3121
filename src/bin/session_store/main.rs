//! `session-store`: looks into the file in which a gateway keeps its sessions, and tends it.
//!
//! The gateway has the file to itself while it runs; these commands are for when it is down, or for a copy.

mod args;
mod check;
mod delete;
mod line;
mod list;
mod output;
mod prune;
mod selection;
mod show;
mod spoken;
mod transfer;
mod walk;

use std::{
    error::Error,
    io::{self, IsTerminal, Write},
    path::Path,
    process::ExitCode,
};

use clap::Parser;
use session_actors::store::{RedbOptions, RedbStore, StoreError};

use args::{Args, Command};
use output::Output;

/// What a command comes to: whether all was well, or why it could not be done.
type Outcome = Result<bool, Box<dyn Error>>;

fn main() -> ExitCode {
    let Args { file, json, command } = Args::parse();
    let mut output = Output::new(json);
    let outcome = open(&file, &command).map_err(Into::into).and_then(|store| run(store, command, &mut output));
    let outcome = outcome.and_then(|well| Ok(output.flush().map(|()| well)?));
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        // Whoever read it has seen enough.
        Err(error) if is_broken_pipe(&*error) => ExitCode::SUCCESS,
        Err(error) => {
            // Not in the middle of what has been written.
            let _ = output.flush();
            let _ = writeln!(io::stderr(), "session-store: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(mut store: RedbStore, command: Command, output: &mut Output) -> Outcome {
    match command {
        Command::List(list) => list::run(&store, &list, output),
        Command::Show { key } => show::run(&store, &key, output),
        Command::Delete { keys, aside } => delete::run(&store, &keys, aside, output),
        Command::Prune { dry_run, which } => prune::run(&store, &which, dry_run, output),
        Command::Export { to } => transfer::export(&store, to.as_deref(), output),
        Command::Import { from, existing } => transfer::import(&store, from.as_deref(), existing, output),
        Command::Check { repair } => check::run(&mut store, repair, output),
    }
}

/// Only an import makes a file: for all else a name that is not there is a slip.
fn open(file: &Path, command: &Command) -> Result<RedbStore, StoreError> {
    let options = RedbOptions::new().create(matches!(command, Command::Import { .. }));
    RedbStore::open_with(file, options)
}

fn is_broken_pipe(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// Whether somebody watches what is said on the side.
fn is_watched() -> bool {
    io::stderr().is_terminal()
}
