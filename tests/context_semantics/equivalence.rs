//! Whatever an actor does with its context, it goes through the same on both, in the same order and
//! at the same time: random scripts, with actix as the model.
//!
//! Left out is what actix does later than it says: what is cancelled may still run if it is due at
//! the same instant, and a `ctx.wait` of a message begins only when what was spawned before has been
//! polled once more.

use actix::System;
use proptest::prelude::*;

use crate::{actix_context, session_context};

#[derive(Clone, Debug)]
pub(crate) enum Op {
    Notify(Vec<Op>),
    /// Through its own mailbox.
    Send(Vec<Op>),
    Later(u64, Vec<Op>),
    Spawn(Vec<Op>),
    SpawnSlow(u64, Vec<Op>),
    Wait(Vec<Op>),
    WaitSlow(u64, Vec<Op>),
    Stop,
    /// It will decline to stop once more.
    Decline,
}

impl Op {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Notify(_) => "notifies",
            Self::Send(_) => "sends",
            Self::Later(..) => "sets a timer",
            Self::Spawn(_) => "spawns",
            Self::SpawnSlow(..) => "spawns slowly",
            Self::Wait(_) => "waits",
            Self::WaitSlow(..) => "waits long",
            Self::Stop => "stops",
            Self::Decline => "will decline",
        }
    }
}

/// What a message does, or something that was spawned.
fn ops(depth: u32, in_message: bool) -> BoxedStrategy<Vec<Op>> {
    let leaf = prop_oneof![1 => Just(Op::Stop), 2 => Just(Op::Decline)];
    if depth == 0 {
        return prop::collection::vec(leaf, 0..2).boxed();
    }
    let (message, spawned) = (ops(depth - 1, true), ops(depth - 1, false));
    let time = (0..4_u64).prop_map(|n| 100 * n);
    let other = prop_oneof![
        spawned.clone().prop_map(Op::Notify),
        message.prop_map(Op::Send),
        (time.clone(), spawned.clone()).prop_map(|(time, ops)| Op::Later(time, ops)),
        spawned.clone().prop_map(Op::Spawn),
        (time.clone(), spawned.clone()).prop_map(|(time, ops)| Op::SpawnSlow(time, ops)),
    ];
    let wait = prop_oneof![
        spawned.clone().prop_map(Op::Wait),
        (time, spawned).prop_map(|(time, ops)| Op::WaitSlow(time, ops)),
    ];
    let op = if in_message {
        prop_oneof![1 => leaf, 12 => other].boxed()
    } else {
        prop_oneof![1 => leaf, 12 => other, 4 => wait].boxed()
    };
    prop::collection::vec(op, 0..5).boxed()
}

/// What an actor goes through, on a clock of its own.
fn run(trace: impl Future<Output = Vec<String>>) -> Vec<String> {
    System::new().block_on(async {
        tokio::time::pause();
        trace.await
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_actor_goes_through_the_same_on_both_contexts(script in ops(4, true)) {
        let expected = run(actix_context::script::trace(script.clone()));
        prop_assert_eq!(run(session_context::script::trace(script)), expected);
    }
}
