//! The floor: bare actix actors in a `HashMap`. No timers at all: nothing ends by itself, so it takes
//! no part in what is about ends.

use std::{cell::RefCell, collections::HashMap};

use actix::prelude::*;

use crate::{
    contender::{Contender, Limits, key},
    ledger::Session,
};

pub(crate) struct BareActix {
    live: RefCell<HashMap<String, Addr<Bare>>>,
}

pub(crate) struct Bare(Session);

#[derive(Message)]
#[rtype(result = "u64")]
pub(crate) struct Add(pub(crate) u64);

#[derive(Message)]
#[rtype(result = "()")]
struct Stop;

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
}
