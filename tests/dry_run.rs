//! What a policy would do is told before it does it.
#![allow(missing_docs, clippy::unwrap_used)]

use std::time::Duration;

use actix::prelude::*;
use session_actors::{
    EndReason, Limits, Mode, Policy, PolicyError, Session, SessionContext, SessionKey, SessionRegistry,
};
use tokio::time::{pause, sleep};

struct Chat;

impl Actor for Chat {
    type Context = SessionContext<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        if ctx.key().as_str().starts_with("own:") {
            ctx.set_limits(Limits::new().idle_timeout(secs(3600))).unwrap();
        }
    }
}

impl Session for Chat {}

#[derive(Message)]
#[rtype(result = "()")]
struct Work(Duration);

impl Handler<Work> for Chat {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, Work(time): Work, _: &mut Self::Context) -> Self::Result {
        Box::pin(sleep(time))
    }
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Idle: `a` and `hook:b` 100 s, `own:c` as long, `e` 10 s; `d` works for 95 s. All but `e` are 100 s old.
async fn start() -> SessionRegistry<Chat> {
    pause();
    let policy = Policy::new(Limits::new().idle_timeout(secs(600)).max_age(None));
    let registry = SessionRegistry::builder(|_: &SessionKey| Chat).policy(policy).start().unwrap();
    for key in ["a", "hook:b", "own:c"] {
        registry.open(key).unwrap();
    }
    actix::spawn(registry.send("d", Work(secs(1000))));
    sleep(secs(90)).await;
    registry.open("e").unwrap();
    sleep(secs(10)).await;
    registry
}

fn keys(keys: &[SessionKey]) -> Vec<&str> {
    keys.iter().map(SessionKey::as_str).collect()
}

#[actix::test]
async fn it_names_who_would_be_over_and_ends_nobody() {
    let registry = start().await;
    let policy = Policy::new(Limits::new().idle_timeout(secs(60)).max_age(None).max_busy(secs(50)))
        .rule("hook:*", Limits::new().idle_timeout(secs(600)))
        .max_sessions(2);
    let run = registry.dry_run(policy.clone()).unwrap();
    assert_eq!((run.live, run.changed, run.own_limits, run.over_cap), (5, 5, 1, 3));
    assert_eq!(keys(&run.sessions), ["a", "d"]);
    assert_eq!((run.would_end.get(EndReason::IdleTimeout), run.would_end.get(EndReason::Stuck)), (1, 1));
    assert_eq!(run.would_end.total(), 2);
    sleep(secs(1)).await;
    assert_eq!((registry.len(), registry.policy().get_max_sessions()), (5, None));

    registry.set_policy(policy).unwrap();
    sleep(Duration::from_millis(100)).await;
    let left: Vec<_> = registry.list().into_iter().map(|info| info.key.to_string()).collect();
    assert_eq!(left, ["hook:b", "own:c", "e"]);
}

#[actix::test]
async fn age_comes_first_and_more_time_counts() {
    let registry = start().await;
    let run = registry.dry_run(Policy::new(Limits::new().max_age(secs(50)))).unwrap();
    assert_eq!((run.would_end.get(EndReason::MaxAge), run.would_end.total()), (4, 4));
    assert_eq!(keys(&run.sessions), ["a", "hook:b", "own:c", "d"]);

    assert!(registry.extend("a", secs(500)));
    sleep(Duration::from_millis(1)).await;
    let run = registry.dry_run(Policy::new(Limits::new().idle_timeout(secs(50)).max_age(None))).unwrap();
    assert_eq!(keys(&run.sessions), ["hook:b"]);
}

#[actix::test]
async fn an_observing_policy_ends_nobody_and_a_wrong_one_is_refused() {
    let registry = start().await;
    let observing = Policy::new(Limits::new().max_age(secs(1))).mode(Mode::Observe).max_sessions(1);
    let run = registry.dry_run(observing).unwrap();
    assert_eq!((run.would_end.total(), run.over_cap), (0, 0));
    let wrong = registry.dry_run(Policy::new(Limits::new().idle_timeout(Duration::ZERO))).unwrap_err();
    assert!(matches!(wrong, PolicyError::ZeroDuration { .. }));
    let needs_a_store = registry.dry_run(Policy::new(Limits::new().passivate_after(secs(1)))).unwrap_err();
    assert!(matches!(needs_a_store, PolicyError::NoStore { .. }));
}
