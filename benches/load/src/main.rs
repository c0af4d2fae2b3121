//! Load on the example gateway: many WebSockets that chat, and webhooks at a steady rate. Every answer is checked, and
//! when all have gone the gateway's memory is looked at.
//!
//! ```text
//! cargo build --release --all-features --example gateway
//! cargo run --release -p session-actors-load
//! ```
//!
//! It starts the gateway itself, with a store in a folder of its own, and ends it by SIGTERM. It fails if an answer is
//! missing or wrong.

mod chats;
mod gateway;
mod hooks;
mod latency;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::Parser;

use gateway::Gateway;

#[derive(Debug, Clone, Parser)]
#[command(about = "Load on the example gateway, each answer checked")]
pub(crate) struct Load {
    /// WebSockets, each the only one of its session
    #[arg(long, default_value_t = 10_000)]
    sockets: usize,
    /// Seconds between two things that a socket says
    #[arg(long, default_value_t = 10)]
    says_every: u64,
    /// Webhooks a second
    #[arg(long, default_value_t = 2_000)]
    hooks: u64,
    /// Sessions that they go to, in turn
    #[arg(long, default_value_t = 1_000)]
    hook_sessions: u64,
    /// For how long
    #[arg(long, default_value = "1m", value_parser = humantime::parse_duration)]
    lasts: Duration,
    /// The same again, to see whether memory grows
    #[arg(long, default_value_t = 2)]
    waves: usize,
    /// `always`: an answer leaves when what it rests on is on disk
    #[arg(long, default_value = "always")]
    checkpoint: String,
    /// The gateway
    #[arg(long, default_value = "target/release/examples/gateway")]
    gateway: PathBuf,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Load::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("load: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(load: Load) -> Result<(), Box<dyn std::error::Error>> {
    let files = rlimit::increase_nofile_limit(1 << 20)?;
    let wanted = load.sockets as u64 + 500;
    if files < wanted {
        return Err(format!("{wanted} open files are wanted and {files} may be had: raise ulimit -n").into());
    }
    let gateway = Gateway::start(&load).await?;
    println!("{} MB before", gateway.memory_mb()?);
    for wave in 1..=load.waves {
        let chats = tokio::spawn(chats::run(load.clone(), gateway.port));
        let hooks = tokio::spawn(hooks::run(load.clone(), gateway.port, wave as u64));
        tokio::time::sleep(load.lasts / 2).await;
        let stats = gateway.stats().await?;
        println!("wave {wave}: {} sessions and {} MB half way through", stats["live"], gateway.memory_mb()?);
        let (chats, hooks) = (chats.await??, hooks.await??);
        println!("wave {wave}: {chats}");
        println!("wave {wave}: {hooks}");
        gateway.until_empty().await?;
        println!("wave {wave}: no session in memory, {} MB", gateway.memory_mb()?);
    }
    let stats = gateway.stats().await?;
    let lost = [&stats["messages_dropped"], &stats["work_cut"], &stats["ended"]["panicked"], &stats["refused"]];
    if lost.iter().any(|lost| **lost != 0) {
        return Err(format!("something was lost: {stats}").into());
    }
    gateway.end().await
}
