//! Addresses, recipients and the mailbox.

use std::{collections::HashSet, future::pending};

use actix::{WeakRecipient, prelude::*};
use tokio::time::{pause, sleep};

use super::act::{Act, Do, Note};
use crate::support::{Log, millis};

// An address hashes and compares by its channel, which never changes.
#[allow(clippy::mutable_key_type)]
#[actix::test]
async fn all_addresses_of_an_actor_are_the_same() {
    pause();
    let log = Log::default();
    let (addr, _registry) = super::run(Act::new(&log));
    let (other, _other_registry) = super::run(Act::new(&log));
    let (tx, rx) = tokio::sync::oneshot::channel();
    addr.do_send(Do::new(|_, ctx| tx.send(ctx.address()).unwrap()));
    let own = rx.await.unwrap();
    assert_eq!(own, addr);
    assert_ne!(own, other);
    let distinct: HashSet<_> = [addr.clone(), own, addr.clone(), other.clone()].into_iter().collect();
    assert_eq!(distinct.len(), 2);

    let recipient = addr.clone().recipient::<Note>();
    assert!(recipient == addr.clone().recipient());
    assert!(recipient != other.recipient());
    assert_eq!(addr.downgrade(), addr.downgrade());
    assert_eq!(addr.downgrade().upgrade(), Some(addr));
}

#[actix::test]
async fn every_way_to_send_reaches_the_actor() {
    pause();
    let log = Log::default();
    let (addr, _registry) = super::run(Act::new(&log));
    addr.do_send(Note("do_send"));
    addr.try_send(Note("try_send")).unwrap();
    addr.send(Note("send")).await.unwrap();
    let recipient: Recipient<Note> = addr.clone().recipient();
    recipient.do_send(Note("recipient"));
    recipient.send(Note("and its send")).await.unwrap();
    let weak: WeakRecipient<Note> = recipient.downgrade();
    weak.upgrade().unwrap().send(Note("weak recipient")).await.unwrap();
    addr.downgrade().upgrade().unwrap().send(Note("weak address")).await.unwrap();
    let noted: Vec<_> = log.lines().iter().map(|line| line.split_once(": ").unwrap().1.to_owned()).collect();
    assert_eq!(noted, ["do_send", "try_send", "send", "recipient", "and its send", "weak recipient", "weak address"]);
}

#[actix::test]
async fn an_address_may_be_used_on_another_thread() {
    // In real time: on a paused clock nobody may wait for another thread.
    let log = Log::default();
    let (addr, _registry) = super::run(Act::new(&log));
    let sender = addr.clone();
    let thread = std::thread::spawn(move || {
        for _ in 0..100 {
            sender.do_send(Note("from beside"));
        }
    });
    while log.count("from beside") < 100 {
        sleep(millis(1)).await;
    }
    thread.join().unwrap();
    assert!(addr.connected());
}

/// As many as `set_mailbox_capacity` says, and one more for each address.
#[actix::test]
async fn the_mailbox_holds_what_it_was_set_to() {
    pause();
    let log = Log::default();
    let (addr, _registry) = super::run(Act::new(&log));
    addr.send(Do::new(|act, ctx| {
        ctx.set_mailbox_capacity(3);
        ctx.wait(pending::<()>().into_actor(act));
    }))
    .await
    .unwrap();
    let fills = |addr: &Addr<Act>| (0..100).take_while(|_| addr.try_send(Note("one more")).is_ok()).count();
    let first = addr.clone();
    assert_eq!(fills(&first), 3);
    assert_eq!(fills(&first), 0);
    assert_eq!(fills(&addr.clone()), 1, "each address has a place of its own");
    assert!(matches!(first.try_send(Note("full")), Err(SendError::Full(_))));
    first.do_send(Note("always goes in"));
}

#[actix::test]
async fn a_larger_mailbox_holds_more() {
    pause();
    let log = Log::default();
    let (addr, _registry) = super::run(Act::new(&log));
    addr.send(Do::new(|act, ctx| {
        ctx.set_mailbox_capacity(50);
        ctx.wait(sleep(millis(100)).into_actor(act));
    }))
    .await
    .unwrap();
    let accepted = (0..100).take_while(|_| addr.try_send(Note("one more")).is_ok()).count();
    assert_eq!(accepted, 50);
    sleep(millis(200)).await;
    assert_eq!(log.count("one more"), 50);
    assert!(addr.try_send(Note("there is room again")).is_ok());
}
