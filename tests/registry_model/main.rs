//! The whole registry against a model: random callers, time, policies and watchers; after every step the registry must
//! be what `model.rs` says, and after its end nothing may be left.
//!
//! One thread, paused clock. `PROPTEST_CASES` sets how many runs; a failing run is shrunk to its shortest form.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

#[path = "../support/belief.rs"]
mod belief;
mod found;
mod life;
mod model;
mod replies;
mod rules;
mod session;
mod step;
mod verify;
mod watchers;
mod world;

use std::sync::Once;

use actix::System;
use proptest::prelude::*;

use self::{step::Finale, step::Step, world::World};

/// The panics that the sessions are told to make are not worth a line each; all others are shown.
fn quiet() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let show = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let words = info.payload().downcast_ref::<String>().map(String::as_str);
            let words = words.or(info.payload().downcast_ref::<&str>().copied());
            if !words.is_some_and(|words| words.starts_with("planned")) {
                show(info);
            }
        }));
    });
}

fn run(rules: rules::Rules, phase: u64, steps: &[Step], finale: Finale, after: &[Step]) {
    quiet();
    let paused = || tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    System::with_tokio_rt(paused).block_on(async {
        // Where the clock stands between two ticks of tokio's timer decides how deadlines are rounded.
        tokio::time::advance(std::time::Duration::from_micros(phase)).await;
        let mut world = World::new(rules);
        for step in steps {
            world.take(step).await;
        }
        world.begin_end(finale).await;
        for step in after {
            world.take(step).await;
        }
        world.end().await;
    });
}

proptest! {
    #[test]
    fn the_registry_is_what_the_model_says(
        rules in step::rules(),
        phase in prop::sample::select(vec![0, 250, 999]),
        steps in prop::collection::vec(step::step(), 1..60),
        finale in step::finale(),
        after in prop::collection::vec(step::step(), 0..6),
    ) {
        run(rules, phase, &steps, finale, &after);
    }
}
