//! The supervisor of an arbiter: starts sessions on its own thread, and passes on what all of its
//! sessions have to know.

use std::{
    fmt, mem,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use actix::Arbiter;
use tokio::{
    sync::mpsc::{UnboundedSender, error::SendError},
    task::yield_now,
};

use crate::{
    error::Unserved,
    event::StoreTask,
    keeping::Remembered,
    locals::Locals,
    registry::hub::Hub,
    session::{
        Session,
        context::SessionContext,
        lifecycle::Lifecycle,
        panics::{drop_quietly, panic_message},
        span::SessionSpan,
        task::SessionTask,
        vitals::Vitals,
        wishes::Wishes,
    },
    start::{Parts, Start},
};

mod orders;

pub(crate) use orders::Orders;

/// Starts between two looks at what else the arbiter has to do.
const STARTS_PER_POLL: u32 = 32;
/// Sessions told something between two such looks.
const SLICE: usize = 256;

/// Something that every host has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Instruction {
    /// Ask it of every session.
    Wish(Wishes),
    /// All sessions have ended, and none will come.
    Stop,
}

/// What a host is sent. Its queue is no mailbox: that would take two allocations for each start, and leave as many
/// holes between what its session keeps for life.
pub(crate) enum Order<A: Session> {
    Start(Box<Start<A>>),
    Instruct(Instruction),
}

/// The way to a host, shared by all threads.
pub(crate) struct HostLink<A: Session> {
    orders: UnboundedSender<Order<A>>,
    gone: AtomicBool,
}

impl<A: Session> HostLink<A> {
    /// And what the host takes its orders from. Without bound: what crosses is bounded by the sessions there are.
    pub(crate) fn new() -> (Self, Orders<Order<A>>) {
        let (sender, orders) = Orders::new();
        (Self { orders: sender, gone: AtomicBool::new(false) }, orders)
    }

    pub(crate) fn is_alive(&self) -> bool {
        !self.gone.load(Ordering::Acquire) && !self.orders.is_closed()
    }

    /// Gives the start back if the host is gone.
    pub(crate) fn start(&self, start: Box<Start<A>>) -> Result<(), Box<Start<A>>> {
        if !self.is_alive() {
            return Err(start);
        }
        match self.orders.send(Order::Start(start)) {
            Err(SendError(Order::Start(start))) => Err(start),
            Ok(()) | Err(SendError(Order::Instruct(_))) => Ok(()),
        }
    }

    pub(crate) fn instruct(&self, instruction: Instruction) {
        // A host that is gone has no sessions left to tell.
        let _ = self.orders.send(Order::Instruct(instruction));
    }
}

impl<A: Session> fmt::Debug for HostLink<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostLink").field("alive", &self.is_alive()).finish_non_exhaustive()
    }
}

/// The supervisor of one arbiter.
pub(crate) struct Host<A: Session> {
    locals: Rc<Locals<A>>,
    index: usize,
    /// The arbiter was made for this registry, and stops with it.
    owns_arbiter: bool,
}

impl<A: Session> Host<A> {
    /// Runs a host on the arbiter of this thread.
    pub(crate) fn run(hub: Arc<Hub<A>>, index: usize, orders: Orders<Order<A>>, owns_arbiter: bool) {
        let host = Self { locals: Locals::new(hub), index, owns_arbiter };
        actix::spawn(host.serve(orders));
    }

    /// Until it is told to stop. What is left then, or when the arbiter stops under it, is dropped behind the host, so that
    /// a start finds it gone.
    async fn serve(self, orders: Orders<Order<A>>) {
        let mut orders = orders;
        let host = self;
        let mut started = 0_u32;
        while let Some(order) = orders.next().await {
            match order {
                Order::Start(start) => {
                    // What is not the actor's is not expected to panic, but a tracing subscriber may; it must not take
                    // down the host of all the others.
                    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| host.run_session(*start))) {
                        let _ = panic_message(payload);
                    }
                    started = started.wrapping_add(1);
                    if started.is_multiple_of(STARTS_PER_POLL) {
                        // A burst of opens must not stall the sessions that run here.
                        yield_now().await;
                    }
                }
                Order::Instruct(Instruction::Wish(wish)) => host.pass_on(wish),
                Order::Instruct(Instruction::Stop) => break,
            }
        }
    }

    /// Asks it of every session: of a few at once, of the others a few at a time.
    fn pass_on(&self, wish: Wishes) {
        let mut sessions: Vec<Arc<Vitals>> = self.locals.hub.journal.live();
        sessions.retain(|vitals| vitals.host() == self.index);
        let rest = sessions.split_off(sessions.len().min(SLICE));
        for vitals in sessions {
            vitals.wish(wish);
        }
        if rest.is_empty() {
            return;
        }
        actix::spawn(async move {
            for slice in rest.chunks(SLICE) {
                yield_now().await;
                for vitals in slice {
                    vitals.wish(wish);
                }
            }
        });
    }

    /// Makes the actor and sets it running. A factory that panics leaves nothing behind.
    fn run_session(&self, start: Start<A>) {
        let Some(mut parts) = start.take() else { return };
        let hub = &self.locals.hub;
        let key = parts.vitals.key().clone();
        let make = parts.make.take();
        let made = catch_unwind(AssertUnwindSafe(|| match make {
            Some(make) => make(&key),
            None => hub.make_actor(&key),
        }));
        let mut act = match made {
            Ok(act) => act,
            Err(payload) => {
                let panic = panic_message(payload);
                hub.undo(parts, Unserved::StartFailed { panic });
                return;
            }
        };
        let mut came_back = None;
        let remembered = mem::replace(&mut parts.remembered, Remembered::Nothing);
        if let (Remembered::Something(memory), Some(keeper)) = (remembered, &hub.keeper) {
            let (session, figures) = (memory.session, memory.figures.clone());
            if let Err(error) = keeper.restore(&mut act, *memory) {
                let _ = drop_quietly(act);
                keeper.set_aside(&key, error.clone());
                hub.store_failed(&key, session, StoreTask::Load, &error);
                return hub.undo(parts, Unserved::NotRestored { error });
            }
            parts.vitals.resume(session, figures.handled);
            came_back = Some(figures);
        }
        let Parts { vitals, mailbox, make: _, leftovers, permit, remembered: _ } = parts;
        let Some(permit) = permit else {
            // Only a newcomer without its slot, and those are not dispatched.
            debug_assert!(false, "a start without a slot");
            return;
        };
        let span = SessionSpan::new(&key, vitals.id());
        vitals.begin();
        let now = hub.clock.now();
        let ruling = hub.ruling(&key);
        let (opened, last_activity) =
            came_back.as_ref().map_or((now, now), |figures| (figures.opened, figures.last_activity));
        vitals.set_started(opened, last_activity, self.index);
        vitals.set_ruling(Arc::clone(&ruling));
        if hub.shutdown.begun() {
            // Accepted before; it handles its mail and goes.
            vitals.wish(Wishes::SHUTDOWN);
        }
        let mut lifecycle = Lifecycle::new(opened, hub.mode());
        lifecycle.resume_extended(came_back.as_ref().and_then(|figures| figures.extended));
        vitals.set_expiry(lifecycle.fixed_end(&ruling.limits), lifecycle.extended());
        let mut ctx =
            SessionContext::new(mailbox, Arc::clone(&vitals), Rc::clone(&self.locals), lifecycle, Arc::clone(&ruling));
        if let Some(figures) = &came_back {
            ctx.resume(figures.limits.clone());
        }
        permit.pass_to_session();
        // With what it set itself, if it comes back.
        let ruling = ctx.ruling();
        let task = SessionTask::new(act, span, ctx, leftovers);
        let idle = now.saturating_since(last_activity);
        match &came_back {
            None => hub.journal.opened(now, &vitals, ruling.limits, ruling.rule.clone()),
            Some(_) => hub.journal.restored(now, &vitals, ruling.limits, ruling.rule.clone(), idle),
        }
        hub.eviction.add(&vitals);
        actix::spawn(task);
        // Last: a subscriber is foreign code.
        let what = if came_back.is_some() { "session restored" } else { "session opened" };
        tracing::debug!(%key, id = %vitals.id(), rule = %ruling.rule, "{what}");
    }
}

impl<A: Session> Drop for Host<A> {
    /// The registry is done, or the arbiter has stopped under it.
    fn drop(&mut self) {
        if let Some(link) = self.locals.hub.hosts.get(self.index) {
            link.gone.store(true, Ordering::Release);
        }
        if self.owns_arbiter
            && let Some(arbiter) = Arbiter::try_current()
        {
            arbiter.stop();
        }
    }
}

impl<A: Session> fmt::Debug for Host<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("index", &self.index).finish()
    }
}
