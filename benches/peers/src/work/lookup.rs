//! By key, from one thread and from two: the address of a live session, and a message to it. Where a message is a call,
//! the sender's thread handles it; otherwise the sessions have a thread of their own, which waits until all is sent.

use std::{
    hint::black_box,
    sync::{Arc, Barrier},
    thread,
    time::Instant,
};

use super::{Figure, Scale};
use crate::{
    contender::{Contender, Limits, key},
    ledger::{handled, wait_for_handled},
};

pub(super) async fn lookup<C: Contender>(scale: Scale) -> Result<Vec<Figure>, String> {
    let sessions = scale.pick(100_000, 1_000);
    let contender = C::start(Limits::long()).await;
    let by_key = contender.by_key();
    for index in 0..sessions {
        let session = contender.open(index).await;
        contender.ask(&session, 0).await;
    }
    let mut figures = Vec::new();
    for threads in [1, 2] {
        let get = Arc::clone(&by_key.get);
        let (each, _) = timed(threads, sessions, scale.pick(1_000_000, 10_000), move |key| {
            assert!(black_box(get(key)), "it is live");
        });
        figures.push(Figure::new(&format!("get, {threads} threads"), each, "ns a look-up"));
    }
    for threads in [1, 2] {
        let count = scale.pick(200_000, 2_000);
        let expected = handled() + (threads * count) as u64;
        let tell = Arc::clone(&by_key.tell);
        let (each, by_senders) = timed(threads, sessions, count, move |key| tell(key));
        figures.push(Figure::new(&format!("send, {threads} threads"), each, "ns a message"));
        wait_for_handled(expected - by_senders).await;
    }
    Ok(figures)
}

/// Nanoseconds for each of all that the threads do, `count` each; and how many messages they have handled themselves.
fn timed(threads: usize, sessions: usize, count: usize, work: impl Fn(&str) + Send + Sync + 'static) -> (f64, u64) {
    let work = Arc::new(work);
    let ready = Arc::new(Barrier::new(threads + 1));
    let running: Vec<_> = (0..threads)
        .map(|thread| {
            let (work, ready) = (Arc::clone(&work), Arc::clone(&ready));
            thread::spawn(move || {
                let keys: Vec<String> = (0..sessions).map(key).collect();
                // As if by chance: a stride that has no factor in common with the number of sessions.
                let stride = 7_919;
                let mut at = thread * sessions / 2;
                ready.wait();
                for _ in 0..count {
                    at = (at + stride) % sessions;
                    work(&keys[at]);
                }
                handled()
            })
        })
        .collect();
    ready.wait();
    let begin = Instant::now();
    let by_threads = running.into_iter().map(|thread| thread.join().expect("it does not panic")).sum();
    (begin.elapsed().as_secs_f64() * 1e9 / (threads * count) as f64, by_threads)
}
