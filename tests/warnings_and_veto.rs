//! Warnings before a deadline, and the veto at the idle deadline (design, section 4).
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

#[path = "support/exact.rs"]
mod exact;
mod support;

use std::time::Duration;

use actix::prelude::*;
use exact::{Stopwatch, assert_about, assert_left, end_of, inside, next_of};
use session_actors::{
    EndReason, EventKind, Expiry, Limits, Policy, Session, SessionContext, SessionKey, SessionRegistry, Warning, Watch,
};
use support::*;
use tokio::time::sleep;

/// Ten seconds idle, warned three seconds before.
fn warning() -> Limits {
    limits().warn_before(secs(3))
}

/// The next `Warned` comes at this time.
async fn warned_at(watch: &mut Watch, clock: Stopwatch, at: Duration, reason: EndReason, left: Duration) {
    let event = next_of(watch, "warned").await;
    clock.assert_at(at, "warning");
    let EventKind::Warned { reason: of, remaining } = event.kind else { unreachable!() };
    assert_eq!(of, reason);
    assert_left(remaining, left, "remaining");
}

#[actix::test]
async fn a_warning_comes_once_before_the_end() {
    let clock = Stopwatch::start();
    let log = Log::default();
    let registry = registry(warning(), &log);
    let mut watch = registry.watch();
    let _ = registry.open("k").unwrap();
    warned_at(&mut watch, clock, secs(7), EndReason::IdleTimeout, secs(3)).await;
    end_of(&mut watch, "k").await;
    clock.assert_at(secs(10), "end");
    assert_eq!(registry.stats().warned, 1);
    let lines = log.take();
    assert!(lines[1].starts_with("k#1: warned idle_timeout in "), "the hook was called: {lines:?}");
    assert_eq!(lines.iter().filter(|line| line.contains("warned")).count(), 1);
}

#[actix::test]
async fn activity_after_a_warning_begins_another_approach() {
    let clock = Stopwatch::start();
    let registry = registry(warning(), &Log::default());
    let mut watch = registry.watch();
    let addr = registry.open("k").unwrap();
    warned_at(&mut watch, clock, secs(7), EndReason::IdleTimeout, secs(3)).await;
    clock.reach(secs(9)).await;
    addr.send(Ping).await.unwrap();
    warned_at(&mut watch, clock, secs(16), EndReason::IdleTimeout, secs(3)).await;
    // Opening the key moves the deadline without waking the session.
    clock.reach(secs(18)).await;
    let _ = registry.open("k").unwrap();
    warned_at(&mut watch, clock, secs(25), EndReason::IdleTimeout, secs(3)).await;
    end_of(&mut watch, "k").await;
    clock.assert_at(secs(28), "end");
    assert_eq!(registry.stats().warned, 3);
}

/// Activity before the warning is due moves it; none is given for a deadline that never came near.
#[actix::test]
async fn steady_traffic_is_never_warned() {
    let clock = Stopwatch::start();
    let registry = registry(warning(), &Log::default());
    let mut watch = registry.watch();
    let addr = registry.open("k").unwrap();
    for second in (6..600).step_by(6) {
        clock.reach(secs(second)).await;
        addr.send(Ping).await.unwrap();
    }
    assert_eq!(registry.stats().warned, 0);
    warned_at(&mut watch, clock, secs(594 + 7), EndReason::IdleTimeout, secs(3)).await;
}

/// The deadline stands, so there is nothing new to say.
#[actix::test]
async fn what_does_not_move_the_deadline_is_not_warned_of_again() {
    let clock = Stopwatch::start();
    let registry = registry(warning(), &Log::default());
    let mut watch = registry.watch();
    let addr = registry.open("k").unwrap();
    clock.reach(secs(8)).await;
    inside(&addr, |act, ctx| {
        ctx.passive();
        // Busy for a second: the idle deadline is off and comes back as it was.
        ctx.wait(sleep(secs(1)).into_actor(act));
    })
    .await;
    let _ = registry.info("k");
    let end = end_of(&mut watch, "k").await;
    clock.assert_at(secs(10), "end");
    assert_eq!((end.handled, registry.stats().warned), (1, 1));
}

#[actix::test]
async fn max_age_is_warned_of_once_whatever_the_traffic() {
    let clock = Stopwatch::start();
    let registry = registry(warning().max_age(secs(60)), &Log::default());
    let mut watch = registry.watch();
    let addr = registry.open("k").unwrap();
    for second in 1..60 {
        clock.reach(secs(second)).await;
        addr.send(Ping).await.unwrap();
    }
    let event = next_of(&mut watch, "warned").await;
    assert!(matches!(event.kind, EventKind::Warned { reason: EndReason::MaxAge, .. }), "{event:?}");
    end_of(&mut watch, "k").await;
    clock.assert_at(secs(60), "end");
    assert_eq!(registry.stats().warned, 1);
}

#[actix::test]
async fn a_busy_session_is_warned_of_its_max_age_only() {
    let clock = Stopwatch::start();
    let registry = registry(warning().max_age(secs(60)), &Log::default());
    let mut watch = registry.watch();
    let _reply = registry.send("k", Slow(secs(59)));
    warned_at(&mut watch, clock, secs(57), EndReason::MaxAge, secs(3)).await;
    end_of(&mut watch, "k").await;
    assert_eq!(registry.stats().warned, 1);
}

/// A deadline that comes nearer than `warn_before` by a change is warned of then, with the time left.
#[actix::test]
async fn a_deadline_that_is_suddenly_near_is_warned_of_at_once() {
    let clock = Stopwatch::start();
    let registry = registry(warning(), &Log::default());
    let mut watch = registry.watch();
    let addr = registry.open("k").unwrap();
    clock.reach(secs(5)).await;
    inside(&addr, |_, ctx| {
        ctx.passive();
        ctx.set_limits(Limits::new().idle_timeout(secs(7))).unwrap();
    })
    .await;
    warned_at(&mut watch, clock, secs(5), EndReason::IdleTimeout, secs(2)).await;
    end_of(&mut watch, "k").await;
    clock.assert_at(secs(7), "end");
}

// ---- the veto ----------------------------------------------------------------------------------

async fn extending(by: impl IntoIterator<Item = Duration>, addr: &Addr<Probe>) {
    let by: Vec<_> = by.into_iter().collect();
    inside(addr, |act, _| act.extend = by).await;
}

#[actix::test]
async fn an_extension_counts_from_the_deadline_and_is_asked_for_again() {
    let clock = Stopwatch::start();
    let log = Log::default();
    let registry = registry(limits(), &log);
    let mut watch = registry.watch();
    let addr = registry.open("k").unwrap();
    extending([secs(5), secs(30)], &addr).await;

    let extended = next_of(&mut watch, "extended").await;
    clock.assert_at(secs(10), "first");
    assert!(matches!(extended.kind, EventKind::Extended { by } if by == secs(5)), "{extended:?}");
    next_of(&mut watch, "extended").await;
    clock.assert_at(secs(15), "second");
    let ended = end_of(&mut watch, "k").await;
    clock.assert_at(secs(45), "end");
    assert_eq!(ended.reason, EndReason::IdleTimeout);
    assert_about(ended.idle, secs(45), "an extension is no activity");
    assert_eq!(log.count("expiring"), 3);
    assert_eq!(registry.stats().extended, 2);
}

#[actix::test]
async fn an_extension_never_shortens() {
    tokio::time::pause();
    // Extended to 70 s. A message whose own deadline is before that does not bring it nearer, one
    // whose deadline is after that counts as usual.
    for (message, end) in [(secs(20), secs(70)), (secs(65), secs(75))] {
        let clock = Stopwatch::running();
        let registry = registry(limits(), &Log::default());
        let mut watch = registry.watch();
        let addr = registry.open("k").unwrap();
        extending([secs(60)], &addr).await;
        clock.reach(message).await;
        addr.send(Ping).await.unwrap();
        end_of(&mut watch, "k").await;
        clock.assert_at(end, "end");
    }
}

#[actix::test]
async fn an_extension_of_nothing_is_the_end() {
    let clock = Stopwatch::start();
    let log = Log::default();
    let registry = registry(limits(), &log);
    let mut watch = registry.watch();
    let addr = registry.open("k").unwrap();
    extending([secs(0)], &addr).await;
    end_of(&mut watch, "k").await;
    clock.assert_at(secs(10), "end");
    assert_eq!((log.count("expiring"), registry.stats().extended), (1, 0));
}

#[actix::test]
async fn max_age_cannot_be_vetoed_nor_extended() {
    tokio::time::pause();
    for extension in [secs(100), Duration::MAX] {
        let clock = Stopwatch::running();
        let log = Log::default();
        let registry = registry(limits().max_age(secs(60)), &log);
        let mut watch = registry.watch();
        let addr = registry.open("k").unwrap();
        extending([extension, extension], &addr).await;
        let ended = end_of(&mut watch, "k").await;
        assert_eq!(ended.reason, EndReason::MaxAge);
        clock.assert_at(secs(60), "end");
        assert_eq!(log.count("expiring"), 1, "it is not asked about max age");
    }
}

#[actix::test]
async fn the_end_of_an_extension_is_warned_of() {
    let clock = Stopwatch::start();
    let registry = registry(warning(), &Log::default());
    let mut watch = registry.watch();
    let addr = registry.open("k").unwrap();
    extending([secs(20)], &addr).await;
    warned_at(&mut watch, clock, secs(7), EndReason::IdleTimeout, secs(3)).await;
    warned_at(&mut watch, clock, secs(27), EndReason::IdleTimeout, secs(3)).await;
    end_of(&mut watch, "k").await;
    clock.assert_at(secs(30), "end");
}

// ---- hooks that act ----------------------------------------------------------------------------

/// Uses its hooks instead of only noting them.
struct Active {
    goodbye: Option<Duration>,
    pings: u32,
}

impl Actor for Active {
    type Context = SessionContext<Self>;
}

impl Session for Active {
    /// Says goodbye to somebody before it goes.
    fn expiring(&mut self, ctx: &mut Self::Context) -> Expiry {
        if let Some(goodbye) = self.goodbye.take() {
            ctx.wait(sleep(goodbye).into_actor(self));
        }
        Expiry::End
    }

    /// Asks its client whether it is still there, and twice it is.
    fn warned(&mut self, _: Warning, ctx: &mut Self::Context) {
        self.pings += 1;
        if self.pings <= 2 {
            ctx.touch();
        }
    }
}

fn active(limits: Limits, goodbye: Option<Duration>) -> (SessionRegistry<Active>, Watch) {
    let registry = SessionRegistry::builder(move |_: &SessionKey| Active { goodbye, pings: 0 })
        .policy(Policy::new(limits))
        .start()
        .unwrap();
    let watch = registry.watch();
    let _ = registry.open("k").unwrap();
    (registry, watch)
}

#[actix::test]
async fn a_session_may_touch_itself_when_it_is_warned() {
    let clock = Stopwatch::start();
    let (registry, mut watch) = active(warning(), None);
    end_of(&mut watch, "k").await;
    // Warned at 7, 14 and 21 s.
    clock.assert_at(secs(24), "end");
    assert_eq!(registry.stats().warned, 3);
}

#[actix::test]
async fn work_that_expiring_begins_is_done_before_the_end() {
    let clock = Stopwatch::start();
    let (_registry, mut watch) = active(limits(), Some(secs(2)));
    let ended = end_of(&mut watch, "k").await;
    assert!(clock.elapsed() >= secs(12), "{:?}", clock.elapsed());
    assert_eq!((ended.reason, ended.cut), (EndReason::IdleTimeout, 0));
}
