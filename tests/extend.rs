//! More time for a session, given from outside.
#![allow(missing_docs, clippy::unwrap_used)]

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use actix::prelude::*;
use session_actors::{
    EndReason, EventKind, Expiry, Limits, Mode, Policy, Session, SessionContext, SessionKey, SessionRegistry, Watch,
    Watched,
};
use tokio::time::{Instant, pause, sleep};

struct Chat;

impl Actor for Chat {
    type Context = SessionContext<Self>;
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

/// Idle for 10 s, 60 s old at most.
fn start() -> (SessionRegistry<Chat>, Watch, Instant) {
    pause();
    begin()
}

fn begin() -> (SessionRegistry<Chat>, Watch, Instant) {
    let limits = Limits::new().idle_timeout(secs(10)).max_age(secs(60));
    let registry = SessionRegistry::builder(|_: &SessionKey| Chat).policy(Policy::new(limits)).start().unwrap();
    let watch = registry.watch();
    registry.open("k").unwrap();
    (registry, watch, Instant::now())
}

/// Why it ended, and what it was granted before.
async fn end(watch: &mut Watch) -> (EndReason, Vec<Duration>) {
    let mut granted = Vec::new();
    loop {
        if let Watched::Event(event) = watch.next().await.unwrap() {
            match &event.kind {
                EventKind::Extended { by } => granted.push(*by),
                EventKind::Ended(ended) => return (ended.reason, granted),
                _ => {}
            }
        }
    }
}

#[actix::test]
async fn the_idle_end_comes_when_it_was_put_off_to_and_not_before() {
    let (registry, mut watch, begin) = start();
    sleep(secs(9)).await;
    assert!(registry.extend("k", secs(20)));
    tokio::task::yield_now().await;
    sleep(Duration::from_millis(1)).await;
    let left = registry.info("k").unwrap().expires_in.unwrap();
    assert!((secs(19)..=secs(20)).contains(&left), "{left:?}");
    assert_eq!(end(&mut watch).await, (EndReason::IdleTimeout, vec![secs(20)]));
    assert_eq!(begin.elapsed().as_secs(), 29);
}

#[actix::test]
async fn it_never_shortens_and_is_no_activity() {
    let (registry, mut watch, begin) = start();
    sleep(secs(4)).await;
    assert!(registry.extend("k", secs(1)));
    assert_eq!(end(&mut watch).await, (EndReason::IdleTimeout, vec![secs(1)]));
    assert_eq!(begin.elapsed().as_secs(), 10);
}

#[actix::test]
async fn the_longest_counts() {
    let (registry, mut watch, begin) = start();
    assert!(registry.extend("k", secs(30)));
    assert!(registry.extend("k", secs(20)));
    sleep(secs(1)).await;
    assert!(registry.extend("k", secs(25)));
    assert_eq!(end(&mut watch).await, (EndReason::IdleTimeout, vec![secs(30)]));
    assert_eq!(begin.elapsed().as_secs(), 30);
}

#[actix::test]
async fn the_greatest_age_stays() {
    let (registry, mut watch, begin) = start();
    assert!(registry.extend("k", Duration::MAX));
    assert_eq!(end(&mut watch).await.0, EndReason::MaxAge);
    assert_eq!(begin.elapsed().as_secs(), 60);
}

#[actix::test]
async fn who_is_not_there_or_drains_gets_nothing() {
    let (registry, mut watch, _) = start();
    assert!(!registry.extend("nobody", secs(20)));
    assert!(registry.info("nobody").is_none(), "it opened one");
    let work = registry.send("k", Work(secs(5)));
    let closed = registry.close("k");
    sleep(secs(1)).await;
    assert!(!registry.extend("k", secs(20)));
    work.await.unwrap();
    assert_eq!(closed.await.unwrap().reason, EndReason::Closed);
    assert_eq!(end(&mut watch).await, (EndReason::Closed, vec![]));
}

/// True means that it gets the time: whoever extends at the very moment of the end has it, or is told that it has not.
#[actix::test]
async fn at_the_last_moment_it_is_all_or_nothing() {
    pause();
    for early in 0..3 {
        let (registry, mut watch, begin) = begin();
        sleep(secs(10) - Duration::from_millis(early)).await;
        let got = registry.extend("k", secs(20));
        let (reason, granted) = end(&mut watch).await;
        assert_eq!((reason, granted.len()), (EndReason::IdleTimeout, usize::from(got)));
        assert_eq!(begin.elapsed() >= secs(29), got, "{:?}", begin.elapsed());
    }
}

/// Extends its own session from outside, at the moment of its end, and lets it end.
struct Undecided {
    registry: Arc<OnceLock<SessionRegistry<Self>>>,
    asked: Arc<AtomicUsize>,
}

impl Actor for Undecided {
    type Context = SessionContext<Self>;
}

impl Session for Undecided {
    fn expiring(&mut self, ctx: &mut Self::Context) -> Expiry {
        if self.asked.fetch_add(1, Ordering::SeqCst) == 0 {
            assert!(self.registry.get().unwrap().extend(ctx.key().as_str(), secs(5)));
        }
        Expiry::End
    }
}

#[actix::test]
async fn who_is_extended_while_it_is_asked_is_asked_again_when_that_is_over() {
    pause();
    let (registry, asked) = (Arc::new(OnceLock::new()), Arc::new(AtomicUsize::new(0)));
    let (its, counts) = (Arc::clone(&registry), Arc::clone(&asked));
    let make = move |_: &SessionKey| Undecided { registry: Arc::clone(&its), asked: Arc::clone(&counts) };
    let limits = Limits::new().idle_timeout(secs(10));
    let sessions = SessionRegistry::builder(make).policy(Policy::new(limits)).start().unwrap();
    registry.set(sessions.clone()).unwrap();
    let mut watch = sessions.watch();
    sessions.open("k").unwrap();
    let begin = Instant::now();
    assert_eq!(end(&mut watch).await, (EndReason::IdleTimeout, vec![secs(5)]));
    assert_eq!((begin.elapsed().as_secs(), asked.load(Ordering::SeqCst)), (15, 2));
}

/// Asks for more time itself, and has something to do afterwards.
#[derive(Message)]
#[rtype(result = "()")]
struct AskForMore(Duration);

impl Handler<AskForMore> for Chat {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, AskForMore(time): AskForMore, ctx: &mut Self::Context) -> Self::Result {
        assert!(ctx.registry().upgrade().unwrap().extend(ctx.key(), time));
        Box::pin(async {})
    }
}

/// The message begins a virtual life, and what it asks for is that life's.
#[actix::test]
async fn observed_a_session_keeps_what_the_message_that_begins_its_life_asked_for() {
    pause();
    let policy = Policy::new(Limits::new().idle_timeout(secs(10))).mode(Mode::Observe);
    let registry = SessionRegistry::builder(|_: &SessionKey| Chat).policy(policy).start().unwrap();
    let mut watch = registry.watch();
    let session = registry.open("k").unwrap();
    would_end(&mut watch).await;
    let begin = Instant::now();
    session.send(AskForMore(secs(100))).await.unwrap();
    would_end(&mut watch).await;
    assert!(begin.elapsed() >= secs(100), "after {:?}", begin.elapsed());
}

async fn would_end(watch: &mut Watch) {
    while let Some(watched) = watch.next().await {
        if let Watched::Event(event) = watched
            && matches!(event.kind, EventKind::WouldEnd { .. })
        {
            return;
        }
    }
}
