//! The gateway, as a process.

use std::{error::Error, process::Stdio, time::Duration};

use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    time::{Instant, sleep, timeout},
};

use crate::Load;

pub(crate) struct Gateway {
    pub(crate) port: u16,
    child: Child,
    http: reqwest::Client,
    _folder: TempDir,
}

impl Gateway {
    pub(crate) async fn start(load: &Load) -> Result<Self, Box<dyn Error>> {
        let folder = tempfile::tempdir()?;
        let settings = folder.path().join("load.toml");
        let connections = load.sockets + 1_000;
        // Sessions rest, leave memory and end soon after the load, so that what is left of them is seen.
        let toml = format!(
            "[server]\nbind = \"127.0.0.1:0\"\nmax_connections = {connections}\n\
             [store]\nfile = {:?}\n\
             [sessions]\nidle_timeout = \"5m\"\npassivate_after = \"2s\"\ncheckpoint = {:?}\n",
            folder.path().join("load.redb"),
            load.checkpoint,
        );
        std::fs::write(&settings, toml)?;
        let mut child = Command::new(&load.gateway)
            .arg(&settings)
            .env("RUST_LOG", "warn,gateway=info")
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("{}: {error}; build it first, see --help", load.gateway.display()))?;
        let stdout = child.stdout.take().ok_or("it has no output")?;
        let mut lines = BufReader::new(stdout).lines();
        let port = loop {
            let line = lines.next_line().await?.ok_or("the gateway ended before it listened")?;
            if let Some((_, rest)) = line.split_once("http://127.0.0.1:") {
                let port: String = rest.chars().take_while(char::is_ascii_digit).collect();
                break port.parse()?;
            }
        };
        // Read on, or it would have to wait for a full pipe.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Self { port, child, http: reqwest::Client::new(), _folder: folder })
    }

    pub(crate) async fn stats(&self) -> Result<Value, Box<dyn Error>> {
        let url = format!("http://127.0.0.1:{}/admin/stats", self.port);
        Ok(self.http.get(url).send().await?.error_for_status()?.json().await?)
    }

    /// All of them have left memory.
    pub(crate) async fn until_empty(&self) -> Result<(), Box<dyn Error>> {
        let begin = Instant::now();
        while self.stats().await?["live"] != 0 {
            if begin.elapsed() > Duration::from_secs(60) {
                return Err("sessions are still in memory a minute after the load".into());
            }
            sleep(Duration::from_millis(200)).await;
        }
        // Its allocator gives memory back in the course of ten seconds.
        sleep(Duration::from_secs(15)).await;
        Ok(())
    }

    /// What the process has in memory.
    pub(crate) fn memory_mb(&self) -> Result<u64, Box<dyn Error>> {
        let id = self.child.id().ok_or("the gateway has ended")?;
        let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
        let kb: u64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kb / 1024)
    }

    /// By SIGTERM; it has to drain.
    pub(crate) async fn end(mut self) -> Result<(), Box<dyn Error>> {
        let id = self.child.id().ok_or("the gateway has ended")?;
        Command::new("kill").arg("-TERM").arg(id.to_string()).status().await?;
        let status = timeout(Duration::from_secs(60), self.child.wait()).await??;
        if status.success() { Ok(()) } else { Err(format!("the gateway did not drain: {status}").into()) }
    }
}
