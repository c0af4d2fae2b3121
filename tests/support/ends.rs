//! Every way in which a session comes to its end on a paused clock.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

use session_actors::{EndReason, Limits, OnFull, Policy, SessionRegistry};

use crate::{
    hooked::{Do, Hooked, Mark, Script},
    support::{limits, secs},
};

/// The reasons that [`bring_about`] knows; `Aborted` needs an arbiter of its own.
pub const ALL_BUT_ABORTED: [EndReason; 8] = [
    EndReason::IdleTimeout,
    EndReason::MaxAge,
    EndReason::Stuck,
    EndReason::Closed,
    EndReason::Stopped,
    EndReason::Evicted,
    EndReason::Panicked,
    EndReason::Shutdown,
];

/// Limits by which the session of `a` ends for `reason` once it has been [brought about](bring_about).
pub fn limits_for(reason: EndReason) -> Limits {
    match reason {
        EndReason::MaxAge => limits().max_age(secs(7)),
        EndReason::Stuck => limits().max_busy(secs(3)),
        _ => limits(),
    }
}

pub fn registry_for(reason: EndReason, script: &Script) -> SessionRegistry<Hooked> {
    let policy = Policy::new(limits_for(reason)).max_sessions(1).on_full(OnFull::EvictIdle);
    script.builder().policy(policy).start().unwrap()
}

/// Does what makes the session of `a` end for `reason`; it has taken one message by then.
pub async fn bring_about(reason: EndReason, registry: &SessionRegistry<Hooked>) {
    match reason {
        EndReason::IdleTimeout | EndReason::MaxAge => registry.do_send("a", Mark("first")).unwrap(),
        EndReason::Stuck => registry.do_send("a", Do::block()).unwrap(),
        EndReason::Closed => {
            registry.do_send("a", Mark("first")).unwrap();
            drop(registry.close("a"));
        }
        EndReason::Stopped => registry.do_send("a", Do::stop()).unwrap(),
        EndReason::Evicted => {
            registry.send("a", Mark("first")).await.unwrap();
            registry.open("b").unwrap();
        }
        EndReason::Panicked => registry.do_send("a", Do::panic("boom")).unwrap(),
        EndReason::Shutdown => {
            registry.do_send("a", Mark("first")).unwrap();
            drop(registry.shutdown(secs(5)));
        }
        other => unreachable!("{other}"),
    }
}
