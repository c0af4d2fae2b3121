//! Whole lives: opened, used once, ended.

use std::time::Instant;

use super::{Figure, Scale, each};
use crate::{
    contender::{Contender, Limits},
    watcher::Watcher,
};

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
    lives(&C::start(Limits::long()).await, None, scale).await
}

/// The same with somebody who watches.
pub(super) async fn churn_watched<C: Contender>(scale: Scale) -> Result<Vec<Figure>, String> {
    let (contender, watcher) = C::start_watched(Limits::long()).await.ok_or("it has nothing to watch with")?;
    lives(&contender, Some(watcher), scale).await
}

async fn lives<C: Contender>(contender: &C, watcher: Option<Watcher>, scale: Scale) -> Result<Vec<Figure>, String> {
    let count = scale.pick(200_000, 2_000);
    let begin = Instant::now();
    for index in 0..count {
        let session = contender.open(index).await;
        contender.ask(&session, 1).await;
        drop(session);
        contender.end(index).await;
    }
    if let Some(watcher) = watcher {
        watcher.wait_for(count).await?;
    }
    let figure = Figure::new("", each(begin, count), "ns a life");
    if contender.live() != 0 {
        return Err(format!("{} are left", contender.live()));
    }
    Ok(vec![figure])
}
