//! Whatever an actor does with its context, it goes through the same on both, in the same order and
//! at the same time: random scripts, with actix as the model.
//!
//! Cancelling is not among them: actix carries it out later than it could, so that what is due at
//! the same instant may still run.

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

fn script() -> impl Strategy<Value = Vec<Op>> {
    let leaf = prop_oneof![1 => Just(Op::Stop), 8 => Just(Op::Decline)];
    let op = leaf.prop_recursive(4, 40, 5, |inner| {
        let ops = prop::collection::vec(inner, 0..5);
        let time = (0..4_u64).prop_map(|n| 100 * n);
        prop_oneof![
            ops.clone().prop_map(Op::Notify),
            ops.clone().prop_map(Op::Send),
            (time.clone(), ops.clone()).prop_map(|(time, ops)| Op::Later(time, ops)),
            ops.clone().prop_map(Op::Spawn),
            (time.clone(), ops.clone()).prop_map(|(time, ops)| Op::SpawnSlow(time, ops)),
            ops.clone().prop_map(Op::Wait),
            (time, ops).prop_map(|(time, ops)| Op::WaitSlow(time, ops)),
        ]
    });
    prop::collection::vec(op, 1..6)
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
    fn an_actor_goes_through_the_same_on_both_contexts(script in script()) {
        let expected = run(actix_context::script::trace(script.clone()));
        prop_assert_eq!(run(session_context::script::trace(script)), expected);
    }
}
