//! Ctrl-C, SIGTERM and SIGHUP (the terminal went away): all ask the gateway to drain.

use std::io;

/// Resolves when the process is asked to stop, with what it was asked by.
#[cfg(unix)]
pub(crate) async fn stop_requested() -> io::Result<&'static str> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(tokio::select! {
        _ = interrupt.recv() => "Ctrl-C",
        _ = terminate.recv() => "SIGTERM",
        _ = hangup.recv() => "SIGHUP",
    })
}

#[cfg(not(unix))]
pub(crate) async fn stop_requested() -> io::Result<&'static str> {
    tokio::signal::ctrl_c().await?;
    Ok("Ctrl-C")
}
