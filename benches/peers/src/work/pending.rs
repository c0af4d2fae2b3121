//! A quick message to a session that has five thousand replies in the making.

use std::{hint::black_box, time::Instant};

use super::{Figure, Scale, each};
use crate::contender::{Contender, InTheMaking, Limits};

pub(super) async fn pending<C: Contender>(scale: Scale) -> Result<Vec<Figure>, String> {
    let (replies, count) = (scale.pick(5_000, 50), scale.pick(2_000, 100));
    let mut figures = Vec::new();
    for (name, how) in [("ResponseFuture", InTheMaking::Future), ("ResponseActFuture", InTheMaking::ActFuture)] {
        let contender = C::start(Limits::long()).await;
        let session = contender.open(0).await;
        for _ in 0..replies {
            if !contender.begin_reply(&session, how) {
                return Err("its replies are not made so".into());
            }
        }
        for _ in 0..count / 10 {
            contender.ask(&session, 1).await;
        }
        let begin = Instant::now();
        for _ in 0..count {
            black_box(contender.ask(&session, black_box(1)).await);
        }
        figures.push(Figure::new(name, each(begin, count), "ns a round trip"));
    }
    Ok(figures)
}
