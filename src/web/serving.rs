//! For whoever runs the server: when to stop, and peers that never read.

use std::{any::Any, io};

use actix_web::dev::Extensions;

/// Resolves when the process is asked to stop, with what it was asked by: Ctrl-C, SIGTERM (as systemd, Docker and
/// Kubernetes do) or SIGHUP; where there are no signals, Ctrl-C.
///
/// For a gateway that shuts its registry down before its server, so that clients are told and replies under way are
/// finished; the server's own handling (`disable_signals`) would close the connections first.
///
/// # Errors
///
/// If the operating system does not let it listen.
pub async fn stop_signal() -> io::Result<&'static str> {
    #[cfg(unix)]
    {
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
    {
        tokio::signal::ctrl_c().await?;
        Ok("Ctrl-C")
    }
}

/// For [`HttpServer::on_connect`](actix_web::HttpServer::on_connect): a peer that has not read what was sent for 30 seconds
/// loses its connection.
///
/// Without it such a peer keeps its connection, and a place in `max_connections`, for as long as it likes, also when its
/// socket was let go: the server waits to flush what is left. On Linux, and without TLS; elsewhere it does nothing.
pub fn give_up_on_deaf_peers(connection: &dyn Any, _: &mut Extensions) {
    #[cfg(target_os = "linux")]
    {
        const UNREAD: std::time::Duration = std::time::Duration::from_secs(30);
        if let Some(stream) = connection.downcast_ref::<actix_web::rt::net::TcpStream>()
            && let Err(error) = socket2::SockRef::from(stream).set_tcp_user_timeout(Some(UNREAD))
        {
            tracing::debug!(%error, "no timeout for unread data on this connection");
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = connection;
}
