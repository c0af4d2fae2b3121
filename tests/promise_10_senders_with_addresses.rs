//! Promise 10 for those who send by an address: in actix each of them has a slot of its own in a mailbox that is full. And
//! what becomes of a message that `Addr::send` keeps back, when the session ends meanwhile.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

#[path = "support/exact.rs"]
mod exact;
#[path = "support/guard.rs"]
mod guard;
mod support;

use actix::prelude::*;
use exact::end_of;
use futures_util::FutureExt;
use guard::quiet_provoked_panics;
use session_actors::{EndReason, Policy, SendError, SessionRegistry};
use support::*;
use tokio::{sync::oneshot, time::timeout};

/// What a blocked session does when the gate opens.
type Then = fn(&mut <Probe as Actor>::Context);

/// A session that takes no mail until the gate opens, and for whom so many messages may wait.
async fn blocked(capacity: usize, then: Then, log: &Log) -> (SessionRegistry<Probe>, oneshot::Sender<()>) {
    let log = log.clone();
    let registry = SessionRegistry::builder(move |key| Probe::new(key, &log))
        .policy(Policy::new(limits()))
        .mailbox_capacity(capacity)
        .start()
        .unwrap();
    let (open, gate) = gate();
    let job = Run::new(move |act, ctx| {
        let opened = async { drop(gate.await) }.into_actor(act);
        ctx.wait(opened.map(move |(), _, ctx| then(ctx)));
    });
    registry.send("k", job).await.unwrap();
    (registry, open)
}

#[actix::test]
async fn behind_a_mailbox_filled_by_addresses_the_registry_accepts_one_message() {
    tokio::time::pause();
    type Way = fn(&SessionRegistry<Probe>) -> bool;
    let ways: [Way; 2] = [
        |registry| registry.try_send("k", Note("of the registry")).is_ok(),
        |registry| {
            let mut reply = registry.send("k", Note("of the registry"));
            // A refusal is there at once.
            let accepted = (&mut reply).now_or_never().is_none();
            actix::spawn(reply);
            accepted
        },
    ];
    for way in ways {
        let log = Log::default();
        let (registry, open) = blocked(4, |_| (), &log).await;
        let addr = registry.get("k").unwrap();
        for _ in 0..100 {
            addr.do_send(Note("by address"));
        }
        assert!(way(&registry), "its own slot");
        for _ in 0..3 {
            let refused = registry.send("k", Note("of the registry")).await;
            assert!(matches!(refused, Err(SendError::Full { .. })), "{refused:?}");
            assert!(matches!(registry.try_send("k", Note("of the registry")), Err(SendError::Full { .. })));
        }
        open.send(()).unwrap();
        settle().await;
        assert_eq!((log.count("by address"), log.count("of the registry")), (100, 1));
    }
}

/// Not yet accepted: it is in the future that `Addr::send` returned, and enters the mailbox when that is polled. Once the
/// session has ended that is too late, and its sender is told; what had entered goes the way of all mail.
#[actix::test]
async fn a_message_that_an_address_keeps_back_is_refused_once_its_session_has_ended() {
    tokio::time::pause();
    quiet_provoked_panics();
    let nothing: Then = |_| ();
    let ends: [(EndReason, Then); 5] = [
        (EndReason::Stopped, |ctx| ctx.stop()),
        (EndReason::Panicked, |_| panic!("provoked")),
        (EndReason::MaxAge, nothing),
        (EndReason::Closed, nothing),
        (EndReason::Shutdown, nothing),
    ];
    for (reason, then) in ends {
        let log = Log::default();
        let (registry, open) = blocked(1, then, &log).await;
        let mut watch = registry.watch();
        let addr = registry.get("k").unwrap();
        let accepted = actix::spawn(addr.send(Note("accepted")));
        // There is no room for these: one is kept back, the other one tries again before the end.
        let kept_back = addr.send(Note("kept back"));
        let tries_again = actix::spawn(addr.send(Note("tried again")));
        settle().await;

        match reason {
            EndReason::MaxAge => {
                registry.set_policy(Policy::new(limits().idle_timeout(None).max_age(millis(1)))).unwrap();
                end_of(&mut registry.watch(), "k").await;
                // The next one is not to be old at once.
                registry.set_policy(Policy::new(limits())).unwrap();
            }
            EndReason::Closed => drop(registry.close("k")),
            EndReason::Shutdown => drop(registry.shutdown(secs(5))),
            _ => open.send(()).unwrap(),
        }
        let ended = end_of(&mut watch, "k").await;

        let refused = timeout(secs(60), kept_back).await.expect("it is kept back for ever");
        assert_eq!(refused, Err(MailboxError::Closed), "{reason}");
        let others = [accepted.await.unwrap(), tries_again.await.unwrap()];
        assert_eq!((ended.reason, ended.handled), (reason, 1));
        if matches!(reason, EndReason::Closed | EndReason::Shutdown) {
            assert_eq!((ended.handed_over, ended.dropped), (0, 2), "{reason}: what was not accepted is not counted");
            assert_eq!(others, [Err(MailboxError::Closed), Err(MailboxError::Closed)], "{reason}");
        } else {
            assert_eq!((ended.handed_over, ended.dropped), (2, 0), "{reason}: what was not accepted is not counted");
            assert_eq!(others, [Ok(()), Ok(())], "{reason}");
            assert_eq!((log.count("k#2: accepted"), log.count("k#2: tried again")), (1, 1), "{reason}");
        }
        settle().await;
        assert_eq!(log.count("kept back"), 0, "{reason}");
    }
}
