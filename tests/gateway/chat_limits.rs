//! `GET /ws/{user}`: who is refused, and who is dropped, so that the others are served.

use actix_web::web::Bytes;
use actix_ws::Item;
use awc::ws::Message;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::support::{HANDSHAKE, LASTING, TestGateway, get_raw};

#[actix_web::test]
async fn what_can_be_refused_is_refused_before_the_upgrade() {
    let gateway = TestGateway::start("[chat]\nsockets_per_session = 1\n[sessions]\nmax_sessions = 1");
    let plain = get_raw(gateway.server.addr, "/ws/ada", "Connection: close\r\n").await;
    plain.is_error(426, "no_upgrade");
    assert_eq!(plain.header("Upgrade"), "websocket");
    gateway.refused_upgrade("/ws/", &[]).await.is_error(400, "bad_key");
    gateway.refused_upgrade("/ws/line%0Abreak", &[]).await.is_error(400, "bad_key");
    gateway.refused_upgrade("/ws/ada", &[("Origin", "https://evil.example")]).await.is_error(403, "origin_refused");
    assert!(gateway.server.gateway.registry.is_empty());

    let (_ada, _) = gateway.join("ada").await;
    let full = gateway.refused_upgrade("/ws/grace", &[]).await;
    full.is_error(503, "at_capacity");
    assert!(full.header("Retry-After").parse::<u64>().is_ok_and(|seconds| seconds > 0), "{full:?}");
    // Behind the upgrade: only the session knows how many it has.
    assert_eq!(gateway.connect("ada").await.closed().await, ("too_many_sockets".into(), 1013));
}

#[actix_web::test]
async fn a_page_may_open_a_socket_if_it_is_the_gateways_own_or_listed() {
    let gateway = TestGateway::start("[chat]\nallowed_origins = [\"https://chat.example\"]");
    let addr = gateway.server.addr;
    for origin in [format!("http://{addr}"), "https://chat.example".into()] {
        let connecting = awc::Client::new().ws(format!("http://{addr}/ws/ada")).origin(origin).connect();
        connecting.await.expect("a socket");
    }
    gateway.refused_upgrade("/ws/ada", &[("Origin", "null")]).await.is_error(403, "origin_refused");
}

#[actix_web::test]
async fn a_message_over_the_limit_closes_its_socket() {
    let gateway = TestGateway::start("[limits]\nframe_bytes = 1000");
    let (mut chat, _) = gateway.join("ada").await;
    chat.say(&"x".repeat(1000)).await;
    assert_eq!(chat.until("reply").await["turn"], 1);
    chat.say(&"x".repeat(1001)).await;
    assert_eq!(chat.closed().await, ("too_large".into(), 1009));

    let (mut chat, _) = gateway.join("ada").await;
    let half = Bytes::from(vec![b'x'; 600]);
    chat.send(Message::Continuation(Item::FirstText(half.clone()))).await;
    chat.send(Message::Continuation(Item::Last(half))).await;
    assert_eq!(chat.closed().await, ("too_large".into(), 1009));
}

#[actix_web::test]
async fn a_frame_is_refused_by_its_header_before_its_payload_comes() {
    let gateway = TestGateway::start(LASTING);
    let (mut chat, _) = gateway.join("ada").await;
    // A text frame that announces a terabyte, and not one byte of it.
    let mut header = vec![0x81, 0x80 | 127];
    header.extend((1_u64 << 40).to_be_bytes());
    chat.send_raw(&header).await;
    assert_eq!(chat.closed().await, ("too_large".into(), 1009));
}

#[actix_web::test]
async fn frames_split_anywhere_pass_the_guard() {
    let gateway = TestGateway::start(LASTING);
    let (mut chat, _) = gateway.join("ada").await;
    let text = "y".repeat(300);
    let mut frame = vec![0x81, 0x80 | 126];
    frame.extend((text.len() as u16).to_be_bytes());
    frame.extend([0; 4]);
    frame.extend(text.as_bytes());
    for _ in 0..2 {
        for piece in frame.chunks(1) {
            chat.send_raw(piece).await;
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(chat.until("said").await["text"], json!(text));
    assert_eq!(chat.until("said").await["turn"], 2);
}

#[actix_web::test]
async fn frames_that_are_no_text_close_their_socket() {
    let gateway = TestGateway::start(LASTING);
    let (mut chat, _) = gateway.join("ada").await;
    chat.send(Message::Binary("bytes".into())).await;
    assert_eq!(chat.closed().await, ("not_text".into(), 1003));

    let (mut chat, _) = gateway.join("ada").await;
    chat.send_raw(&[0x81, 0x82, 0, 0, 0, 0, 0xff, 0xfe]).await;
    assert_eq!(chat.closed().await, ("not_utf8".into(), 1007));

    let (mut chat, _) = gateway.join("ada").await;
    // No mask: RFC 6455 wants one from a client.
    chat.send_raw(&[0x81, 0x02, b'h', b'i']).await;
    assert_eq!(chat.closed().await, ("protocol_error".into(), 1002));
}

#[actix_web::test]
async fn a_peer_that_answers_no_ping_is_dropped_and_one_that_does_stays() {
    let gateway = TestGateway::start("[chat]\nping_every = \"200ms\"\nping_timeout = \"1s\"");
    let (mut alive, _) = gateway.join("ada").await;
    // A handshake and then silence: the connection is open, and nobody reads or writes.
    let mut silent = TcpStream::connect(gateway.server.addr).await.expect("connected");
    let handshake = format!("GET /ws/ada HTTP/1.1\r\nHost: gateway\r\n{HANDSHAKE}\r\n");
    silent.write_all(handshake.as_bytes()).await.expect("written");
    let joined = alive.until("socket_joined").await;
    let left = alive.until("socket_left").await;
    assert_eq!((&left["socket"], &left["why"]), (&joined["socket"], &json!("silent")));
    alive.say("hi").await;
    assert_eq!(alive.until("reply").await["turn"], 1);
}

#[actix_web::test]
async fn a_socket_that_does_not_read_is_dropped_and_holds_nobody_up() {
    let gateway = TestGateway::start("[chat]\nsocket_buffer = 8");
    let (mut talks, _) = gateway.join("ada").await;
    let (mut deaf, joined) = gateway.join("ada").await;
    let text = "x".repeat(60_000);
    // What the kernel buffers for the deaf one is some megabytes at most.
    let left = 'talking: {
        for _ in 0..2000 {
            talks.say(&text).await;
            loop {
                let event = talks.event().await;
                if event["event"] == "socket_left" {
                    break 'talking event;
                }
                if event["event"] == "reply" {
                    break;
                }
            }
        }
        panic!("240 MB wait for a socket that reads nothing");
    };
    assert_eq!((&left["socket"], &left["why"]), (&joined["socket"], &json!("too_slow")));
    // It reads after all, and finds the reason behind what it missed.
    assert_eq!(deaf.closed().await, ("too_slow".into(), 1008));
    talks.say("hi").await;
    while talks.until("said").await["text"] != "hi" {}
}
