//! Watchers: one that keeps up, whose word is the truth, and others that are read now and then.

use futures_util::FutureExt;
use session_actors::{Watch, Watched};

use super::belief::{Belief, Live};

/// The live set after each event, by sequence, as told to one who missed nothing.
#[derive(Debug, Default)]
pub struct Past {
    belief: Belief,
    lives: Vec<Live>,
}

impl Past {
    pub fn now(&self) -> &Live {
        &self.belief.known
    }

    /// Takes the next item; checks that it may come there.
    pub fn take(&mut self, item: &Watched) {
        self.belief.take(item);
        assert_eq!(self.belief.lags, 0, "it fell behind");
        assert_eq!(item.id().sequence(), self.lives.len() as u64, "the first is the snapshot before any event");
        self.lives.push(self.belief.known.clone());
    }
}

/// A watch and what somebody knows who believes it.
pub struct Follower {
    watch: Watch,
    belief: Belief,
    ended: bool,
}

impl Follower {
    pub fn new(watch: Watch) -> Self {
        Self { watch, belief: Belief::default(), ended: false }
    }

    /// Reads up to so many items. What is known then was the live set at that moment.
    pub fn read(&mut self, times: usize, past: &Past) {
        for _ in 0..times {
            match self.watch.next().now_or_never() {
                None => break,
                Some(None) => {
                    self.ended = true;
                    break;
                }
                Some(Some(item)) => {
                    self.belief.take(&item);
                    let then = usize::try_from(item.id().sequence()).unwrap();
                    assert_eq!(self.belief.known, past.lives[then], "not the live set of that moment");
                }
            }
        }
    }

    /// Reads all there is; it must be all there was.
    pub fn read_to_the_end(&mut self, past: &Past) {
        self.read(usize::MAX, past);
        assert!(self.ended, "the stream of a watcher has not ended");
        assert_eq!(&self.belief.known, past.now(), "it ended before it had all");
    }
}
