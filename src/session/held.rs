//! What waits until the state behind it is on disk: replies under `checkpoint = "always"`, and whoever asked for a
//! checkpoint.

use actix::dev::OneshotSender;
use tokio::sync::oneshot;

use super::{caller::Caller, context::SessionContext, items::Work, panics::quietly, traits::Session};
use crate::{
    checkpoint::Checkpoint,
    error::{NotSaved, Unserved},
    moment::Moment,
};

/// Is told that it is on disk, or why not.
type Release = Box<dyn FnOnce(Result<(), &str>)>;

/// What waits until the state behind it is on disk.
pub(super) struct Held {
    release: Release,
    /// How long it waits; set when it is first looked at.
    pub(super) until: Option<Moment>,
}

impl Held {
    /// `release` is told that it is, or why not.
    pub(super) fn new(release: impl FnOnce(Result<(), &str>) + 'static) -> Self {
        Self { release: Box::new(release), until: None }
    }

    /// A reply, and who waits for it.
    pub(super) fn reply<T: 'static>(tx: OneshotSender<T>, reply: T, caller: Option<Caller>) -> Self {
        Self::new(move |saved| match saved {
            Ok(()) => drop(tx.send(reply)),
            Err(error) => {
                // The caller is told why before its sender goes.
                if let Some(caller) = caller {
                    caller.tell(Unserved::NotSaved { error: error.to_owned() });
                }
                drop((tx, reply));
            }
        })
    }

    /// It wakes who waits, and drops what nobody waits for: foreign code.
    pub(super) fn release(self, outcome: Result<(), &str>) {
        let _ = quietly(|| (self.release)(outcome));
    }

    pub(super) fn deliver(self) {
        self.release(Ok(()));
    }
}

impl<A: Session> SessionContext<A> {
    /// Saves the session now, whatever its [`Checkpoint`] is, and is ready when that is on disk: what this handler, or
    /// this piece of work, has left behind when it is done, and all before it. For what leaves the session in
    /// other ways than as a reply, such as by a socket, and must not be forgotten by a crash once somebody has seen it.
    /// Sessions that ask at the same time share one write.
    ///
    /// The future belongs to nobody: spawn it, or give it out as the reply. While it is not ready the session is
    /// busy. Ready at once if the registry has no store.
    ///
    /// ```
    /// # use actix::prelude::*;
    /// # use session_actors::{Session, SessionContext};
    /// # struct Chat { turns: u64, socket: tokio::sync::mpsc::UnboundedSender<String> }
    /// # impl Actor for Chat { type Context = SessionContext<Self>; }
    /// # impl Session for Chat {}
    /// # #[derive(Message)] #[rtype(result = "()")] struct Say;
    /// impl Handler<Say> for Chat {
    ///     type Result = ResponseActFuture<Self, ()>;
    ///
    ///     fn handle(&mut self, _: Say, ctx: &mut Self::Context) -> Self::Result {
    ///         self.turns += 1;
    ///         let turn = self.turns;
    ///         Box::pin(ctx.checkpoint().into_actor(self).map(move |saved, chat, _| {
    ///             let line = match saved {
    ///                 Ok(()) => format!("turn {turn}"),
    ///                 Err(error) => format!("turn {turn} may be forgotten: {error}"),
    ///             };
    ///             let _ = chat.socket.send(line);
    ///         }))
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// If the store could not do it within its timeout, or the session ended before it did. What was not saved is in
    /// the next save.
    pub fn checkpoint(&mut self) -> impl Future<Output = Result<(), NotSaved>> + use<A> {
        let told = self.locals.keeps.then(|| {
            let (tell, told) = oneshot::channel();
            self.hold_back(Held::new(move |outcome| {
                let outcome = outcome.map_err(|error| NotSaved::Store { error: error.to_owned() });
                drop(tell.send(outcome));
            }));
            told
        });
        async move {
            match told {
                Some(told) => told.await.unwrap_or(Err(NotSaved::Ended)),
                None => Ok(()),
            }
        }
    }

    /// Whether replies wait until they are saved.
    #[inline]
    pub(super) fn holds_replies(&self) -> bool {
        self.locals.keeps && self.ruling.limits.checkpoint == Checkpoint::Always
    }

    /// Keeps it until what is behind it is saved.
    pub(super) fn hold_back(&mut self, held: Held) {
        // Keeps the session busy, and is no activity of its own.
        self.begin_work(Work::Passive);
        self.saving().held.push(held);
    }
}
