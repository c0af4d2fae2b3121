//! Runs a random script on one of the contexts.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use actix::prelude::*;
use tokio::time::sleep;

use super::{Ctx, act::Act, act::Do};
use crate::{
    equivalence::Op,
    support::{Log, millis, secs},
};

/// Sent to itself.
#[derive(Message)]
#[rtype(result = "()")]
struct Script {
    ops: Vec<Op>,
    steps: Arc<AtomicU32>,
}

impl Handler<Script> for Act {
    type Result = ();

    fn handle(&mut self, script: Script, ctx: &mut Self::Context) {
        play(self, ctx, script.ops, &script.steps);
    }
}

/// Does one thing after the other, and notes each by its number.
fn play(act: &mut Act, ctx: &mut Ctx<Act>, ops: Vec<Op>, steps: &Arc<AtomicU32>) {
    for op in ops {
        let step = steps.fetch_add(1, Ordering::Relaxed);
        act.note(format!("{step} {}", op.name()));
        let (steps, script) = (Arc::clone(steps), |ops, steps: &Arc<_>| Script { ops, steps: Arc::clone(steps) });
        match op {
            Op::Notify(ops) => ctx.notify(script(ops, &steps)),
            Op::Send(ops) => ctx.address().do_send(script(ops, &steps)),
            Op::Later(time, ops) => {
                ctx.run_later(millis(time), move |act, ctx| play(act, ctx, ops, &steps));
            }
            Op::Spawn(ops) => {
                ctx.spawn(async {}.into_actor(act).map(move |(), act, ctx| play(act, ctx, ops, &steps)));
            }
            Op::SpawnSlow(time, ops) => {
                ctx.spawn(sleep(millis(time)).into_actor(act).map(move |(), act, ctx| play(act, ctx, ops, &steps)));
            }
            Op::Wait(ops) => ctx.wait(async {}.into_actor(act).map(move |(), act, ctx| play(act, ctx, ops, &steps))),
            Op::WaitSlow(time, ops) => {
                ctx.wait(sleep(millis(time)).into_actor(act).map(move |(), act, ctx| play(act, ctx, ops, &steps)));
            }
            Op::Stop => ctx.stop(),
            Op::Decline => act.declines += 1,
        }
    }
}

pub(crate) async fn trace(ops: Vec<Op>) -> Vec<String> {
    let log = Log::default();
    let (addr, _registry) = super::run(Act::new(&log));
    let steps = Arc::default();
    addr.do_send(Do::new(move |act, ctx| play(act, ctx, ops, &steps)));
    sleep(secs(100)).await;
    log.lines()
}
