use std::{
    pin::pin,
    task::{Context, Poll, Wake},
    time::Duration,
};

use super::{
    fixture::{Alarm, drain, drained, end, ended, extend, journal, open, opened, poll, stats, vitals},
    *,
};
use crate::{
    event::{EndReason, Phase},
    watch::{Watch, Watched},
};

type EndOf = oneshot::Receiver<Ended>;

#[test]
fn live_is_what_is_opened_and_not_ended() {
    let journal = journal(8);
    let a = open(&journal, "a", 1);
    let b = open(&journal, "b", 2);
    assert_eq!(journal.len(), 2);
    assert!(Arc::ptr_eq(&journal.find("a").unwrap(), &a));
    assert!(journal.find("c").is_none());

    end(&journal, &a);
    assert!(journal.find("a").is_none());
    assert!(journal.live().iter().map(|vitals| vitals.id()).eq([b.id()]));
}

#[test]
fn an_end_absorbs() {
    let journal = journal(8);
    let mut watch = journal.watch(None);
    let never_opened = vitals("a", 1);
    extend(&journal, &never_opened);
    end(&journal, &never_opened);
    let a = open(&journal, "a", 2);
    end(&journal, &a);
    end(&journal, &a);
    extend(&journal, &a);
    drain(&journal, &a);
    journal.start_failed(&a, "late".into());

    assert_eq!(drained(&mut watch), ["snapshot 0: ", "open a", "end a"]);
    assert_eq!(stats(&journal).ended.total(), 1);
}

#[test]
fn a_late_exit_does_not_take_out_its_successor() {
    let journal = journal(8);
    let first = open(&journal, "a", 1);
    end(&journal, &first);
    let second = open(&journal, "a", 2);
    end(&journal, &first);
    assert!(Arc::ptr_eq(&journal.find("a").unwrap(), &second));
}

#[test]
fn the_phase_is_in_step_with_the_events() {
    let journal = journal(8);
    let a = open(&journal, "a", 1);
    let phase = || match journal.watch(None).first_snapshot() {
        Some(snapshot) => snapshot.sessions.first().map(|info| info.phase),
        None => None,
    };
    assert_eq!(phase(), Some(Phase::Active));
    drain(&journal, &a);
    assert_eq!(phase(), Some(Phase::Draining));
    end(&journal, &a);
    assert_eq!(phase(), None);
    assert!(matches!(a.phase(), VitalPhase::Ended));
}

#[test]
fn stats_agree_with_events() {
    let journal = journal(8);
    let a = open(&journal, "a", 1);
    let b = open(&journal, "b", 2);
    let report = |kind| journal.publish(journal.now(), a.key(), a.id(), kind);
    report(EventKind::Warned { reason: EndReason::MaxAge, remaining: Duration::ZERO });
    report(EventKind::Extended { by: Duration::ZERO });
    report(EventKind::WouldEnd { reason: EndReason::MaxAge, busy: false });
    drain(&journal, &a);
    drain(&journal, &b);
    journal.ended(journal.now(), &b, Ended { cut: 1, handed_over: 2, dropped: 3, ..ended(EndReason::Stuck) });
    journal.start_failed(&vitals("c", 3), "no disk".into());
    let watches = [journal.watch(None), journal.watch(None)];

    let stats = stats(&journal);
    assert_eq!((stats.live, stats.draining, stats.opened, stats.start_failed), (1, 1, 2, 1));
    assert_eq!((stats.warned, stats.extended, stats.would_end), (1, 1, 1));
    assert_eq!((stats.work_cut, stats.messages_handed_over, stats.messages_dropped), (1, 2, 3));
    assert_eq!((stats.ended.get(EndReason::Stuck), stats.ended.total()), (1, 1));
    assert_eq!(stats.watchers, 2);
    drop(watches);
    assert_eq!(self::stats(&journal).watchers, 0);
}

#[tokio::test(start_paused = true)]
async fn events_are_stamped_by_the_registrys_clock() {
    let journal = journal(8);
    let started = journal.clock.wall(journal.now());
    let mut watch = journal.watch(None);
    tokio::time::advance(Duration::from_secs(3_600)).await;
    open(&journal, "a", 1);

    watch.next().await;
    let Some(Watched::Event(event)) = watch.next().await else { panic!("no event") };
    assert_eq!(event.at, started + Duration::from_secs(3_600));
    assert_eq!(event.id, EventId::new(journal.clock.epoch(), 1));
}

#[tokio::test(start_paused = true)]
async fn time_does_not_run_backwards_from_one_event_to_the_next() {
    let journal = journal(8);
    // As if another publisher had read the clock later and got the lock sooner.
    let ahead = journal.now().checked_add(Duration::from_secs(5)).unwrap();
    journal.state.lock().latest = ahead;
    open(&journal, "a", 1);

    let mut watch = journal.watch(Some(EventId::new(journal.epoch, 0)));
    let Some(Watched::Event(event)) = watch.next().await else { panic!("no event") };
    assert_eq!(event.at, journal.clock.wall(ahead));
}

#[test]
fn who_waits_for_an_end_is_told_after_it_is_published() {
    let journal = journal(8);
    let a = vitals("a", 1);
    let mut early = journal.await_end(&a);
    opened(&journal, &a);
    let mut late = journal.await_end(&a);
    let mut other = journal.await_end(&open(&journal, "b", 2));
    assert!(early.try_recv().is_err());

    journal.ended(journal.now(), &a, ended(EndReason::MaxAge));

    assert_eq!(early.try_recv(), Ok(ended(EndReason::MaxAge)));
    assert_eq!(late.try_recv(), Ok(ended(EndReason::MaxAge)));
    assert_eq!(other.try_recv(), Err(oneshot::error::TryRecvError::Empty));
    assert_eq!(journal.state.lock().waiters.sessions(), 1);
}

/// Notes how things stand when it is woken: the last event, and whether the watcher has been woken before.
struct Witness {
    journal: Arc<Journal>,
    watcher: Arc<Alarm>,
    saw: Mutex<Option<(u64, usize)>>,
}

impl Wake for Witness {
    fn wake(self: Arc<Self>) {
        let last = self.journal.state.lock().history.last();
        *self.saw.lock() = Some((last, self.watcher.rung()));
    }
}

#[test]
fn an_end_is_published_first_then_watchers_are_woken_then_waiters_told() {
    let journal = journal(8);
    let a = open(&journal, "a", 1);
    let mut watch = journal.watch(None);
    let watcher = Arc::default();
    while poll(&mut watch, &watcher).is_ready() {}
    let witness = Arc::new(Witness { journal: Arc::clone(&journal), watcher, saw: Mutex::default() });
    let mut told = journal.await_end(&a);
    assert!(pin!(&mut told).poll(&mut Context::from_waker(&Waker::from(Arc::clone(&witness)))).is_pending());

    end(&journal, &a);

    assert_eq!(*witness.saw.lock(), Some((2, 1)));
    assert!(told.try_recv().is_ok());
}

#[test]
fn who_waits_for_what_is_over_hears_so_at_once() {
    let journal = journal(8);
    let closed = |mut end: EndOf| end.try_recv() == Err(oneshot::error::TryRecvError::Closed);
    let a = open(&journal, "a", 1);
    end(&journal, &a);
    assert!(closed(journal.await_end(&a)));

    let b = vitals("b", 2);
    let before = journal.await_end(&b);
    journal.start_failed(&b, "no disk".into());
    assert!(closed(before));
    assert!(closed(journal.await_end(&b)));
    assert_eq!(journal.state.lock().waiters.sessions(), 0);
}

#[test]
fn waiters_that_gave_up_do_not_pile_up() {
    let journal = journal(8);
    let a = open(&journal, "a", 1);
    let patient = journal.await_end(&a);
    for _ in 0..1_000 {
        drop(journal.await_end(&a));
    }
    assert!(journal.state.lock().waiters.of(super::address(&a)) < 16);
    end(&journal, &a);
    assert!(patient.blocking_recv().is_ok());
}

#[test]
fn only_what_the_history_holds_is_kept() {
    let journal = journal(4);
    let a = open(&journal, "a", 1);
    for _ in 0..100 {
        extend(&journal, &a);
    }
    let events: Vec<_> = journal.state.lock().history.after(97).unwrap().cloned().collect();
    assert_eq!(events.len(), 4);
    // One in the history, one here: nothing else holds on to an event.
    assert!(events.iter().all(|event| Arc::strong_count(event) == 2));
    end(&journal, &a);
    assert_eq!(Arc::strong_count(&a), 1);
}

/// A task whose waking and whose drop come back to the journal.
struct Reentrant(Arc<Journal>);

impl Reentrant {
    fn visit(&self) {
        assert!(!self.0.state.is_locked(), "foreign code under the lock");
        self.0.len();
    }
}

impl Wake for Reentrant {
    fn wake(self: Arc<Self>) {
        self.visit();
    }
}

impl Drop for Reentrant {
    fn drop(&mut self) {
        self.visit();
    }
}

#[test]
fn foreign_code_runs_outside_the_lock() {
    let journal = journal(1);
    let task = || Waker::from(Arc::new(Reentrant(Arc::clone(&journal))));
    let poll_watch = |watch: &mut Watch| {
        // The journal has the only waker left, so it is the one who drops it.
        let waker = task();
        while let Poll::Ready(Some(_)) = pin!(watch.next()).poll(&mut Context::from_waker(&waker)) {}
    };
    let poll_end = |end: &mut EndOf| pin!(end).poll(&mut Context::from_waker(&task())).is_ready();

    let mut watch = journal.watch(None);
    poll_watch(&mut watch);
    poll_watch(&mut watch); // replaces its waker
    let a = open(&journal, "a", 1); // wakes it
    extend(&journal, &a); // puts it behind
    poll_watch(&mut watch);

    let mut told = journal.await_end(&a);
    assert!(!poll_end(&mut told));
    for _ in 0..64 {
        let mut gone = journal.await_end(&a); // clears away those who gave up before
        assert!(!poll_end(&mut gone));
    }
    end(&journal, &a); // wakes both
    assert!(poll_end(&mut told));

    let b = vitals("b", 2);
    let mut failed = journal.await_end(&b);
    assert!(!poll_end(&mut failed));
    journal.start_failed(&b, "no disk".into());
    assert!(poll_end(&mut failed));

    poll_watch(&mut watch);
    journal.close();
    poll_watch(&mut watch);
    let mut last = journal.watch(None);
    poll_watch(&mut last);
    drop(last);
    drop(watch);
}

#[test]
fn a_parked_reader_takes_its_waker_along() {
    let journal = journal(8);
    let mut watch = journal.watch(None);
    let waker = Waker::from(Arc::new(Reentrant(Arc::clone(&journal))));
    while pin!(watch.next()).poll(&mut Context::from_waker(&waker)).is_ready() {}
    drop(waker);
    drop(watch);
    // The waker held the journal: had it stayed, so would the journal.
    assert_eq!(Arc::strong_count(&journal), 1);
}
