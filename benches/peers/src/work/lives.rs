//! Whole lives: opened, used once, ended.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use super::{Figure, Scale, each};
use crate::contender::{Contender, Limits};

pub(super) async fn open<C: Contender>(scale: Scale) -> Result<Vec<Figure>, String> {
    let count = scale.pick(200_000, 2_000);
    let contender = C::start(Limits::long()).await;
    let mut kept = Vec::with_capacity(count);
    let begin = Instant::now();
    for index in 0..count {
        let session = contender.open(index).await;
        contender.ask(&session, 1).await;
        kept.push(session);
    }
    let figure = Figure::new("", each(begin, count), "ns a session");
    if contender.live() != count {
        return Err(format!("{} of {count} are live", contender.live()));
    }
    Ok(vec![figure])
}

pub(super) async fn churn<C: Contender>(scale: Scale) -> Result<Vec<Figure>, String> {
    lives::<C>(scale, false).await
}

/// The same with somebody who watches.
pub(super) async fn churn_watched<C: Contender>(scale: Scale) -> Result<Vec<Figure>, String> {
    lives::<C>(scale, true).await
}

async fn lives<C: Contender>(scale: Scale, watched: bool) -> Result<Vec<Figure>, String> {
    let count = scale.pick(200_000, 2_000);
    let told = Arc::new(AtomicUsize::new(0));
    let limits = Limits { watched: watched.then(|| Arc::clone(&told)), ..Limits::long() };
    let contender = C::start(limits).await;
    let begin = Instant::now();
    for index in 0..count {
        let session = contender.open(index).await;
        contender.ask(&session, 1).await;
        drop(session);
        contender.end(index).await;
    }
    // Who watches has read it all.
    while watched && told.load(Ordering::Relaxed) < count {
        if begin.elapsed() > Duration::from_secs(60) {
            return Err(format!("who watches was told of {told:?} ends of {count}"));
        }
        tokio::task::yield_now().await;
    }
    let figure = Figure::new("", each(begin, count), "ns a life");
    if contender.live() != 0 {
        return Err(format!("{} are left", contender.live()));
    }
    Ok(vec![figure])
}
