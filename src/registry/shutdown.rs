//! The end of a registry.

use std::{
    fmt,
    future::Future,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use parking_lot::Mutex;
use serde::Serialize;
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep_until, timeout_at},
};

use super::hub::Hub;
use crate::{error::ShutdownError, event::Ended, session::Session};

/// How long after its timeout a shutdown waits for sessions that should have cut themselves by
/// then. Those that have not are on a thread that some handler blocks.
const GRACE: Duration = Duration::from_secs(1);

/// What a shutdown came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Sessions that ended with nothing cut.
    pub drained: usize,
    /// Sessions that were ended with work in flight, which was cut.
    pub cut: usize,
    /// Replies that had outlived their sessions, which stopped themselves or panicked, and were cut
    /// at the timeout.
    pub cut_replies: usize,
    /// Sessions that have not ended, because a handler blocks the thread they run on. They end
    /// when it returns.
    pub unresponsive: usize,
    /// Sessions that could not be saved: what they have done since the store had them last is lost, which is everything
    /// if it never did.
    pub unsaved: usize,
}

/// The registry's side of it.
#[derive(Debug)]
pub(crate) struct ShutdownState {
    begun: AtomicBool,
    progress: Mutex<Progress>,
    /// Tells who waits that it has begun.
    beginning: Notify,
    done: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Progress {
    deadline: Option<Instant>,
    drained: usize,
    cut: usize,
    cut_replies: usize,
    unsaved: usize,
}

impl Default for ShutdownState {
    fn default() -> Self {
        Self {
            begun: AtomicBool::new(false),
            progress: Mutex::new(Progress::default()),
            beginning: Notify::new(),
            done: watch::Sender::new(false),
        }
    }
}

impl ShutdownState {
    pub(crate) fn begun(&self) -> bool {
        self.begun.load(Ordering::Acquire)
    }

    /// False if it had begun already.
    pub(crate) fn begin(&self, deadline: Option<Instant>) -> bool {
        let mut progress = self.progress.lock();
        if self.begun() {
            return false;
        }
        // Before the flag: whoever sees it finds the deadline.
        progress.deadline = deadline;
        self.begun.store(true, Ordering::Release);
        drop(progress);
        self.beginning.notify_waiters();
        true
    }

    /// Resolves at its deadline, once it has begun.
    pub(crate) async fn passed(&self) {
        let beginning = self.beginning.notified();
        // After the registration above, or a beginning in between would be missed.
        if !self.begun() {
            beginning.await;
        }
        match self.deadline() {
            Some(deadline) => sleep_until(deadline).await,
            None => std::future::pending().await,
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.progress.lock().deadline
    }

    pub(crate) fn note_end(&self, ended: &Ended) {
        if !self.begun() {
            return;
        }
        let mut progress = self.progress.lock();
        if ended.cut > 0 {
            progress.cut += 1;
        } else {
            progress.drained += 1;
        }
    }

    pub(crate) fn note_cut_replies(&self, cut: usize) {
        self.progress.lock().cut_replies += cut;
    }

    pub(crate) fn note_unsaved(&self) {
        self.progress.lock().unsaved += 1;
    }

    #[cfg(feature = "store")]
    pub(crate) fn is_complete(&self) -> bool {
        *self.done.borrow()
    }

    pub(crate) fn complete(&self) {
        self.done.send_replace(true);
    }
}

/// Resolves when every session has ended, or the timeout has passed. Dropping it cancels nothing.
#[must_use = "the shutdown goes on without it, but nobody knows when it is done"]
pub struct Shutdown {
    waiting: Pin<Box<dyn Future<Output = Result<ShutdownReport, ShutdownError>> + Send>>,
}

impl Shutdown {
    pub(super) fn refused(error: ShutdownError) -> Self {
        Self { waiting: Box::pin(std::future::ready(Err(error))) }
    }

    pub(super) fn of<A: Session>(hub: Arc<Hub<A>>) -> Self {
        Self {
            waiting: Box::pin(async move {
                let deadline = hub.shutdown.deadline();
                let mut done = hub.shutdown.done.subscribe();
                let ended = done.wait_for(|done| *done);
                // Those that could not save themselves need that much longer to know it.
                let grace = hub.keeper.as_ref().map_or(GRACE, |keeper| GRACE.saturating_add(keeper.timeout()));
                let at_last = deadline.and_then(|at| at.checked_add(grace));
                let stopped = async {
                    let done = ended.await.is_ok();
                    if let Some(keeper) = &hub.keeper {
                        keeper.stopped().await;
                    }
                    done
                };
                let on_time = match at_last {
                    Some(at) => is_on_time(&hub, at, stopped).await,
                    None => stopped.await,
                };
                let progress = hub.shutdown.progress.lock();
                let report = ShutdownReport {
                    drained: progress.drained,
                    cut: progress.cut,
                    cut_replies: progress.cut_replies,
                    unsaved: progress.unsaved,
                    unresponsive: if on_time {
                        0
                    } else {
                        let (used, newcomers) = hub.capacity.used();
                        used + newcomers
                    },
                };
                drop(progress);
                if on_time && report.unsaved == 0 {
                    tracing::info!(?report, "session registry is shut down");
                } else if on_time {
                    tracing::error!(?report, "session registry is shut down, and could not save all sessions");
                } else {
                    tracing::warn!(
                        ?report,
                        "session registry is not shut down: handlers block the threads of sessions"
                    );
                }
                Ok(report)
            }),
        }
    }
}

/// Whether it has stopped in time, which is longer while a store still saves sessions.
async fn is_on_time<A: Session>(hub: &Hub<A>, mut at: Instant, stopped: impl Future<Output = bool>) -> bool {
    let mut stopped = pin!(stopped);
    loop {
        if timeout_at(at, &mut stopped).await.is_ok() {
            return true;
        }
        let longer = hub.keeper.as_ref().map(|keeper| keeper.patience(at - keeper.timeout()));
        match longer {
            Some(longer) if longer > at => at = longer,
            _ => return false,
        }
    }
}

impl Future for Shutdown {
    type Output = Result<ShutdownReport, ShutdownError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.waiting.as_mut().poll(cx)
    }
}

impl fmt::Debug for Shutdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shutdown")
    }
}
