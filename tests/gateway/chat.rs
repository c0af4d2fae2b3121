//! `GET /ws/{user}`: what the people on the sockets of one session see.

use awc::ws::{CloseCode, CloseReason, Message};
use serde_json::json;
use tokio::time::{Duration, Instant};

use crate::support::{LASTING, Panic, TestGateway};

const IDLE: &str = "[sessions]\nrules = [{ match = \"user:*\", idle_timeout = \"900ms\", warn_before = \"500ms\" }]";

#[actix_web::test]
async fn two_sockets_share_one_session() {
    let gateway = TestGateway::start(LASTING);
    let (mut one, joined) = gateway.join("ada").await;
    assert_eq!((&joined["key"], &joined["sockets"]), (&json!("user:ada"), &json!(1)));
    let (mut two, also) = gateway.join("ada").await;
    assert_eq!((&also["id"], &also["sockets"]), (&joined["id"], &json!(2)));
    assert_eq!(one.event().await, json!({ "event": "socket_joined", "socket": also["socket"], "sockets": 2 }));

    one.say("hi").await;
    two.until("reply").await;
    two.say(r#"{"say": "hello"}"#).await;
    for socket in [&mut one, &mut two] {
        let said = socket.until("said").await;
        if said["turn"] == 1 {
            assert_eq!(said, json!({ "event": "said", "turn": 1, "socket": joined["socket"], "text": "hi" }));
            assert_eq!(socket.until("said").await["turn"], 2);
        }
        assert_eq!(socket.until("reply").await, json!({ "event": "reply", "turn": 2, "text": "you said: hello" }));
    }
    assert_eq!(gateway.server.gateway.registry.len(), 1);

    let (_three, joined) = gateway.join("Ada").await;
    assert_eq!((&joined["key"], &joined["sockets"]), (&json!("user:Ada"), &json!(1)), "another user");
}

#[actix_web::test]
async fn everybody_is_warned_before_an_idle_session_ends_and_told_why() {
    let gateway = TestGateway::start(IDLE);
    let (mut one, _) = gateway.join("ada").await;
    let (mut two, _) = gateway.join("ada").await;
    for socket in [&mut one, &mut two] {
        let warning = socket.until("warning").await;
        assert_eq!(warning["reason"], "idle_timeout");
        assert!(warning["remaining_ms"].as_u64().expect("milliseconds") <= 500, "{warning}");
        assert!(warning["message"].as_str().expect("a message").contains("unless somebody says something"));
        assert_eq!(socket.closed().await, ("idle_timeout".into(), 1001));
    }
    let (_, joined) = gateway.join("ada").await;
    assert_eq!(joined["turns"], 0, "a new session");
}

#[actix_web::test]
async fn a_slow_reply_keeps_the_session_past_its_idle_time() {
    let gateway = TestGateway::start(IDLE);
    let (mut one, _) = gateway.join("ada").await;
    let (mut two, joined) = gateway.join("ada").await;
    let begun = Instant::now();
    one.say("/slow 2 and deep").await;
    for socket in [&mut one, &mut two] {
        socket.until("thinking").await;
        // The very next: no warning, no end.
        assert_eq!(socket.event().await, json!({ "event": "reply", "turn": 1, "text": "you said: and deep" }));
    }
    assert!(begun.elapsed() >= Duration::from_secs(2));
    assert_eq!(gateway.get("/admin/sessions/user:ada").await.ok()["id"], joined["id"]);
    for socket in [&mut one, &mut two] {
        socket.until("warning").await;
        assert_eq!(socket.closed().await, ("idle_timeout".into(), 1001));
    }
}

#[actix_web::test]
async fn what_is_said_puts_the_end_off_and_a_ping_does_not() {
    let gateway = TestGateway::start(IDLE);
    let (mut talker, joined) = gateway.join("ada").await;
    for turn in 1..=3 {
        talker.until("warning").await;
        talker.say("still here").await;
        assert_eq!(talker.until("reply").await["turn"], turn);
    }
    assert_eq!(gateway.get("/admin/sessions/user:ada").await.ok()["id"], joined["id"]);

    let (mut pinger, _) = gateway.join("grace").await;
    pinger.until("warning").await;
    pinger.send(Message::Ping("awake?".into())).await;
    assert_eq!(pinger.pong().await, "awake?");
    assert_eq!(pinger.closed().await, ("idle_timeout".into(), 1001));
}

#[actix_web::test]
async fn a_chat_past_its_greatest_age_ends_whatever_is_said() {
    let settings = "[sessions]\nidle_timeout = \"1h\"\nmax_age = \"400ms\"\nwarn_before = \"200ms\"";
    let gateway = TestGateway::start(settings);
    let (mut chat, _) = gateway.join("ada").await;
    let warning = chat.until("warning").await;
    assert_eq!(warning["reason"], "max_age");
    chat.say("do go on").await;
    assert_eq!(chat.closed().await, ("max_age".into(), 1001));
}

#[actix_web::test]
async fn a_frame_that_is_not_understood_is_answered_and_the_socket_stays() {
    let gateway = TestGateway::start("[limits]\nmax_work = \"1s\"");
    let (mut chat, _) = gateway.join("ada").await;
    for (frame, code) in [
        ("{\"say\": ", "bad_json"),
        ("{\"shout\": \"hi\"}", "bad_json"),
        ("{\"say\": \"hi\", \"think_ms\": -1}", "bad_json"),
        ("/dance", "bad_command"),
        ("/slow", "bad_command"),
        ("/slow soon", "bad_command"),
        ("   ", "empty"),
        ("{\"say\": \"\"}", "empty"),
        ("/slow 2", "too_slow_a_reply"),
        ("/slow 99999999999999999", "too_slow_a_reply"),
    ] {
        chat.say(frame).await;
        let error = chat.event().await;
        assert_eq!((&error["event"], &error["error"]), (&json!("error"), &json!(code)), "{frame}: {error}");
        assert!(error["message"].as_str().expect("a message").len() > 20, "{error}");
    }
    chat.say("{\"say\": \"/dance\"}").await;
    assert_eq!(chat.event().await["text"], "/dance");
}

#[actix_web::test]
async fn slow_replies_under_way_at_once_are_bounded() {
    let gateway = TestGateway::start("[chat]\nslow_replies = 1");
    let (mut chat, _) = gateway.join("ada").await;
    chat.say(r#"{"say": "one", "think_ms": 1000}"#).await;
    chat.say(r#"{"say": "two", "think_ms": 1000}"#).await;
    assert_eq!(chat.until("error").await["error"], "too_many_slow_replies");
    chat.say("a quick one is fine").await;
    assert_eq!(chat.until("reply").await["turn"], 2);
    assert_eq!(chat.until("reply").await["turn"], 1);
    chat.say(r#"{"say": "three", "think_ms": 1}"#).await;
    assert_eq!(chat.until("reply").await["turn"], 3);
}

#[actix_web::test]
async fn a_socket_that_leaves_is_answered_and_announced() {
    let gateway = TestGateway::start(LASTING);
    let (mut stays, _) = gateway.join("ada").await;
    let (mut leaves, joined) = gateway.join("ada").await;
    leaves.send(Message::Close(Some(CloseReason { code: CloseCode::Normal, description: None }))).await;
    assert_eq!(leaves.close_frame().await.map(|reason| reason.code), Some(CloseCode::Normal));
    let left = stays.until("socket_left").await;
    assert_eq!(left, json!({ "event": "socket_left", "socket": joined["socket"], "sockets": 1, "why": "left" }));

    let (drops, joined) = gateway.join("ada").await;
    drop(drops);
    let left = stays.until("socket_left").await;
    assert_eq!((&left["socket"], &left["why"]), (&joined["socket"], &json!("gone")));
}

#[actix_web::test]
async fn a_socket_that_leaves_does_not_put_the_end_off() {
    let gateway = TestGateway::start(IDLE);
    let mut events = gateway.events("/admin/events").await;
    let (mut chat, _) = gateway.join("ada").await;
    // 400 ms after the join, the session's last activity.
    chat.until("warning").await;
    drop(chat);
    let ended = events.until("ended").await.data;
    let (age, idle) = (ended["age_ms"].as_u64().expect("its age"), ended["idle_ms"].as_u64().expect("its idle time"));
    assert!(age - idle < 300, "{ended}");
    assert_eq!(ended["handled"], 2, "the join and the leave: {ended}");
}

#[actix_web::test]
async fn an_operator_who_ends_a_chat_lets_replies_finish() {
    let gateway = TestGateway::start(LASTING);
    let (mut chat, _) = gateway.join("ada").await;
    chat.say(r#"{"say": "wait for it", "think_ms": 1000}"#).await;
    chat.until("thinking").await;
    let ending = gateway.delete("/admin/sessions/user:ada");
    let watching = async {
        assert_eq!(chat.event().await["event"], "draining");
        assert_eq!(chat.event().await["text"], "you said: wait for it");
        assert_eq!(chat.closed().await, ("closed".into(), 1001));
    };
    let (ended, ()) = futures_util::future::join(ending, watching).await;
    let ended = ended.ok();
    assert_eq!((&ended["ended"]["reason"], &ended["ended"]["cut"]), (&json!("closed"), &json!(0)));
}

#[actix_web::test]
async fn a_chat_that_panics_closes_its_sockets_as_failed() {
    let gateway = TestGateway::start(LASTING);
    let (mut chat, _) = gateway.join("ada").await;
    gateway.server.gateway.registry.get("user:ada").expect("live").do_send(Panic);
    assert_eq!(chat.closed().await, ("failed".into(), 1011));
    gateway.join("ada").await;
}

/// A bridge that was told goodbye used to answer with `Leave`, which came in behind `stopped`: the key was opened again
/// for nobody, or the end was said to have lost a message.
#[actix_web::test]
async fn a_goodbye_to_its_sockets_opens_no_other_session_and_loses_nothing() {
    let gateway = TestGateway::start("[sessions]\nidle_timeout = \"300ms\"");
    let mut sockets = Vec::new();
    for user in 0..10 {
        for _ in 0..4 {
            sockets.push(gateway.join(&format!("u{user}")).await.0);
        }
    }
    for socket in &mut sockets {
        assert_eq!(socket.closed().await, ("idle_timeout".into(), 1001));
    }
    for user in 0..10 {
        let (mut socket, _) = gateway.join(&format!("v{user}")).await;
        let answer = gateway.delete(&format!("/admin/sessions/user:v{user}")).await.ok();
        assert_eq!((&answer["ended"]["dropped"], &answer["ended"]["reason"]), (&json!(0), &json!("closed")));
        assert_eq!(socket.closed().await, ("closed".into(), 1001));
    }
    let registry = &gateway.server.gateway.registry;
    registry.shutdown(Duration::from_secs(5)).await.expect("it ends");
    let stats = registry.stats();
    assert_eq!((stats.opened, stats.messages_handed_over), (20, 0));
}

#[actix_web::test]
async fn a_drain_says_how_long_it_takes_and_an_end_what_it_cut() {
    let gateway = TestGateway::start("[sessions]\nmax_age = \"300ms\"\ndrain_timeout = \"200ms\"");
    let (mut chat, _) = gateway.join("ada").await;
    chat.say("/slow 30").await;
    let draining = chat.until("draining").await;
    assert_eq!(draining["message"], "this session is ending; replies under way are finished first, for up to 200ms");
    let cut = chat.until("error").await;
    assert_eq!(cut["error"], "replies_cut");
    assert_eq!(cut["message"], "slow replies that were not ready in time and will not come: 1");
    assert_eq!(chat.closed().await, ("max_age".into(), 1001));
}
