//! What an idle live session takes in memory, its registry included: counted by the allocator, so exact.

use super::{Figure, Scale};
use crate::{
    allocated::{allocated, count_from_here},
    contender::{Contender, Limits},
};

pub(super) async fn rest<C: Contender>(scale: Scale) -> Result<Vec<Figure>, String> {
    let counts = match scale {
        Scale::Full => vec![100_000, 1_000_000],
        Scale::Short => vec![1_000],
    };
    let contender = C::start(Limits::long()).await;
    count_from_here();
    let before = allocated();
    let mut figures = Vec::new();
    let mut opened = 0;
    for count in counts {
        for index in opened..count {
            let session = contender.open(index).await;
            contender.ask(&session, 1).await;
        }
        opened = count;
        if contender.live() != count {
            return Err(format!("{} of {count} are live", contender.live()));
        }
        let bytes = (allocated() - before) as f64 / count as f64;
        figures.push(Figure::new(&format!("at {count}"), bytes, "bytes a session"));
    }
    Ok(figures)
}
