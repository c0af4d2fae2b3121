//! The floor: bare actix actors in a `HashMap`. No timers at all: nothing ends by itself, so it takes
//! no part in what is about ends.

use std::{cell::RefCell, sync::Arc};

use actix::prelude::*;

use super::mail::{Add, ByFuture, HOUR, InContext, Stop};
use crate::{
    contender::{ByKey, Contender, InTheMaking, Limits, Map, Shared, key},
    ledger::Session,
    work::cores::{OnArbiters, Run, Task},
};

pub(crate) struct BareActix {
    live: RefCell<Map<Addr<Bare>>>,
}

pub(crate) struct Bare(Session);

impl Actor for Bare {
    type Context = Context<Self>;
}

impl Handler<Add> for Bare {
    type Result = u64;

    fn handle(&mut self, Add(n): Add, _: &mut Self::Context) -> u64 {
        self.0.add(n)
    }
}

impl Handler<Stop> for Bare {
    type Result = ();

    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) {
        ctx.stop();
    }
}

impl Handler<ByFuture> for Bare {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: ByFuture, _: &mut Self::Context) -> Self::Result {
        Box::pin(tokio::time::sleep(HOUR))
    }
}

impl Handler<InContext> for Bare {
    type Result = ResponseActFuture<Self, ()>;

    fn handle(&mut self, _: InContext, _: &mut Self::Context) -> Self::Result {
        Box::pin(tokio::time::sleep(HOUR).into_actor(self))
    }
}

impl Handler<Run> for Bare {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, Run(task): Run, _: &mut Self::Context) -> Self::Result {
        task()
    }
}

/// Actors on several arbiters, in turns.
pub(crate) struct OnMany(Vec<Arbiter>);

impl OnArbiters for OnMany {
    type Address = Addr<Bare>;

    async fn start_on(arbiters: usize) -> Self {
        Self((0..arbiters).map(|_| Arbiter::new()).collect())
    }

    async fn open_on(&self, index: usize) -> (usize, Addr<Bare>) {
        let at = index % self.0.len();
        let actor = Bare::start_in_arbiter(&self.0[at].handle(), move |_| Bare(Session::new(index)));
        actor.send(Add(0)).await.expect("it is live");
        (at, actor)
    }

    fn tell(to: &Addr<Bare>, n: u64) {
        to.do_send(Add(n));
    }

    async fn run_at(at: &Addr<Bare>, task: Task) {
        at.send(Run(task)).await.expect("it runs");
    }

    async fn stop(self) {
        for arbiter in self.0 {
            arbiter.stop();
            arbiter.join().expect("it does not panic");
        }
    }
}

impl Contender for BareActix {
    type Address = Addr<Bare>;

    async fn start(_: Limits) -> Self {
        Self { live: RefCell::default() }
    }

    async fn open(&self, index: usize) -> Addr<Bare> {
        self.live.borrow_mut().entry(key(index)).or_insert_with(|| Bare(Session::new(index)).start()).clone()
    }

    fn tell(&self, to: &Addr<Bare>, n: u64) {
        to.do_send(Add(n));
    }

    async fn ask(&self, to: &Addr<Bare>, n: u64) -> u64 {
        to.send(Add(n)).await.expect("it is live")
    }

    async fn end(&self, index: usize) {
        let actor = self.live.borrow_mut().remove(&key(index)).expect("it was live");
        actor.send(Stop).await.expect("it is live");
    }

    fn live(&self) -> usize {
        self.live.borrow().len()
    }

    /// The map that threads can share: a `DashMap`.
    fn by_key(&self) -> Option<ByKey> {
        let get: Arc<Shared<String, Addr<Bare>>> = Arc::default();
        let live = self.live.borrow();
        // In the order in which they were opened, as others have it.
        for key in (0..live.len()).map(key) {
            let addr = live.get(&key).expect("it is live").clone();
            get.insert(key, addr);
        }
        let tell = Arc::clone(&get);
        Some(ByKey {
            get: Arc::new(move |key| get.get(key).map(|addr| addr.clone()).is_some()),
            tell: Arc::new(move |key| tell.get(key).expect("it is live").do_send(Add(1))),
        })
    }

    fn begin_reply(&self, to: &Addr<Bare>, how: InTheMaking) -> bool {
        match how {
            InTheMaking::Future => to.do_send(ByFuture),
            InTheMaking::ActFuture => to.do_send(InContext),
        }
        true
    }
}
