//! Messages to sessions that are live: to one, to many, with and without an answer.

use std::{hint::black_box, time::Instant};

use super::{Figure, Scale, each};
use crate::{
    contender::{Contender, Limits},
    ledger::{handled, wait_for_handled},
};

/// Queued before anybody waits.
const BATCH: usize = 1_000;

pub(super) async fn tell_in_batches<C: Contender>(contender: &C, to: &[C::Address], count: usize, batch: usize) {
    let mut targets = to.iter().cycle();
    let mut left = count;
    while left > 0 {
        let queued = left.min(batch);
        let expected = handled() + queued as u64;
        for to in targets.by_ref().take(queued) {
            contender.tell(to, black_box(1));
        }
        wait_for_handled(expected).await;
        left -= queued;
    }
}

pub(super) async fn open_all<C: Contender>(contender: &C, count: usize) -> Vec<C::Address> {
    let mut all = Vec::with_capacity(count);
    for index in 0..count {
        let session = contender.open(index).await;
        contender.ask(&session, 0).await;
        all.push(session);
    }
    all
}

pub(super) async fn hot<C: Contender>(scale: Scale) -> Result<Vec<Figure>, String> {
    let count = scale.pick(1_000_000, 10_000);
    let contender = C::start(Limits::long()).await;
    let one = open_all(&contender, 1).await;
    tell_in_batches(&contender, &one, count / 10, BATCH).await;
    let begin = Instant::now();
    tell_in_batches(&contender, &one, count, BATCH).await;
    Ok(vec![Figure::new("", each(begin, count), "ns a message")])
}

pub(super) async fn spread<C: Contender>(scale: Scale) -> Result<Vec<Figure>, String> {
    let (sessions, rounds) = (scale.pick(100_000, 1_000), 10);
    let contender = C::start(Limits::long()).await;
    let all = open_all(&contender, sessions).await;
    // A young heap would favour whoever has allocated least until now.
    tell_in_batches(&contender, &all, sessions * rounds, sessions).await;
    let begin = Instant::now();
    tell_in_batches(&contender, &all, sessions * rounds, sessions).await;
    Ok(vec![Figure::new("", each(begin, sessions * rounds), "ns a message")])
}

pub(super) async fn reply<C: Contender>(scale: Scale) -> Result<Vec<Figure>, String> {
    let count = scale.pick(200_000, 2_000);
    let contender = C::start(Limits::long()).await;
    let one = contender.open(0).await;
    for _ in 0..count / 10 {
        contender.ask(&one, 1).await;
    }
    let begin = Instant::now();
    for _ in 0..count {
        black_box(contender.ask(&one, black_box(1)).await);
    }
    Ok(vec![Figure::new("", each(begin, count), "ns a round trip")])
}
