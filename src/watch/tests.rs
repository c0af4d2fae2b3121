use std::time::{Duration, UNIX_EPOCH};

use futures_util::StreamExt;
use serde_json::json;
use tokio::sync::oneshot;

use super::*;
use crate::journal::fixture::{Alarm, drain, drained, end, extend, journal, open, poll, stats};

impl Watch {
    /// The snapshot it begins with, for tests of others that only want that.
    pub(crate) fn first_snapshot(mut self) -> Option<Snapshot> {
        self.first.take()
    }
}

fn assert_bounds<T: Stream<Item = Watched> + Send + Sync + Unpin>(_: &T) {}

#[test]
fn a_watch_begins_with_the_moment_it_was_made() {
    let journal = journal(8);
    let a = open(&journal, "a", 1);
    open(&journal, "b", 2);
    let mut watch = journal.watch(None);
    assert_bounds(&watch);
    end(&journal, &a);
    open(&journal, "c", 3);

    assert_eq!(drained(&mut watch), ["snapshot 2: a b", "end a", "open c"]);
    assert_eq!(drained(&mut watch), [] as [&str; 0]);
    open(&journal, "a", 4);
    assert_eq!(drained(&mut watch), ["open a"]);
}

#[test]
fn several_watches_do_not_mind_each_other() {
    let journal = journal(8);
    let mut watches: Vec<_> = (0..3).map(|_| journal.watch(None)).collect();
    open(&journal, "a", 1);
    watches.pop();
    open(&journal, "b", 2);
    for mut watch in watches {
        assert_eq!(drained(&mut watch), ["snapshot 0: ", "open a", "open b"]);
    }
}

#[test]
fn who_resumes_within_the_history_gets_events_only() {
    let journal = journal(2);
    let begun = journal.watch(None).first_snapshot().unwrap().at;
    let at = |sequence| Some(EventId::new(begun.epoch(), sequence));
    assert_eq!(drained(&mut journal.watch(Some(begun))), [] as [&str; 0]);

    let a = open(&journal, "a", 1);
    extend(&journal, &a);
    assert_eq!(drained(&mut journal.watch(Some(begun))), ["open a", "report a"]);
    end(&journal, &a);
    assert_eq!(drained(&mut journal.watch(at(1))), ["report a", "end a"]);
    assert_eq!(drained(&mut journal.watch(at(3))), [] as [&str; 0]);
}

#[test]
fn who_cannot_resume_gets_a_snapshot() {
    let journal = journal(2);
    let a = open(&journal, "a", 1);
    for _ in 0..3 {
        extend(&journal, &a);
    }
    let epoch = journal.watch(None).first_snapshot().unwrap().at.epoch();
    for (from, why) in [
        (EventId::new(epoch, 1), "forgotten"),
        (EventId::new(epoch, 5), "in the future"),
        (EventId::new(epoch, u64::MAX), "in the future"),
        (EventId::new(epoch + 1, 4), "of another run"),
        (EventId::new(0, 0), "of another run"),
    ] {
        assert_eq!(drained(&mut journal.watch(Some(from))), ["snapshot 4: a"], "{why}");
    }
}

#[test]
fn who_falls_behind_is_told_how_far_and_goes_on_from_a_fresh_snapshot() {
    let journal = journal(4);
    let mut watch = journal.watch(None);
    let a = open(&journal, "a", 1);
    assert_eq!(drained(&mut watch), ["snapshot 0: ", "open a"]);

    open(&journal, "b", 2);
    end(&journal, &a);
    extend(&journal, &journal.find("b").unwrap());
    open(&journal, "c", 3);
    open(&journal, "d", 4);
    // Five events since: with a history of four, the first is gone.
    assert_eq!(drained(&mut watch), ["lagged 5, 6: b c d"]);
    assert_eq!(stats(&journal).lagged, 1);
    open(&journal, "e", 5);
    assert_eq!(drained(&mut watch), ["open e"]);
}

#[test]
fn more_events_than_one_batch_come_in_order() {
    let journal = journal(1_000);
    let mut watch = journal.watch(None);
    let a = open(&journal, "a", 1);
    for _ in 1..500 {
        extend(&journal, &a);
    }
    let alarm = Arc::default();
    for sequence in 0..=500 {
        let Poll::Ready(Some(item)) = poll(&mut watch, &alarm) else { panic!("nothing at {sequence}") };
        assert_eq!(item.id().sequence(), sequence);
    }
    assert!(poll(&mut watch, &alarm).is_pending());
}

#[test]
fn a_batch_in_hand_is_delivered_before_the_lag_is_noticed() {
    let journal = journal(2);
    let mut watch = journal.watch(None);
    let a = open(&journal, "a", 1);
    extend(&journal, &a);
    let alarm = Arc::default();
    assert!(poll(&mut watch, &alarm).is_ready(), "snapshot");
    assert!(poll(&mut watch, &alarm).is_ready(), "opened, and the report is in hand");
    for _ in 0..3 {
        extend(&journal, &a);
    }
    assert_eq!(drained(&mut watch), ["report a", "lagged 3, 5: a"]);
}

#[test]
fn the_last_task_that_polled_is_woken_once_for_what_comes() {
    let journal = journal(8);
    let mut watch = journal.watch(None);
    let (first, second) = (Arc::<Alarm>::default(), Arc::<Alarm>::default());
    assert!(poll(&mut watch, &first).is_ready());
    assert!(poll(&mut watch, &first).is_pending());
    assert!(poll(&mut watch, &second).is_pending());

    let a = open(&journal, "a", 1);
    extend(&journal, &a);
    assert_eq!((first.rung(), second.rung()), (0, 1));
}

#[test]
fn after_close_a_watch_delivers_what_remains_and_ends_for_good() {
    let journal = journal(8);
    let mut busy = journal.watch(None);
    let mut idle = journal.watch(None);
    let alarm = Arc::<Alarm>::default();
    assert!(poll(&mut idle, &alarm).is_ready());
    assert!(poll(&mut idle, &alarm).is_pending());
    let a = open(&journal, "a", 1);
    assert_eq!(drained(&mut idle), ["open a"]);
    alarm.rung();
    assert!(poll(&mut idle, &alarm).is_pending());

    journal.close();
    assert_eq!(alarm.rung(), 1);
    assert_eq!(drained(&mut idle), ["none"]);
    end(&journal, &a);
    assert_eq!(drained(&mut idle), ["none"], "an ended stream stays ended");
    assert_eq!(drained(&mut busy), ["snapshot 0: ", "open a", "end a", "none"]);
    assert_eq!(drained(&mut journal.watch(None)), ["snapshot 2: ", "none"]);
}

#[tokio::test]
async fn a_watch_is_an_ordinary_stream() {
    let journal = journal(8);
    open(&journal, "a", 1);
    let watch = journal.watch(None);
    journal.close();
    assert_eq!(watch.map(|item| item.id().sequence()).collect::<Vec<_>>().await, [1]);
}

#[tokio::test]
async fn following_a_flood_lets_the_neighbours_run() {
    let journal = journal(2);
    let a = open(&journal, "a", 1);
    let mut watch = journal.watch(None);
    let (sender, mut neighbour) = oneshot::channel();
    tokio::spawn(async move { sender.send(()) });

    // There is always one more event, so nothing here ever waits.
    for _ in 0..10_000 {
        extend(&journal, &a);
        watch.next().await;
        if neighbour.try_recv().is_ok() {
            return;
        }
    }
    panic!("the neighbour never ran");
}

#[tokio::test(start_paused = true)]
async fn every_item_is_flat_json_with_a_tag_and_an_id() {
    let journal = journal(2);
    let mut watch = journal.watch(None);
    let epoch = watch.next().await.unwrap().id().epoch();
    let a = open(&journal, "a", 1);
    drain(&journal, &a);

    watch.next().await;
    let event = watch.next().await.unwrap();
    let Watched::Event(inner) = &event else { panic!("no event") };
    let at = inner.at;
    assert_eq!(
        serde_json::to_string(&event).unwrap(),
        format!(
            r#"{{"id":"{epoch}-2","at":{},"key":"a","session":1,"event":"draining","reason":"closed","in_flight":1}}"#,
            json!(humantime_serde::Serde::from(at)),
        )
    );

    let snapshot = Watched::Snapshot(Snapshot { at: EventId::new(epoch, 7), live: 0, sessions: vec![] });
    assert_eq!(
        serde_json::to_string(&snapshot).unwrap(),
        format!(r#"{{"event":"snapshot","id":"{epoch}-7","live":0,"sessions":[]}}"#)
    );
    let lagged =
        Watched::Lagged { missed: 3, snapshot: Snapshot { at: EventId::new(epoch, 7), live: 0, sessions: vec![] } };
    assert_eq!(
        serde_json::to_string(&lagged).unwrap(),
        format!(r#"{{"event":"lagged","missed":3,"id":"{epoch}-7","live":0,"sessions":[]}}"#)
    );

    let now = journal.watch(None).first_snapshot().unwrap();
    // To a millisecond.
    assert!(now.sessions[0].opened_at > UNIX_EPOCH + Duration::from_nanos(epoch) - Duration::from_millis(1));
    assert_eq!(json!(Watched::Snapshot(now.clone()))["sessions"], json!(now.sessions));
}
