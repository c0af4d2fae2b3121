//! A gateway: webhooks and WebSocket chats as sessions that end by themselves.
//!
//! ```text
//! cargo run --all-features --example gateway              # http://127.0.0.1:8080, prints what to try
//! cargo run --all-features --example gateway -- my.toml   # settings of your own, laid over gateway.toml
//! cargo run --all-features --example gateway -- --help
//! ```
//!
//! | route | does |
//! |---|---|
//! | `POST /hooks/{source}/{id}` | a JSON webhook, into the session `hook:{source}:{id}`; answers with its view |
//! | `GET /ws/{user}` | a WebSocket chat, in the session `user:{user}`; several sockets may share it (`protocol.rs`) |
//! | `GET /admin/` | the operator's page: what is live, the time it has left, what happens, the policy |
//! | `GET /admin/sessions`, `/admin/events` and others | the same for programs (`session_actors::web::admin`) |
//! | `GET /metrics` | for Prometheus: sessions by state, ends by reason, ages |
//! | `GET /health` | 200, or 503 while draining |

pub(crate) mod app;
pub(crate) mod auth;
pub(crate) mod chat_session;
pub(crate) mod config;
pub(crate) mod conversation;
pub(crate) mod errors;
pub(crate) mod health;
pub(crate) mod hook_session;
pub(crate) mod hooks;
pub(crate) mod keys;
pub(crate) mod metrics;
pub(crate) mod protocol;
pub(crate) mod server;
pub(crate) mod session;
pub(crate) mod ws;

use std::error::Error;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use session_actors::{ShutdownReport, web::stop_signal};
use tracing_subscriber::EnvFilter;

use config::{Config, EMBEDDED};
use server::Server;

/// It gives back what ten thousand sockets had when they have gone; glibc's would keep those hundreds of megabytes.
#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// The gateway's own lines and one for each request; of the libraries only warnings.
const LEVELS: &str = "info,actix_server=warn,session_actors=warn";

const HELP: &str = "\
A gateway of webhooks and WebSocket chats, each conversation a session that ends by itself. Until then it goes on: while
it rests, after a restart and after a crash it is in the file gateway.redb.

usage: gateway [FILE]          run, with the settings of FILE laid over the built-in ones
       gateway --print-config  print the built-in settings, with comments, to begin a FILE from
       gateway --help

environment: GATEWAY_CONFIG (FILE, where none is given), GATEWAY_BIND, GATEWAY_STORE, GATEWAY_ADMIN_TOKEN,
             GATEWAY_HOOK_SECRET_<SOURCE> (such as GATEWAY_HOOK_SECRET_GITHUB),
             RUST_LOG (to see each session end: info,session_actors=debug)
Ctrl-C, SIGTERM and SIGHUP drain: work in flight finishes, sockets are told. A second one ends at once.";

#[actix_web::main]
async fn main() -> ExitCode {
    let file = match std::env::args_os().nth(1) {
        Some(argument) if argument == "--help" || argument == "-h" => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Some(argument) if argument == "--print-config" => {
            print!("{EMBEDDED}");
            return ExitCode::SUCCESS;
        }
        Some(option) if option.to_string_lossy().starts_with('-') => {
            eprintln!("there is no option {}\n\n{HELP}", option.to_string_lossy());
            return ExitCode::from(2);
        }
        Some(file) => Some(file),
        None => std::env::var_os("GATEWAY_CONFIG"),
    };
    log();
    match run(file.map(PathBuf::from)).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("gateway: {error}");
            ExitCode::FAILURE
        }
    }
}

fn log() {
    let levels = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(LEVELS));
    let colours = std::io::stdout().is_terminal();
    tracing_subscriber::fmt().with_env_filter(levels).with_target(false).with_ansi(colours).init();
}

pub(crate) async fn run(file: Option<PathBuf>) -> Result<ExitCode, Box<dyn Error>> {
    let environment =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let server = Server::start(Config::load(file.as_deref(), environment)?)?;
    greet(&server);

    let asked_by = stop_signal().await?;
    let live = server.gateway.registry.len();
    tracing::info!(live, "{asked_by}: draining; once more ends at once");
    tokio::select! {
        report = server.drain() => {
            let ShutdownReport { drained, cut, cut_replies, unresponsive, unsaved, .. } = report?;
            if unsaved > 0 {
                tracing::error!(unsaved, "drained, but some sessions could not be saved: see what the store said above");
            }
            if cut + cut_replies + unresponsive > 0 {
                tracing::warn!(drained, cut, cut_replies, unresponsive, "drained, but not all work was finished in time");
            } else {
                tracing::info!(drained, "drained");
            }
            Ok(ExitCode::SUCCESS)
        }
        again = stop_signal() => {
            tracing::warn!("{}: not waiting for the rest", again?);
            Ok(ExitCode::FAILURE)
        }
    }
}

fn greet(server: &Server) {
    let (addr, config) = (server.addr, &server.gateway.config);
    let (doors, token) = match config.server.admin_token {
        Some(_) => ("admin routes want the bearer token", " -H 'Authorization: Bearer ...'"),
        None => ("admin routes are open to this machine; set GATEWAY_ADMIN_TOKEN to close them", ""),
    };
    let signed = match config.hooks.secrets.keys().map(String::as_str).collect::<Vec<_>>().join(", ") {
        none if none.is_empty() => "no source of webhooks has to sign".into(),
        sources => format!("these sources of webhooks have to sign: {sources}"),
    };
    tracing::info!("listening on http://{addr}; {doors}; {signed}");
    for name in &config.unknown_variables {
        tracing::warn!("{name} is no setting of this gateway and is ignored; see --help for those there are");
    }
    let signature = match config.hooks.secrets.contains_key("github") {
        true => " -H 'X-Hub-Signature-256: sha256=...'",
        false => "",
    };
    println!(
        "\
try:
  curl http://{addr}/health
  http://{addr}/admin/    in a browser
  curl -N{token} http://{addr}/admin/events
  curl -H 'X-GitHub-Event: issues'{signature} -d '{{\"action\": \"opened\"}}' http://{addr}/hooks/github/octo/repo
  curl{token} http://{addr}/admin/sessions
  curl{token} -X DELETE http://{addr}/admin/sessions/hook:github:octo%2Frepo
  curl -d '{{}}' 'http://{addr}/hooks/demo/slow?work_ms=5000'    and Ctrl-C here meanwhile: it finishes first
  a WebSocket client on ws://{addr}/ws/ada, in two windows; say something, then /slow 5"
    );
}
