//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use session_actors::SessionKey;

use crate::selection::Selection;

/// Looks into the file in which a gateway keeps its sessions, and tends it.
///
/// One process at a time has the file open: stop the gateway first, or work on a copy that was made while it was down.
#[derive(Debug, Parser)]
#[command(name = "session-store", version, after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The file of the store
    #[arg(short, long, env = "SESSION_STORE", global = true, default_value = "gateway.redb")]
    pub(crate) file: PathBuf,
    /// Write JSON for programs: an object, or one a line where there are many
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLES: &str = "\
Examples:
  session-store list 'user:*' --idle-for 2h         who has not been heard of
  session-store -f other.redb show user:ada         all that is known of one session
  session-store prune --dry-run --idle-for 30d      how many would go
  session-store export > sessions.jsonl             a copy of everything, as text

Exit status: 0 if all is well, 1 if something is not or could not be done, 2 if the command is not understood.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List sessions, in the order of their keys
    List(List),
    /// Show all that is kept of a key
    Show { key: SessionKey },
    /// Delete sessions: they end silently, and their keys begin anew
    Delete {
        #[arg(required = true)]
        keys: Vec<SessionKey>,
        /// Delete what was set aside of these keys, and not their sessions
        #[arg(long)]
        aside: bool,
    },
    /// Delete the sessions that are due; with --state, --older-than or --idle-for, those instead. They end silently: no
    /// gateway tells of it
    ///
    /// A glob narrows what is deleted. `list` with the same options shows which those are.
    ///
    /// Without need: a gateway ends what is due when it starts, and tells of it.
    Prune {
        /// Say how many, and delete none
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        which: Selection,
    },
    /// Write everything as lines of JSON, what was set aside included
    Export {
        /// The file to write; standard output without it
        to: Option<PathBuf>,
    },
    /// Read what `export` wrote. Makes the store's file if there is none
    Import {
        /// The file to read; standard input without it
        from: Option<PathBuf>,
        /// What to do with a key that has a session already
        #[arg(long, value_enum, default_value = "refuse")]
        existing: Existing,
    },
    /// Go through the whole file: is it sound, can everything be read, does everything agree?
    Check {
        /// Set aside what cannot be read, and skip session ids that are taken
        #[arg(long)]
        repair: bool,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct List {
    #[command(flatten)]
    pub(crate) which: Selection,
    /// Show so many at most; 0 is all [default: 100, with --json all]
    #[arg(long, short = 'n')]
    pub(crate) limit: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Existing {
    /// Stop there
    Refuse,
    /// Keep the one that is there
    Keep,
    /// Take the one that is read
    Replace,
}
