//! What one writes by hand in actix: each message cancels the idle timer and starts it again, a second
//! timer is the maximum age, and whoever stops takes itself out of the map.

use std::{rc::Rc, sync::Arc, time::Duration};

use actix::prelude::*;

use super::{
    keys::Keys,
    mail::{Add, Stop},
};
use crate::{
    contender::{ByKey, Contender, Limits, key},
    ledger::Session,
};

type Live = Rc<Keys<Addr<ByHand>>>;

pub(crate) struct ResetByHand {
    live: Live,
    limits: Limits,
}

pub(crate) struct ByHand {
    session: Session,
    key: Arc<str>,
    live: Live,
    idle: Duration,
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
        self.reset(ctx);
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        self.live.remove(&self.key);
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
        self.live.open(index, |key| {
            let lasts = (self.limits.of)(index);
            let (session, key, live) = (Session::new(index), Arc::clone(key), Rc::clone(&self.live));
            ByHand::create(|ctx| {
                ctx.run_later(lasts.max_age, |_, ctx| ctx.stop());
                ByHand { session, key, live, idle: lasts.idle, timer: None }
            })
        })
    }

    fn tell(&self, to: &Addr<ByHand>, n: u64) {
        to.do_send(Add(n));
    }

    async fn ask(&self, to: &Addr<ByHand>, n: u64) -> u64 {
        to.send(Add(n)).await.expect("it is live")
    }

    async fn end(&self, index: usize) {
        let key = key(index);
        self.live.get(&key).expect("it was live").send(Stop).await.expect("it is live");
        while self.live.has(&key) {
            tokio::task::yield_now().await;
        }
    }

    fn live(&self) -> usize {
        self.live.len()
    }

    fn by_key(&self) -> ByKey {
        self.live.by_key(|session| session.do_send(Add(1)))
    }
}
