//! What the gateway keeps of its sessions: over rest, restart and a store that fails.

use serde_json::json;
use session_actors::Unserved;
use tokio::time::timeout;

use crate::support::{LASTING, PATIENCE, TestGateway};

const RESTLESS: &str = "[sessions]\nidle_timeout = \"1h\"\npassivate_after = \"100ms\"";

async fn restarted(gateway: TestGateway, settings: &str) -> TestGateway {
    let TestGateway { server, folder, .. } = gateway;
    let report = timeout(PATIENCE, server.drain()).await.expect("in time").expect("drained");
    assert_eq!(report.unsaved, 0);
    TestGateway::start_in(folder, settings)
}

#[actix_web::test]
async fn a_conversation_goes_on_after_a_restart() {
    let gateway = TestGateway::start(LASTING);
    let (mut chat, first) = gateway.join("ada").await;
    for text in ["hi", "how are you"] {
        chat.say(text).await;
        chat.until("reply").await;
    }
    let hook = gateway.post("/hooks/github/octo", "{}").await.ok();
    let gateway = restarted(gateway, LASTING).await;
    assert_eq!(chat.closed().await, ("shutdown".into(), 1001));

    let (mut chat, again) = gateway.join("ada").await;
    assert_eq!((&again["id"], &again["turns"]), (&first["id"], &json!(2)));
    let last = json!([
        { "turn": 1, "said": "hi", "reply": "you said: hi" },
        { "turn": 2, "said": "how are you", "reply": "you said: how are you" },
    ]);
    assert_eq!(again["last"], last);
    chat.say("still here").await;
    assert_eq!(chat.until("reply").await["turn"], 3);
    let more = gateway.post("/hooks/github/octo", "{}").await.ok();
    assert_eq!((&more["id"], &more["deliveries"]), (&hook["id"], &json!(2)));
}

#[actix_web::test]
async fn a_chat_rests_in_the_store_once_its_last_socket_has_left() {
    let gateway = TestGateway::start(RESTLESS);
    let mut events = gateway.events("/admin/events").await;
    let (mut chat, _) = gateway.join("ada").await;
    chat.say("hi").await;
    chat.until("reply").await;
    // A hook that comes after it rests before it.
    gateway.post("/hooks/github/octo", "{}").await.ok();
    assert_eq!(events.until("passivated").await.data["key"], "hook:github:octo");
    assert!(gateway.get("/admin/sessions/user:ada").await.status.is_success());
    drop(chat);
    assert_eq!(events.until("passivated").await.data["key"], "user:ada");
    gateway.get("/admin/sessions/user:ada").await.is_error(404, "no_session");
    let stats = gateway.get("/admin/stats").await.ok();
    assert_eq!((&stats["live"], &stats["stored"]), (&json!(0), &json!(2)));

    let (_, again) = gateway.join("ada").await;
    assert_eq!(again["turns"], 1);
    assert_eq!(events.until("restored").await.data["key"], "user:ada");
}

#[actix_web::test]
async fn a_duplicate_is_known_after_rest_and_restart() {
    let gateway = TestGateway::start(RESTLESS);
    let deliver = async |gateway: &TestGateway| {
        let request = gateway.request("POST", "/hooks/github/octo").insert_header(("X-GitHub-Delivery", "one"));
        crate::support::answer(request.send_body("{}").await.expect("an answer")).await.ok()
    };
    let mut events = gateway.events("/admin/events").await;
    assert_eq!(deliver(&gateway).await["duplicate"], false);
    events.until("passivated").await;
    assert_eq!(deliver(&gateway).await["duplicate"], true);
    drop(events);
    let gateway = restarted(gateway, RESTLESS).await;
    let view = deliver(&gateway).await;
    assert_eq!((&view["duplicate"], &view["deliveries"]), (&json!(true), &json!(1)));
}

#[actix_web::test]
async fn a_second_gateway_on_the_same_file_says_what_to_do() {
    let gateway = TestGateway::start(LASTING);
    let mut config = crate::support::config(LASTING);
    config.store.file = gateway.folder.path().join("gateway.redb");
    let refused = crate::gateway::server::Server::start(config).err().expect("refused").to_string();
    assert!(refused.contains("gateway.redb is in use: one process at a time can have it open"), "{refused}");
}

#[test]
fn what_a_store_cannot_do_is_no_fault_of_the_sender() {
    use actix_web::ResponseError as _;

    use crate::gateway::errors::GatewayError;
    for (cause, words) in [
        (Unserved::NotSaved { error: "no space left".into() }, "may be forgotten again"),
        (Unserved::NotRestored { error: "no answer".into() }, "cannot be had from its store"),
    ] {
        let error = GatewayError::from(session_actors::SendError::<()>::Unserved { cause });
        assert_eq!(error.status_code(), 503);
        assert!(error.to_string().contains(words), "{error}");
    }
}
