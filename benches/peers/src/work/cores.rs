//! The same messages on one arbiter and on two: each arbiter's sessions get theirs from a sender on its own thread.
//! This crate has one registry for all of them. The others are there once for each thread, with nothing in common: a
//! runtime of its own is the best that they can get; in one that threads share, a session would be on this one and its
//! sender on another.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Barrier},
    thread,
    time::Instant,
};

use actix::{Message, System};
use tokio::task::yield_now;

use super::{
    Figure, Scale, each,
    messages::{open_all, tell_in_batches},
};
use crate::{
    contender::{Contender, Limits},
    ledger::handled,
};

/// What runs on the thread of a session.
pub(crate) type Task = Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = ()>>> + Send>;

/// Sent to a session: runs the task there.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Run(pub(crate) Task);

/// Who can spread sessions over arbiters.
pub(crate) trait OnArbiters: Sized + 'static {
    type Address: Clone + Send + 'static;

    /// On this many arbiters of its own.
    async fn start_on(arbiters: usize) -> Self;

    /// The session of this number, running, and the number of its arbiter.
    async fn open_on(&self, index: usize) -> (usize, Self::Address);

    fn tell(to: &Self::Address, n: u64);

    /// Runs a task on the thread of this session, to its end.
    async fn run_at(at: &Self::Address, task: Task);

    /// Ends all sessions and their threads; returns when that is done, so that it disturbs nothing that is measured next.
    async fn stop(self);
}

/// How many there are is a row of its own: memory that an earlier one has used and freed would slow down the next.
pub(crate) async fn cores<C: OnArbiters>(arbiters: usize, scale: Scale) -> Result<Vec<Figure>, String> {
    let sessions = scale.pick(100_000, 1_000);
    let share = sessions / arbiters;
    let spread = timed::<C>(arbiters, sessions, 10 * share, share).await?;
    let hot = timed::<C>(arbiters, arbiters, scale.pick(1_000_000, 10_000), 1_000).await?;
    Ok(vec![Figure::new("hot", hot, "ns a message"), Figure::new("spread", spread, "ns a message")])
}

/// Nanoseconds for each message of all, `messages` on each arbiter.
async fn timed<C: OnArbiters>(arbiters: usize, sessions: usize, messages: usize, batch: usize) -> Result<f64, String> {
    let contender = C::start_on(arbiters).await;
    let mut shares: Vec<Vec<C::Address>> = vec![Vec::new(); arbiters];
    let share = sessions / arbiters;
    // Where a key comes to lie is its hash's choice: as many are opened as are needed for equal shares.
    for index in 0.. {
        if shares.iter().all(|of_one| of_one.len() == share) {
            break;
        }
        if index > 100 * sessions + 1_000 {
            return Err("not every arbiter gets its share of the keys".into());
        }
        let (arbiter, session) = contender.open_on(index).await;
        if shares[arbiter].len() < share {
            shares[arbiter].push(session);
        }
    }
    // Once to warm up.
    all_at_once::<C>(&shares, messages / 10, batch).await;
    let begin = Instant::now();
    all_at_once::<C>(&shares, messages, batch).await;
    let each = each(begin, arbiters * messages);
    contender.stop().await;
    Ok(each)
}

async fn all_at_once<C: OnArbiters>(shares: &[Vec<C::Address>], messages: usize, batch: usize) {
    let running: Vec<_> = shares
        .iter()
        .map(|share| {
            let (at, to) = (share[0].clone(), share.clone());
            actix::spawn(
                async move { C::run_at(&at, Box::new(move || Box::pin(send::<C>(to, messages, batch)))).await },
            )
        })
        .collect();
    for one in running {
        one.await.expect("it does not panic");
    }
}

/// On the thread of those it sends to.
async fn send<C: OnArbiters>(to: Vec<C::Address>, messages: usize, batch: usize) {
    let mut targets = to.iter().cycle();
    let mut left = messages;
    while left > 0 {
        let queued = left.min(batch);
        let expected = handled() + queued as u64;
        for to in targets.by_ref().take(queued) {
            C::tell(to, 1);
        }
        while handled() < expected {
            yield_now().await;
        }
        left -= queued;
    }
}

/// For those that know nothing of arbiters: each thread with a contender of its own.
pub(crate) fn cores_apart<C: Contender>(threads: usize, scale: Scale) -> Result<Vec<Figure>, String> {
    let share = scale.pick(100_000, 1_000) / threads;
    let spread = timed_apart::<C>(threads, share, 10 * share, share);
    let hot = timed_apart::<C>(threads, 1, scale.pick(1_000_000, 10_000), 1_000);
    Ok(vec![Figure::new("hot", hot, "ns a message"), Figure::new("spread", spread, "ns a message")])
}

/// `share` sessions on each thread.
fn timed_apart<C: Contender>(threads: usize, share: usize, messages: usize, batch: usize) -> f64 {
    let together = Arc::new(Barrier::new(threads + 1));
    let running: Vec<_> = (0..threads)
        .map(|_| {
            let together = Arc::clone(&together);
            thread::spawn(move || {
                System::new().block_on(async {
                    let contender = C::start(Limits::long()).await;
                    let all = open_all(&contender, share).await;
                    tell_in_batches(&contender, &all, messages / 10, batch).await;
                    together.wait();
                    tell_in_batches(&contender, &all, messages, batch).await;
                    together.wait();
                });
            })
        })
        .collect();
    together.wait();
    let begin = Instant::now();
    together.wait();
    let each = each(begin, threads * messages);
    for thread in running {
        thread.join().expect("it does not panic");
    }
    each
}
