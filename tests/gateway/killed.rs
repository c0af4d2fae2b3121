//! The gateway as a process that is killed again and again under load. With `checkpoint = "always"` whatever somebody has
//! been told is there after each restart: every webhook that was answered counts once, every turn that was seen is kept.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::Duration;
use std::{env, thread};

use actix_web::rt;
use awc::ws::{Frame, Message};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use session_actors::SessionKey;
use session_actors::store::{RedbStore, Store as _};
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

use crate::support::PATIENCE;

/// How often it is killed; `GATEWAY_KILLS` sets another number.
const KILLS: usize = 50;
const HOOKS: usize = 6;
const CHATS: usize = 4;
/// Set for the process that is killed: the settings it runs with.
const SETTINGS: &str = "GATEWAY_KILLED_SETTINGS";
/// Short rests, so that kills come upon sessions on their way to the store and back.
const RESTLESS: &str = "[sessions]\nidle_timeout = \"1h\"\npassivate_after = \"5ms\"\ncheckpoint = \"always\"";

/// No test of its own: the process that `every_acknowledged_message_outlives_the_process` kills.
#[test]
fn the_gateway_as_a_process() {
    let Some(settings) = env::var_os(SETTINGS) else { return };
    rt::System::new().block_on(crate::gateway::run(Some(settings.into()))).expect("a gateway");
}

#[actix_web::test]
async fn every_acknowledged_message_outlives_the_process() {
    let kills = env::var("GATEWAY_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(KILLS);
    let seed = fastrand::u64(..);
    fastrand::seed(seed);
    println!("seed {seed}");
    let folder = tempfile::tempdir().expect("a folder");
    let settings = folder.path().join("gateway.toml");
    std::fs::write(&settings, RESTLESS).expect("settings");
    let file = folder.path().join("gateway.redb");

    let load = Rc::new(Load { place: watch::channel(None).0, acknowledged: Notify::new() });
    let senders: Vec<_> = (0..HOOKS).map(|n| rt::spawn(hook(n, Rc::clone(&load)))).collect();
    let chatters: Vec<_> = (0..CHATS).map(|n| rt::spawn(chat(n, Rc::clone(&load)))).collect();

    let mut kill = 0;
    loop {
        let mut gateway = Gateway::start(&settings, &file).await;
        load.place.send_replace(Some(Place { run: kill, url: gateway.url.clone() }));
        // At a random moment of its work.
        for _ in 0..fastrand::usize(1..60) {
            timeout(PATIENCE, load.acknowledged.notified()).await.expect("the gateway answers");
        }
        sleep(Duration::from_micros(fastrand::u64(..5_000))).await;
        if kill == kills {
            load.place.send_replace(Some(Place { run: usize::MAX, url: gateway.url.clone() }));
            break gateway.wait_for(senders, chatters, &file).await;
        }
        gateway.process.kill().expect("killed");
        gateway.process.wait().expect("gone");
        kill += 1;
    }
}

/// What all clients share.
struct Load {
    /// Where the gateway is now.
    place: watch::Sender<Option<Place>>,
    acknowledged: Notify,
}

#[derive(Clone)]
struct Place {
    /// The last one is [`usize::MAX`]: what is under way is finished, and no more begun.
    run: usize,
    url: String,
}

impl Load {
    /// The gateway, when it is another one than that of run `not`.
    async fn gateway(&self, not: Option<usize>) -> Place {
        let mut places = self.place.subscribe();
        let place = places.wait_for(|place| place.as_ref().is_some_and(|place| Some(place.run) != not)).await;
        place.expect("a place").clone().expect("a gateway")
    }

    fn is_last(&self) -> bool {
        self.place.borrow().as_ref().is_some_and(|place| place.run == usize::MAX)
    }
}

/// Sends webhooks one after the other, and each until it is answered. Returns how many.
async fn hook(n: usize, load: Rc<Load>) -> u64 {
    let http = awc::Client::builder().timeout(PATIENCE).finish();
    let mut place = load.gateway(None).await;
    for number in 1.. {
        loop {
            let request = http
                .post(format!("{}/hooks/load/{n}", place.url))
                .insert_header(("X-GitHub-Delivery", number.to_string()));
            let Ok(mut answer) = request.send_body("{}").await else {
                // Killed: taken or not, nobody was told.
                place = load.gateway(Some(place.run)).await;
                continue;
            };
            let Ok(body) = answer.body().await else {
                place = load.gateway(Some(place.run)).await;
                continue;
            };
            assert_eq!(answer.status(), 200, "{}", String::from_utf8_lossy(&body));
            let view: Value = serde_json::from_slice(&body).expect("JSON");
            assert_eq!(view["deliveries"], number, "those before it, each once: {view}");
            load.acknowledged.notify_one();
            break;
        }
        if load.is_last() {
            return number;
        }
    }
    unreachable!("numbers do not end")
}

/// Talks on one socket after the other. Returns the turns it has seen.
async fn chat(n: usize, load: Rc<Load>) -> u64 {
    // What was seen last: its turn, and what was said.
    let mut seen = (0, String::new());
    let mut place = load.gateway(None).await;
    loop {
        let http = awc::Client::builder().timeout(PATIENCE).finish();
        let socket = http.ws(format!("{}/ws/{n}", place.url)).connect().await;
        if let Ok((_, socket)) = socket {
            talk(socket, &load, &mut seen).await;
            if load.is_last() {
                return seen.0;
            }
        }
        place = load.gateway(Some(place.run)).await;
    }
}

/// Until the socket breaks, or the last run is over.
async fn talk(
    mut socket: actix_codec::Framed<awc::BoxedSocket, awc::ws::Codec>,
    load: &Load,
    seen: &mut (u64, String),
) -> Option<()> {
    loop {
        match timeout(PATIENCE, socket.next()).await.expect("the gateway speaks or goes")?.ok()? {
            Frame::Ping(bytes) => socket.send(Message::Pong(bytes)).await.ok()?,
            Frame::Text(text) => {
                let event: Value = serde_json::from_slice(&text).expect("JSON");
                let turn = event["turn"].as_u64().or(event["turns"].as_u64()).unwrap_or(0);
                match event["event"].as_str().expect("an event") {
                    "joined" => {
                        assert!(turn >= seen.0, "turn {} was seen: {event}", seen.0);
                        let last = event["last"].as_array().expect("the last turns");
                        let kept = last.iter().find(|kept| kept["turn"] == seen.0);
                        assert!(kept.is_none_or(|kept| kept["said"] == seen.1), "{seen:?} was seen: {event}");
                        assert!(kept.is_some() || seen.0 == 0 || turn > seen.0, "{seen:?} was seen: {event}");
                    }
                    "said" => {
                        *seen = (turn, event["text"].as_str().expect("a text").to_owned());
                        continue;
                    }
                    "reply" => {
                        assert_eq!((turn, &event["text"]), (seen.0, &Value::from(format!("you said: {}", seen.1))));
                        load.acknowledged.notify_one();
                        if load.is_last() {
                            return None;
                        }
                    }
                    _ => panic!("unexpected: {event}"),
                }
                socket.send(Message::Text(format!("after {turn}: {}", fastrand::u32(..)).into())).await.ok()?;
            }
            Frame::Close(_) => return None,
            other => panic!("unexpected: {other:?}"),
        }
    }
}

struct Gateway {
    process: Child,
    url: String,
}

impl Gateway {
    /// Runs it and waits for its address, which it prints.
    async fn start(settings: &Path, file: &Path) -> Self {
        let mut process = Command::new(env::current_exe().expect("this program"))
            .args(["--exact", "killed::the_gateway_as_a_process", "--nocapture"])
            .env(SETTINGS, settings)
            .env("GATEWAY_STORE", file)
            .env("GATEWAY_BIND", "127.0.0.1:0")
            .env("RUST_LOG", "warn")
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process");
        let output = BufReader::new(process.stdout.take().expect("its output"));
        let (tell, told) = tokio::sync::oneshot::channel();
        thread::spawn(move || {
            let mut lines = output.lines().map_while(Result::ok);
            let url =
                lines.find_map(|line| Some(line.trim().strip_prefix("curl ")?.strip_suffix("/health")?.to_owned()));
            drop(tell.send(url));
            // It must not wait for a reader.
            lines.for_each(drop);
        });
        let url = timeout(PATIENCE, told).await.expect("in time").expect("a reader").expect("an address");
        Self { process, url }
    }

    /// Until the clients have what they have asked for; then it drains, and the file has what they were told.
    async fn wait_for(
        mut self,
        senders: Vec<rt::task::JoinHandle<u64>>,
        chatters: Vec<rt::task::JoinHandle<u64>>,
        file: &PathBuf,
    ) {
        let mut expected = Vec::new();
        for (n, sender) in senders.into_iter().enumerate() {
            let sent = timeout(PATIENCE, sender).await.expect("in time").expect("no panic");
            expected.push((format!("hook:load:{n}"), "deliveries", sent));
        }
        for (n, chatter) in chatters.into_iter().enumerate() {
            let turns = timeout(PATIENCE, chatter).await.expect("in time").expect("no panic");
            expected.push((format!("user:{n}"), "turns", turns));
        }
        let asked = Command::new("kill").args(["-TERM", &self.process.id().to_string()]).status();
        assert!(asked.expect("kill").success());
        let ended = rt::task::spawn_blocking(move || self.process.wait());
        let status = timeout(PATIENCE * 3, ended).await.expect("in time").expect("no panic").expect("a status");
        assert!(status.success(), "{status}");

        let mut store = RedbStore::open(file).expect("a store");
        for (key, figure, told) in expected {
            let record = store.load(&SessionKey::new(&key).expect("a key")).expect("readable").expect("kept");
            let state: Value = record.state.read().expect("JSON");
            assert_eq!(state[figure], told, "{key}");
            println!("{key}: {told} {figure}");
        }
        assert_eq!(store.set_aside(1), Ok(Vec::new()));
        assert_eq!(store.check(), Ok(true), "a sound file");
    }
}
