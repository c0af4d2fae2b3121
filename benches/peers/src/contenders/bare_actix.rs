//! The floor: bare actix actors in a `HashMap`. No timers at all: nothing ends by itself, so it takes
//! no part in what is about ends.

use actix::prelude::*;

use super::{
    keys::Keys,
    mail::{Add, ByFuture, HOUR, InContext, Stop},
};
use crate::{
    contender::{ByKey, Contender, InTheMaking, Limits, key},
    ledger::Session,
};

pub(crate) struct BareActix {
    live: Keys<Addr<Bare>>,
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

impl Contender for BareActix {
    type Address = Addr<Bare>;

    async fn start(_: Limits) -> Self {
        Self { live: Keys::default() }
    }

    async fn open(&self, index: usize) -> Addr<Bare> {
        self.live.open(index, |_| Bare(Session::new(index)).start())
    }

    fn tell(&self, to: &Addr<Bare>, n: u64) {
        to.do_send(Add(n));
    }

    async fn ask(&self, to: &Addr<Bare>, n: u64) -> u64 {
        to.send(Add(n)).await.expect("it is live")
    }

    async fn end(&self, index: usize) {
        let actor = self.live.remove(&key(index)).expect("it was live");
        actor.send(Stop).await.expect("it is live");
    }

    fn live(&self) -> usize {
        self.live.len()
    }

    fn by_key(&self) -> ByKey {
        self.live.by_key(|session| session.do_send(Add(1)))
    }

    fn begin_reply(&self, to: &Addr<Bare>, how: InTheMaking) -> bool {
        match how {
            InTheMaking::Future => to.do_send(ByFuture),
            InTheMaking::ActFuture => to.do_send(InContext),
        }
        true
    }
}
