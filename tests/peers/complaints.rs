//! What users of another gateway have complained about, as regressions. The number in a name is that
//! of an issue of OpenClaw.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use crate::exact::{Stopwatch, end_of, inside};
use crate::support::*;
use actix::prelude::*;
use session_actors::{
    EndReason, Limits, Mode, OnFull, OpenError, Policy, Session, SessionContext, SessionKey, SessionRegistry,
    StartError,
};

fn keys(registry: &SessionRegistry<Probe>) -> Vec<String> {
    registry.list().iter().map(|info| info.key.to_string()).collect()
}

/// Writing a route or a title down refreshed the stamp, so idle never fired.
#[actix::test]
async fn openclaw_11520_bookkeeping_does_not_refresh_idle() {
    let clock = Stopwatch::start();
    let registry = registry(limits(), &Log::default());
    let mut watch = registry.watch();
    let addr = registry.open("k").unwrap();
    for second in 1..10 {
        clock.reach(secs(second)).await;
        inside(&addr, |_, ctx| ctx.passive()).await;
        let _ = (registry.list(), registry.info("k"));
    }
    end_of(&mut watch, "k").await;
    clock.assert_at(secs(10), "end");
}

/// Cleanup killed a running session: neither the cap nor the age may.
#[actix::test]
async fn openclaw_56034_a_running_session_is_not_evicted_nor_cut_by_its_age() {
    let clock = Stopwatch::start();
    let limits = limits().max_age(secs(60)).drain_timeout(None);
    let registry = registry_by(Policy::new(limits).max_sessions(1).on_full(OnFull::EvictIdle), &Log::default());
    let running = registry.send("running", Slow(secs(600)));
    clock.reach(secs(30)).await;
    assert!(matches!(registry.open("new"), Err(OpenError::AtCapacity { .. })));
    assert_eq!(running.await.unwrap(), "slow");
    clock.assert_at(secs(600), "ten times its age");
}

/// Zero meant "off" in the documents and "delete everything" in the code.
#[actix::test]
async fn openclaw_121106_zero_is_neither_off_nor_at_once() {
    let zero = Policy::new(limits().idle_timeout(secs(0)));
    let started = SessionRegistry::builder(|key| Probe::new(key, &Log::default())).policy(zero).start();
    let Err(StartError::Policy(error)) = started else { panic!("{started:?}") };
    assert_eq!(error.to_string(), r#"idle_timeout is zero; write "never" to switch it off"#);
}

/// Pruning by age ran only once the count was over its limit.
#[actix::test]
async fn openclaw_103956_age_holds_below_the_cap() {
    let clock = Stopwatch::start();
    let policy = Policy::new(limits().idle_timeout(None).max_age(secs(60))).max_sessions(500);
    let registry = registry_by(policy, &Log::default());
    let mut watch = registry.watch();
    for n in 0..3 {
        let _ = registry.open(n.to_string()).unwrap();
    }
    for _ in 0..3 {
        assert_eq!(next_end(&mut watch).await.1.reason, EndReason::MaxAge);
        clock.assert_at(secs(60), "end");
    }
}

/// A dry run that counted something else than what was then done.
#[actix::test]
async fn openclaw_83124_a_dry_run_counts_what_would_be_done() {
    let clock = Stopwatch::start();
    let policy = Policy::new(limits()).exclude("main").rule("hook:*", Limits::new().idle_timeout(secs(100)));
    let registry = registry_by(policy.clone().mode(Mode::Observe), &Log::default());
    for key in ["main", "hook:1", "user:1", "user:2", "user:3"] {
        let _ = registry.open(key).unwrap();
    }
    clock.reach(secs(50)).await;
    let dry = registry.stats().would_end;
    registry.set_policy(policy).unwrap();
    settle().await;
    assert_eq!((dry, registry.stats().ended.get(EndReason::IdleTimeout)), (3, 3));
    assert_eq!(keys(&registry), ["main", "hook:1"]);
}

/// Children outlived their session until there were no processes left. Here they are actors whose
/// address is in it; however it ends, they are let go.
#[actix::test]
async fn openclaw_68916_the_children_of_a_session_stop_with_it() {
    struct Child(Arc<AtomicUsize>);
    impl Actor for Child {
        type Context = Context<Self>;
        fn stopped(&mut self, _: &mut Self::Context) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }
    struct Parent {
        children: Vec<Addr<Child>>,
        alive: Arc<AtomicUsize>,
    }
    impl Actor for Parent {
        type Context = SessionContext<Self>;
        fn started(&mut self, _: &mut Self::Context) {
            for _ in 0..3 {
                self.alive.fetch_add(1, Ordering::SeqCst);
                self.children.push(Child(Arc::clone(&self.alive)).start());
            }
        }
    }
    impl Session for Parent {}
    impl Handler<Boom> for Parent {
        type Result = ();
        fn handle(&mut self, boom: Boom, _: &mut Self::Context) {
            panic!("{}", boom.0);
        }
    }
    impl Handler<Slow> for Parent {
        type Result = ResponseActFuture<Self, &'static str>;
        fn handle(&mut self, slow: Slow, _: &mut Self::Context) -> Self::Result {
            Box::pin(tokio::time::sleep(slow.0).into_actor(self).map(|(), _, _| "slow"))
        }
    }

    tokio::time::pause();
    quiet_panics();
    let alive = Arc::new(AtomicUsize::new(0));
    let registry = {
        let alive = Arc::clone(&alive);
        SessionRegistry::builder(move |_: &SessionKey| Parent { children: Vec::new(), alive: Arc::clone(&alive) })
            .policy(Policy::new(limits()))
            .start()
            .unwrap()
    };
    let mut watch = registry.watch();
    let _ = (registry.open("idle").unwrap(), registry.open("closed").unwrap());
    registry.do_send("cut", Slow(secs(600))).unwrap();
    settle().await;
    assert_eq!(alive.load(Ordering::SeqCst), 9);
    drop((registry.close("closed"), registry.close("cut")));
    registry.do_send("panicked", Boom("boom")).unwrap();
    for reason in [EndReason::Closed, EndReason::Panicked, EndReason::Closed, EndReason::IdleTimeout] {
        assert_eq!(next_end(&mut watch).await.1.reason, reason);
    }
    settle().await;
    assert_eq!(alive.load(Ordering::SeqCst), 0);
}

/// Sessions that nobody used any more took up the limit, and no new one could be begun.
#[actix::test]
async fn openclaw_67638_idle_sessions_do_not_eat_the_cap() {
    let clock = Stopwatch::start();
    let policy = Policy::new(limits().idle_timeout(secs(3600))).max_sessions(5).on_full(OnFull::EvictIdle);
    let registry = registry_by(policy, &Log::default());
    for n in 0..100 {
        clock.reach(secs(n)).await;
        assert_eq!(registry.send(format!("k{n}"), Ping).await.unwrap(), 1);
    }
    let stats = registry.stats();
    assert_eq!((stats.refused, stats.keys, stats.ended.get(EndReason::Evicted)), (0, 5, 95));
}
