//! Time passes, and everything comes to its end.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures_util::FutureExt;
use session_actors::{OpenError, Watched};
use tokio::time::{Instant as Clock, sleep_until};

use super::World;
use crate::{model::Instant, session::Diary, step::Finale};

/// How late tokio's timer may be, whose ticks are milliseconds.
const SLACK: Duration = Duration::from_millis(2);

impl World {
    /// Lets time pass. Deadlines are met one by one, each at the instant at which the registry acted on it.
    pub(super) async fn pass(&mut self, time: Duration) {
        let end = self.now() + time;
        loop {
            let wake = self.next_due().map_or(end, |due| end.min(due + SLACK));
            sleep_until(self.base + wake).await;
            self.settle().await;
            while let Some((due, key)) = self.model.next_due().filter(|(due, _)| *due + SLACK <= self.now()) {
                let first = self.observed.get(&key).and_then(|events| events.front());
                let Some(first) = first else { panic!("{key}: nothing happened at {due:?} in {:?}", self.model) };
                let at = self.at(first);
                assert!(due <= at && at <= due + SLACK, "{key}: {first:?} at {at:?} instead of {due:?}");
                self.model.decide(&key, at);
                self.explain(&key, at);
            }
            if self.model.orphans_due().is_some_and(|due| due + SLACK <= self.now()) {
                self.model.cut_orphans();
            }
            // The next step must not come just when a deadline does, give or take a tick.
            let close = self.next_due().is_some_and(|due| due <= self.now());
            if self.now() >= end && !close {
                return;
            }
            if close {
                sleep_until(Clock::now() + Duration::from_millis(1)).await;
            }
        }
    }

    fn next_due(&self) -> Option<Instant> {
        [self.model.next_due().map(|(due, _)| due), self.model.orphans_due()].into_iter().flatten().min()
    }

    /// Lets everything that is ready run, without moving the clock, and reads what happened.
    pub(super) async fn settle(&mut self) {
        for _ in 0..40 {
            tokio::task::yield_now().await;
        }
        for item in self.recorder.items.lock().unwrap().drain(..) {
            self.past.take(&item);
            if let Watched::Event(event) = item {
                // The first is of a step that took no time.
                self.wall.get_or_insert(event.at - (Clock::now() - self.base));
                self.observed.entry(event.key.to_string()).or_default().push_back(event);
            }
        }
    }

    pub async fn begin_end(&mut self, finale: Finale) {
        let now = self.now();
        let deadline = match finale {
            Finale::Shutdown(millis) => {
                let timeout = Duration::from_millis(millis);
                self.shutdown = self.registry.as_ref().map(|registry| registry.shutdown(timeout));
                Some(now + timeout)
            }
            Finale::Drop => {
                self.registry = None;
                assert!(self.weak.upgrade().is_none());
                self.model.rules.times.drain.map(|drain| now + Duration::from_millis(drain))
            }
        };
        self.settle().await;
        self.model.shut_down(deadline, now);
        self.explain_all();
        // A deadline may be now.
        self.pass(Duration::ZERO).await;
        self.verify(self.followers.len());
    }

    pub async fn end(mut self) {
        while self.model.used() > 0 || self.model.orphans_due().is_some() {
            match self.next_due() {
                Some(due) => self.pass(due.saturating_sub(self.now()) + 2 * SLACK).await,
                // Draining for as long as it takes.
                None => self.finish(0, false).await,
            }
            self.explain_all();
        }
        while !self.model.unfinished().is_empty() {
            self.finish(0, false).await;
        }
        self.settle().await;
        self.explain_all();
        self.verify(self.followers.len());
        self.nothing_is_left().await;
    }

    async fn nothing_is_left(mut self) {
        assert!(self.replies.is_empty(), "somebody still waits");
        assert!(self.recorder.ended.load(Ordering::SeqCst), "the stream of a watcher has not ended");
        for follower in &mut self.followers {
            follower.read_to_the_end(&self.past);
        }
        if let Some(shutdown) = self.shutdown.take() {
            let report = shutdown.now_or_never().expect("all has ended, yet it waits").unwrap();
            let since = self.model.ended_since_shutdown;
            assert_eq!((report.drained, report.cut, report.unresponsive), (since.0, since.1, 0));
            assert_eq!(report.cut_replies, self.model.cut_replies);
        }
        if let Some(registry) = self.registry.take() {
            assert!(registry.is_empty() && registry.list().is_empty());
            assert!(matches!(registry.open("a"), Err(OpenError::ShuttingDown)));
        }
        for (_, _, addr) in self.addresses.drain(..) {
            assert!(!addr.connected(), "an address that leads nowhere is connected");
        }
        for _ in 0..40 {
            tokio::task::yield_now().await;
        }
        let Diary { actors, messages, futures, .. } = &*self.diary;
        assert_eq!((actors.get(), messages.get(), futures.get()), (0, 0, 0), "actors, messages or futures are left");
        assert_eq!(Arc::strong_count(&self.factory), 1, "something still holds the registry");
    }
}
