//! This crate.

use std::time::Duration;

use actix::prelude::*;
use session_actors::{Limits as SessionLimits, Policy, SessionContext, SessionKey, SessionRegistry};

use crate::{
    contender::{Contender, Limits, key},
    ledger::Session,
};

pub(crate) struct SessionActors {
    registry: SessionRegistry<Live>,
    limits: Limits,
}

pub(crate) struct Live {
    session: Session,
    /// Boxed, because the comparison of memory is not about this.
    idle: Option<Box<Duration>>,
}

#[derive(Message)]
#[rtype(result = "u64")]
pub(crate) struct Add(pub(crate) u64);

impl Actor for Live {
    type Context = SessionContext<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        // Only where each session has an idle time of its own.
        if let Some(idle) = self.idle.as_deref().copied() {
            ctx.set_limits(SessionLimits::new().idle_timeout(idle)).expect("limits that make sense");
        }
    }
}

impl session_actors::Session for Live {}

impl Handler<Add> for Live {
    type Result = u64;

    fn handle(&mut self, Add(n): Add, _: &mut Self::Context) -> u64 {
        self.session.add(n)
    }
}

fn number(key: &SessionKey) -> usize {
    key.as_str().rsplit(':').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

impl Contender for SessionActors {
    type Address = Addr<Live>;

    async fn start(limits: Limits) -> Self {
        let all = (limits.idle)(0);
        let policy = Policy::new(SessionLimits::new().idle_timeout(all).max_age(limits.max_age));
        let registry =
            SessionRegistry::builder(|key: &SessionKey| Live { session: Session::new(number(key)), idle: None })
                .policy(policy)
                .start()
                .expect("it starts");
        Self { registry, limits }
    }

    async fn open(&self, index: usize) -> Addr<Live> {
        let idle = (self.limits.idle)(index);
        if idle == (self.limits.idle)(0) {
            return self.registry.open(key(index)).expect("it opens");
        }
        let make = move |_: &SessionKey| Live { session: Session::new(index), idle: Some(Box::new(idle)) };
        self.registry.open_with(key(index), make).expect("it opens")
    }

    fn tell(&self, to: &Addr<Live>, n: u64) {
        to.do_send(Add(n));
    }

    async fn ask(&self, to: &Addr<Live>, n: u64) -> u64 {
        to.send(Add(n)).await.expect("it is live")
    }

    async fn end(&self, index: usize) {
        self.registry.close(key(index)).await.expect("it was live");
    }

    fn live(&self) -> usize {
        self.registry.len()
    }
}
