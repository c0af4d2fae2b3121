//! What the registry relies on in a store, as checks that any store can be run through.
//!
//! ```
//! use session_actors::store::{MemoryStore, conformance};
//!
//! conformance::check(MemoryStore::new);
//! // A clone of this store is the same one, opened again.
//! conformance::check_durable(MemoryStore::new, |store| store.clone());
//! ```
//!
//! Each check begins with a store of its own and panics with what was expected.

use std::{
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::{Aside, Change, Record, State, Store, StoreError};
use crate::{event::SessionId, key::SessionKey};

/// Runs every check that needs no restart. `fresh` makes an empty store.
///
/// # Panics
///
/// If the store is not what the registry relies on.
pub fn check<S: Store>(mut fresh: impl FnMut() -> S) {
    nothing_is_in_an_empty_one(&fresh());
    what_was_put_is_loaded(&fresh());
    keys_are_told_apart(&fresh());
    only_its_own_session_removes_a_record(&fresh());
    changes_are_made_in_order(&fresh());
    a_batch_is_made_as_a_whole_or_not_at_all(&fresh());
    deadlines_come_in_order_and_follow_their_records(&fresh());
    pages_go_through_everything_once(&fresh());
    what_is_set_aside_is_out_of_the_way_and_kept(&fresh());
    what_is_discarded_is_gone(&fresh());
    the_policy_is_the_one_put_last(&fresh());
    ids_are_given_once(&fresh());
    states_may_be_large(&fresh());
    readers_see_whole_batches(&fresh());
}

/// Runs the checks of what has to survive a restart. `reopen` closes a store and opens it again.
///
/// # Panics
///
/// If something did not survive.
pub fn check_durable<S: Store>(mut fresh: impl FnMut() -> S, mut reopen: impl FnMut(S) -> S) {
    let store = fresh();
    let first = expect(store.reserve_ids(10));
    expect(store.commit(&[
        put("a", record(1, 10).ends_at(at(30))),
        put("b", record(2, 10)),
        put("c", record(3, 10).ends_at(at(20))),
    ]));
    expect(store.commit(&[set_aside("b"), remove("c", 3), Change::Policy(Some("strict".into()))]));

    let store = reopen(store);
    assert_eq!(loaded(&store, "a"), Some(1), "a record that was put before a restart");
    assert_eq!(loaded(&store, "b"), None, "a record that was set aside before a restart");
    assert_eq!(loaded(&store, "c"), None, "a record that was removed before a restart");
    assert_eq!(due(&store, 100, 10), ["a"], "deadlines after a restart");
    assert_eq!(expect(store.set_aside(10)).len(), 1, "records set aside before a restart");
    assert_eq!(expect(store.policy()).as_deref(), Some("strict"), "the policy after a restart");
    let next = expect(store.reserve_ids(1));
    assert!(next >= first + 10, "id {next} was given before a restart: {first} and 9 more");
}

fn nothing_is_in_an_empty_one(store: &impl Store) {
    assert_eq!(expect(store.load(&key("a"))), None, "a record in an empty store");
    assert_eq!(expect(store.due(at(u64::from(u32::MAX)), 10)), [], "a deadline in an empty store");
    assert_eq!(expect(store.next_deadline()), None, "a next deadline in an empty store");
    assert!(expect(store.page(None, 10)).is_empty(), "a page of an empty store");
    assert_eq!(expect(store.count()), 0, "the count of an empty store");
    assert_eq!(expect(store.set_aside(10)), [], "something set aside in an empty store");
    expect(store.commit(&[]));
    expect(store.commit(&[remove("a", 1), set_aside("a")]));
    assert_eq!(expect(store.set_aside(10)), [], "something set aside where there was nothing");
}

fn what_was_put_is_loaded(store: &impl Store) {
    let first = Record::new(SessionId::new(7), at(100), State::of("one").unwrap_or_else(|why| panic!("{why}")))
        .last_activity(at(160) + Duration::from_millis(7))
        .ends_at(at(3_760) + Duration::from_millis(7))
        .handled(5);
    expect(store.commit(&[Change::Put { key: key("a"), record: first.clone() }]));
    assert_eq!(expect(store.load(&key("a"))), Some(first), "what was put");
    let second = record(8, 200);
    expect(store.commit(&[Change::Put { key: key("a"), record: second.clone() }]));
    assert_eq!(expect(store.load(&key("a"))), Some(second), "what was put over it");
    assert_eq!(expect(store.count()), 1, "records of one key");
}

fn keys_are_told_apart(store: &impl Store) {
    let longest = "k".repeat(SessionKey::MAX_BYTES);
    let keys = ["a", "A", "a:", "a:b", "a b", "ä", "a\u{308}", "'", "\"", "%", "*", "/", "\\", "🦀", longest.as_str()];
    for (session, text) in (1..).zip(keys) {
        expect(store.commit(&[put(text, record(session, 1))]));
    }
    for (session, text) in (1..).zip(keys) {
        assert_eq!(loaded(store, text), Some(session), "the record of {text:?}");
    }
    assert_eq!(expect(store.count()), keys.len() as u64, "records of different keys");
}

fn only_its_own_session_removes_a_record(store: &impl Store) {
    expect(store.commit(&[put("a", record(2, 1).ends_at(at(5)))]));
    expect(store.commit(&[remove("a", 1)]));
    assert_eq!(loaded(store, "a"), Some(2), "a record after another session's end");
    expect(store.commit(&[remove("a", 2)]));
    assert_eq!(loaded(store, "a"), None, "a record after its session's end");
    assert!(due(store, 100, 10).is_empty(), "a deadline after its session's end");
}

fn changes_are_made_in_order(store: &impl Store) {
    expect(store.commit(&[
        put("a", record(1, 1)),
        remove("a", 1),
        put("a", record(2, 1)),
        put("b", record(3, 1)),
        remove("b", 3),
    ]));
    assert_eq!((loaded(store, "a"), loaded(store, "b")), (Some(2), None), "the outcome of one batch");
}

fn a_batch_is_made_as_a_whole_or_not_at_all(store: &impl Store) {
    expect(store.commit(&[put("a", record(1, 1).ends_at(at(9)))]));
    // RFC 3339 cannot write the year.
    let mut unwritable = record(3, 1);
    unwritable.last_activity = at(400_000_000_000);
    let refused = store.commit(&[remove("a", 1), put("b", record(2, 1).ends_at(at(5))), put("c", unwritable)]);
    assert!(matches!(refused, Err(StoreError::Unencodable(_))), "a batch that cannot be written: {refused:?}");
    assert_eq!((loaded(store, "a"), loaded(store, "b")), (Some(1), None), "what a refused batch left");
    assert_eq!(due(store, 100, 10), ["a"], "deadlines after a refused batch");
}

fn deadlines_come_in_order_and_follow_their_records(store: &impl Store) {
    let with = |text, session, ends_at: u64| put(text, record(session, 1).ends_at(at(ends_at)));
    expect(store.commit(&[with("c", 3, 30), with("a", 1, 10), put("never", record(9, 1)), with("b", 2, 20)]));
    assert_eq!(due(store, 9, 10), [""; 0], "before the first deadline");
    assert_eq!(due(store, 20, 10), ["a", "b"], "up to and including a deadline");
    assert_eq!(due(store, 100, 2), ["a", "b"], "as many as were asked for");
    assert_eq!(expect(store.next_deadline()), Some(at(10)), "the next deadline");
    // Later, earlier, never, and one that had none.
    expect(store.commit(&[with("a", 1, 40), with("c", 3, 5), put("b", record(2, 1)), with("never", 9, 50)]));
    assert_eq!(due(store, 100, 10), ["c", "a", "never"], "deadlines that were moved");
    assert_eq!(expect(store.next_deadline()), Some(at(5)), "the next deadline when it was moved");
    let same: Vec<_> = (0..20).map(|n| with(["x", "y"][n % 2], 20 + n as u64 % 2, 60)).collect();
    expect(store.commit(&same));
    assert_eq!(due(store, 60, 10), ["c", "a", "never", "x", "y"], "one deadline for each record");
}

fn pages_go_through_everything_once(store: &impl Store) {
    let texts: Vec<String> = (0..250).map(|n| format!("k:{n:03}")).collect();
    for batch in texts.chunks(100) {
        expect(store.commit(&batch.iter().map(|text| put(text, record(1, 1))).collect::<Vec<_>>()));
    }
    let (mut seen, mut last) = (Vec::new(), None);
    loop {
        let page = expect(store.page(last.as_ref(), 100));
        let full = page.len() == 100;
        last = page.last().map(|entry| entry.key.clone()).or(last);
        seen.extend(page.into_iter().map(|entry| entry.key.as_str().to_owned()));
        if !full {
            break;
        }
    }
    assert_eq!(seen, texts, "all pages");
    assert!(expect(store.page(last.as_ref(), 100)).is_empty(), "the page after the last");
    assert_eq!(expect(store.page(Some(&key("k:0995")), 1))[0].key, "k:100", "the page after a key that is not there");
}

fn what_is_set_aside_is_out_of_the_way_and_kept(store: &impl Store) {
    expect(store.commit(&[put("a", record(1, 1).ends_at(at(5))), put("b", record(2, 1))]));
    expect(store.commit(&[set_aside("a")]));
    assert_eq!(loaded(store, "a"), None, "a record that was set aside");
    assert!(due(store, 100, 10).is_empty(), "the deadline of a record that was set aside");
    assert_eq!(expect(store.count()), 1, "records without the one that was set aside");
    expect(store.commit(&[put("a", record(3, 1)), set_aside("a")]));
    let aside = expect(store.set_aside(10));
    let of = |n: usize| (aside[n].key.as_str().to_owned(), aside[n].why.clone());
    assert_eq!(aside.len(), 2, "each time something was set aside");
    assert_eq!((of(0), of(1)), (("a".into(), "for a test".into()), ("a".into(), "for a test".into())));
    assert!(String::from_utf8_lossy(&aside[0].bytes).contains("2001"), "the bytes that were set aside: {:?}", aside[0]);
    assert_eq!(expect(store.set_aside(1)).len(), 1, "as many as were asked for");
}

fn what_is_discarded_is_gone(store: &impl Store) {
    let discard = |text| Change::Discard { key: key(text) };
    expect(store.commit(&[put("a", record(1, 1).ends_at(at(5))), put("b", record(2, 1)), discard("a"), discard("x")]));
    assert_eq!((loaded(store, "a"), loaded(store, "b")), (None, Some(2)), "a record that was discarded");
    assert!(due(store, 100, 10).is_empty(), "the deadline of a record that was discarded");
    let aside = |text: &str, n: u64| Aside::new(key(text), at(n), format!("why {n}"), vec![0, 159, n as u8]);
    expect(store.commit(&[Change::PutAside(aside("a", 7)), Change::PutAside(aside("b", 8)), set_aside("b")]));
    let kept = expect(store.set_aside(10));
    assert_eq!(kept[..2], [aside("a", 7), aside("b", 8)], "what was put aside");
    expect(store.commit(&[Change::DiscardAside { key: key("b") }, Change::DiscardAside { key: key("x") }]));
    assert_eq!(expect(store.set_aside(10)), [aside("a", 7)], "what is left when something aside was discarded");
}

fn the_policy_is_the_one_put_last(store: &impl Store) {
    assert_eq!(expect(store.policy()), None, "the policy of an empty store");
    expect(store.commit(&[Change::Policy(Some("one".into())), put("a", record(1, 1))]));
    assert_eq!(expect(store.policy()).as_deref(), Some("one"), "a policy that was put");
    expect(store.commit(&[Change::Policy(Some("two".into())), Change::Policy(None)]));
    assert_eq!(expect(store.policy()), None, "a policy that was taken back");
}

fn ids_are_given_once(store: &impl Store) {
    let first = expect(store.reserve_ids(100));
    assert!(first >= 1, "ids begin at 1, not at {first}");
    let second = expect(store.reserve_ids(1));
    assert!(second >= first + 100, "{second} lies in the 100 from {first} on");
    let third = expect(store.reserve_ids(1));
    assert!(third > second, "{third} after {second}");
}

fn states_may_be_large(store: &impl Store) {
    let text = "long ".repeat(200_000);
    let large = Record::new(SessionId::new(1), at(1), State::of(&text).unwrap_or_else(|why| panic!("{why}")));
    expect(store.commit(&[Change::Put { key: key("a"), record: large }]));
    let read = expect(store.load(&key("a"))).map(|record| record.state.read::<String>());
    assert!(read == Some(Ok(text)), "a state of a megabyte");
}

/// A writer changes two records together, over and over; whoever reads both at once finds them equal.
fn readers_see_whole_batches(store: &impl Store) {
    expect(store.commit(&[put("a", record(1, 0)), put("b", record(1, 0))]));
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for n in 1..100 {
                expect(store.commit(&[put("a", record(1, n)), put("b", record(1, n))]));
            }
        });
        while !writer.is_finished() {
            let page = expect(store.page(None, 10));
            let opened: Vec<_> = page.iter().filter_map(|entry| Some(entry.record.as_ref().ok()?.opened_at)).collect();
            assert!(opened.len() == 2 && opened[0] == opened[1], "half a batch was seen: {page:?}");
        }
    });
}

fn expect<T>(outcome: Result<T, StoreError>) -> T {
    outcome.unwrap_or_else(|error| panic!("the store failed: {error}"))
}

fn key(text: &str) -> SessionKey {
    SessionKey::new(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn at(secs: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(secs)
}

/// Its state is its session's number and 2000.
fn record(session: u64, opened: u64) -> Record {
    let state = State::of(&(session + 2_000)).unwrap_or_else(|why| panic!("{why}"));
    Record::new(SessionId::new(session), at(opened), state)
}

fn put(text: &str, record: Record) -> Change {
    Change::Put { key: key(text), record }
}

fn remove(text: &str, session: u64) -> Change {
    Change::Remove { key: key(text), session: SessionId::new(session) }
}

fn set_aside(text: &str) -> Change {
    Change::SetAside { key: key(text), why: "for a test".into() }
}

/// The session of a record that is in order.
fn loaded(store: &impl Store, text: &str) -> Option<u64> {
    let record = expect(store.load(&key(text)))?;
    assert_eq!(record.state.read::<u64>(), Ok(record.session.get() + 2_000), "the state of {text}");
    Some(record.session.get())
}

fn due(store: &impl Store, until: u64, limit: usize) -> Vec<String> {
    expect(store.due(at(until), limit)).iter().map(|deadline| deadline.key.as_str().to_owned()).collect()
}
