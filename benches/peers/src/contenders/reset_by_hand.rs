//! What one writes by hand in actix: each message cancels the idle timer and starts it again, a second
//! timer is the maximum age, and whoever stops takes itself out of the map.

use std::{cell::RefCell, collections::hash_map::Entry, rc::Rc, time::Duration};

use actix::prelude::*;

use super::mail::{Add, Stop};
use crate::{
    contender::{Contender, Limits, Map, Times, key},
    ledger::Session,
};

type Live = Rc<RefCell<Map<Addr<ByHand>>>>;

pub(crate) struct ResetByHand {
    live: Live,
    limits: Limits,
}

pub(crate) struct ByHand {
    session: Session,
    key: String,
    live: Live,
    idle: Duration,
    max_age: Duration,
    timer: Option<SpawnHandle>,
}

impl ByHand {
    fn reset(&mut self, ctx: &mut Context<Self>) {
        if let Some(timer) = self.timer.take() {
            ctx.cancel_future(timer);
        }
        self.timer = Some(ctx.run_later(self.idle, |_, ctx| ctx.stop()));
    }
}

impl Actor for ByHand {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_later(self.max_age, |_, ctx| ctx.stop());
        self.reset(ctx);
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        self.live.borrow_mut().remove(&self.key);
    }
}

impl Handler<Add> for ByHand {
    type Result = u64;

    fn handle(&mut self, Add(n): Add, ctx: &mut Self::Context) -> u64 {
        self.reset(ctx);
        self.session.add(n)
    }
}

impl Handler<Stop> for ByHand {
    type Result = ();

    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) {
        ctx.stop();
    }
}

impl Contender for ResetByHand {
    type Address = Addr<ByHand>;

    async fn start(limits: Limits) -> Self {
        Self { live: Rc::default(), limits }
    }

    async fn open(&self, index: usize) -> Addr<ByHand> {
        let mut all = self.live.borrow_mut();
        let vacant = match all.entry(key(index)) {
            Entry::Occupied(addr) => return addr.get().clone(),
            Entry::Vacant(vacant) => vacant,
        };
        let Times { idle, max_age } = (self.limits.of)(index);
        let actor = ByHand {
            session: Session::new(index),
            key: vacant.key().clone(),
            live: Rc::clone(&self.live),
            idle,
            max_age,
            timer: None,
        };
        vacant.insert(actor.start()).clone()
    }

    fn tell(&self, to: &Addr<ByHand>, n: u64) {
        to.do_send(Add(n));
    }

    async fn ask(&self, to: &Addr<ByHand>, n: u64) -> u64 {
        to.send(Add(n)).await.expect("it is live")
    }

    async fn end(&self, index: usize) {
        let key = key(index);
        let addr = self.live.borrow().get(&key).cloned().expect("it was live");
        addr.send(Stop).await.expect("it is live");
        while self.live.borrow().contains_key(&key) {
            tokio::task::yield_now().await;
        }
    }

    fn live(&self) -> usize {
        self.live.borrow().len()
    }
}
