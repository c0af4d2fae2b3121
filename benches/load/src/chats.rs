//! WebSockets that chat: each says something now and then, and has to be answered, in order, with nothing missing.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use tokio::{
    net::TcpStream,
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

use crate::{Load, latency::Latencies};

/// That many connect at a time.
const AT_ONCE: usize = 64;
const PATIENCE: Duration = Duration::from_secs(30);

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

pub(crate) async fn run(load: Load, port: u16) -> Result<String, String> {
    let begin = Instant::now();
    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(AT_ONCE));
    let mut chats = JoinSet::new();
    for n in 0..load.sockets {
        let gate = std::sync::Arc::clone(&gate);
        let every = Duration::from_secs(load.says_every);
        let lasts = load.lasts;
        chats.spawn(async move {
            let permit = gate.acquire().await.map_err(|error| error.to_string())?;
            let socket = connect(port, n).await?;
            drop(permit);
            chat(socket, n, begin, every, lasts).await
        });
    }
    let mut all = Latencies::default();
    while let Some(chat) = chats.join_next().await {
        all.join(chat.map_err(|error| error.to_string())??);
    }
    Ok(format!("{} sockets, {} messages, none lost; {all}", load.sockets, all.len()))
}

async fn connect(port: u16, n: usize) -> Result<Socket, String> {
    let url = format!("ws://127.0.0.1:{port}/ws/u{n}");
    let connected = timeout(PATIENCE, connect_async(url)).await.map_err(|_| format!("socket {n} does not open"))?;
    let (mut socket, _) = connected.map_err(|error| format!("socket {n}: {error}"))?;
    let joined = event(&mut socket, n, "joined").await?;
    if joined["key"] != format!("user:u{n}") {
        return Err(format!("socket {n} is in the wrong session: {joined}"));
    }
    Ok(socket)
}

async fn chat(
    mut socket: Socket,
    n: usize,
    begin: Instant,
    every: Duration,
    lasts: Duration,
) -> Result<Latencies, String> {
    let mut latencies = Latencies::default();
    // Not all at once.
    let mut next = Instant::now() + every * (n % 1000) as u32 / 1000;
    let end = begin + lasts;
    let mut said = 0;
    while next < end {
        // Pings are answered while it waits.
        tokio::select! {
            () = sleep_until(next) => {}
            frame = socket.next() => match frame {
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                other => return Err(format!("socket {n} hears what nobody said: {other:?}")),
            },
        }
        let text = format!("{n} says {said}");
        let asked = Instant::now();
        socket.send(Message::text(text.clone())).await.map_err(|error| format!("socket {n}: {error}"))?;
        let heard = event(&mut socket, n, "said").await?;
        let reply = event(&mut socket, n, "reply").await?;
        if heard["text"] != text || reply["text"] != format!("you said: {text}") || reply["turn"] != heard["turn"] {
            return Err(format!("socket {n} said {text:?} and got {heard} and {reply}"));
        }
        latencies.add(asked.elapsed());
        said += 1;
        next += every;
    }
    sleep_until(end).await;
    let _ = socket.close(None).await;
    // Until the other side has closed too.
    let _ = timeout(PATIENCE, async { while let Some(Ok(_)) = socket.next().await {} }).await;
    sleep(Duration::ZERO).await;
    Ok(latencies)
}

async fn event(socket: &mut Socket, n: usize, name: &str) -> Result<Value, String> {
    loop {
        let frame = timeout(PATIENCE, socket.next()).await.map_err(|_| format!("socket {n} waits for {name}"))?;
        match frame {
            Some(Ok(Message::Text(text))) => {
                let event: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
                return if event["event"] == name { Ok(event) } else { Err(format!("socket {n}: {event}")) };
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            other => return Err(format!("socket {n} waits for {name} and gets {other:?}")),
        }
    }
}
