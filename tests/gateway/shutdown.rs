//! Draining: what is under way finishes, everybody is told, newcomers are sent away.

use std::process::Command;
use std::time::Duration;

use futures_util::future::join3;
use serde_json::json;
use tokio::time::timeout;

use crate::support::{HANDSHAKE, LASTING, PATIENCE, TestGateway, answer, get_raw};
use session_actors::web::stop_signal;

#[actix_web::test]
async fn hooks_under_way_finish_sockets_are_told_and_newcomers_come_back_later() {
    let gateway = TestGateway::start(LASTING);
    let mut events = gateway.events("/admin/events").await;
    let (mut chat, _) = gateway.join("ada").await;
    let slow = gateway.request("POST", "/hooks/github/slow?work_ms=2000");
    let late = gateway.request("POST", "/hooks/github/late");
    let health = gateway.request("GET", "/health");
    let addr = gateway.server.addr;

    let in_flight = async { answer(slow.send_body("{}").await.expect("an answer")).await };
    let others = async {
        assert_eq!(events.until("opened").await.data["key"], "user:ada");
        assert_eq!(events.until("opened").await.data["key"], "hook:github:slow");
        let drained = tokio::task::spawn_local(gateway.server.drain());

        // The hook drains for two seconds; meanwhile the door is closed, and says so.
        assert_eq!(events.until("draining").await.data["reason"], "shutdown");
        let late = answer(late.send_body("{}").await.expect("an answer")).await;
        let health = answer(health.send().await.expect("an answer")).await;
        for refused in [late, health, get_raw(addr, "/ws/grace", HANDSHAKE).await] {
            refused.is_error(503, "shutting_down");
            assert!(refused.header("Retry-After").parse::<u64>().is_ok_and(|seconds| seconds > 0), "{refused:?}");
        }

        let mut left = Vec::new();
        while let Some(event) = events.next().await {
            if event.event == "passivated" {
                left.push(event.data["cut"].clone());
            }
        }
        drop(events);
        (left, drained.await.expect("no panic").expect("drained"))
    };
    let all = join3(in_flight, others, chat.closed());
    let (view, (left, report), closed) = timeout(PATIENCE, all).await.expect("in time");
    assert_eq!(view.ok()["deliveries"], 1);
    assert_eq!(closed, ("shutdown".into(), 1001));
    assert_eq!(left, [json!(0), json!(0)]);
    assert_eq!((report.drained, report.cut, report.unresponsive), (2, 0, 0));
}

#[actix_web::test]
async fn a_slow_reply_is_waited_for_and_then_the_socket_closed() {
    let gateway = TestGateway::start(LASTING);
    let (mut chat, _) = gateway.join("ada").await;
    chat.say(r#"{"say": "last words", "think_ms": 1000}"#).await;
    chat.until("thinking").await;
    let drained = tokio::task::spawn_local(gateway.server.drain());
    assert_eq!(chat.event().await["event"], "draining");
    assert_eq!(chat.event().await["text"], "you said: last words");
    assert_eq!(chat.closed().await, ("shutdown".into(), 1001));
    drop(chat);
    let report = timeout(PATIENCE, drained).await.expect("in time").expect("no panic").expect("drained");
    assert_eq!((report.drained, report.cut), (1, 0));
}

#[actix_web::test]
async fn what_does_not_finish_in_time_is_cut_and_its_sender_told() {
    let gateway = TestGateway::start("[server]\ndrain_timeout = \"300ms\"");
    let mut events = gateway.events("/admin/events").await;
    let stuck = gateway.request("POST", "/hooks/github/stuck?work_ms=30000").send_body("{}");
    let draining = async {
        events.until("opened").await;
        let report = gateway.server.drain();
        let ended = async {
            // It is saved all the same.
            let ended = events.until("passivated").await;
            drop(events);
            ended
        };
        futures_util::future::join(report, ended).await
    };
    let (stuck, (report, ended)) =
        timeout(PATIENCE, futures_util::future::join(stuck, draining)).await.expect("in time");
    let told = answer(stuck.expect("an answer")).await;
    told.is_error(503, "ended_first");
    assert!(told.body["detail"].as_str().expect("a detail").contains("shutdown"), "{told:?}");
    assert_eq!(ended.data["cut"], json!(1));
    assert_eq!(report.expect("drained").cut, 1);
}

#[cfg(unix)]
#[actix_web::test]
async fn ctrl_c_and_sigterm_both_ask_to_stop() {
    for (signal, name) in [("-INT", "Ctrl-C"), ("-TERM", "SIGTERM")] {
        let mut requested = Box::pin(stop_signal());
        // Polled once, it listens; without that the signal would end this process.
        assert!(timeout(Duration::ZERO, &mut requested).await.is_err());
        let sent = Command::new("kill").args([signal, &std::process::id().to_string()]).status();
        assert!(sent.expect("kill").success());
        assert_eq!(timeout(PATIENCE, requested).await.expect("in time").expect("a signal"), name);
    }
}
