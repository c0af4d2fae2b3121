//! This crate.

use std::{cell::RefCell, rc::Rc, sync::Arc, time::Duration};

use actix::prelude::*;
use session_actors::{
    EventKind, Limits as SessionLimits, Policy, SessionContext, SessionKey, SessionRegistry, Watched,
};

use super::mail::{Add, ByFuture, HOUR, InContext};
use crate::{
    contender::{ByKey, Contender, InTheMaking, Limits, Times, count, key},
    ledger::Session,
    work::cores::{OnArbiters, Run, Task},
};

pub(crate) struct SessionActors {
    registry: SessionRegistry<Live>,
}

pub(crate) struct Live(Session);

/// By the number of the session.
type TimesOf = Rc<dyn Fn(usize) -> Times>;

thread_local! {
    /// Where each session has times of its own; outside of it, because the comparison of memory is not about that.
    static TIMES: RefCell<Option<TimesOf>> = const { RefCell::new(None) };
}

impl Actor for Live {
    type Context = SessionContext<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let times = TIMES.with_borrow(|times| times.as_ref().map(|times| times(self.0.index())));
        if let Some(Times { idle, max_age }) = times {
            ctx.set_limits(SessionLimits::new().idle_timeout(idle).max_age(max_age)).expect("limits that make sense");
        }
    }
}

impl session_actors::Session for Live {}

impl Handler<Add> for Live {
    type Result = u64;

    fn handle(&mut self, Add(n): Add, _: &mut Self::Context) -> u64 {
        self.0.add(n)
    }
}

impl Handler<ByFuture> for Live {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: ByFuture, _: &mut Self::Context) -> Self::Result {
        Box::pin(tokio::time::sleep(HOUR))
    }
}

impl Handler<InContext> for Live {
    type Result = ResponseActFuture<Self, ()>;

    fn handle(&mut self, _: InContext, _: &mut Self::Context) -> Self::Result {
        Box::pin(tokio::time::sleep(HOUR).into_actor(self))
    }
}

fn number(key: &SessionKey) -> usize {
    key.as_str().rsplit(':').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

impl Handler<Run> for Live {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, Run(task): Run, _: &mut Self::Context) -> Self::Result {
        task()
    }
}

impl OnArbiters for SessionActors {
    type Address = Addr<Live>;

    async fn start_on(arbiters: usize) -> Self {
        let registry = SessionRegistry::builder(|key: &SessionKey| Live(Session::new(number(key))))
            .arbiters(arbiters)
            .start()
            .expect("it starts");
        Self { registry }
    }

    async fn open_on(&self, index: usize) -> (usize, Addr<Live>) {
        let session = self.registry.open(key(index)).expect("it opens");
        session.send(Add(0)).await.expect("it is live");
        (self.registry.info(key(index)).expect("it is live").host, session)
    }

    fn tell(to: &Addr<Live>, n: u64) {
        to.do_send(Add(n));
    }

    async fn run_at(at: &Addr<Live>, task: Task) {
        at.send(Run(task)).await.expect("it runs");
    }

    async fn stop(self) {
        self.registry.shutdown(Duration::from_secs(60)).await.expect("it is called from outside");
    }
}

impl Contender for SessionActors {
    type Address = Addr<Live>;

    async fn start(limits: Limits) -> Self {
        let Times { idle, max_age } = (limits.of)(0);
        let policy = Policy::new(SessionLimits::new().idle_timeout(idle).max_age(max_age));
        let registry = SessionRegistry::builder(|key: &SessionKey| Live(Session::new(number(key))))
            .policy(policy)
            .start()
            .expect("it starts");
        TIMES.set(limits.spread.then_some(limits.of));
        if let Some(ends) = limits.watched {
            let mut watch = registry.watch();
            actix::spawn(async move {
                while let Some(watched) = watch.next().await {
                    match watched {
                        Watched::Event(event) if matches!(event.kind, EventKind::Ended(_)) => count(&ends),
                        Watched::Lagged { .. } => panic!("it was told less than there is"),
                        _ => {}
                    }
                }
            });
        }
        Self { registry }
    }

    async fn open(&self, index: usize) -> Addr<Live> {
        self.registry.open(key(index)).expect("it opens")
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

    fn by_key(&self) -> Option<ByKey> {
        let (get, tell) = (self.registry.clone(), self.registry.clone());
        Some(ByKey {
            get: Arc::new(move |key| get.get(key).is_some()),
            tell: Arc::new(move |key| tell.do_send(key, Add(1)).expect("it is taken")),
        })
    }

    fn begin_reply(&self, to: &Addr<Live>, how: InTheMaking) -> bool {
        match how {
            InTheMaking::Future => to.do_send(ByFuture),
            InTheMaking::ActFuture => to.do_send(InContext),
        }
        true
    }
}
