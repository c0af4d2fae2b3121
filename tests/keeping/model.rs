//! Sessions over several lives of their registry, against a model: messages, time, policies, a store that fails, records
//! that cannot be read, crashes and restarts, at random.
//!
//! `registry_model` knows mailboxes and work in flight to the last message; here it is what a session remembers, where it
//! is, and when it ends. A crash is what the store has at that moment: the next registry begins with a copy of it, in
//! which the time is that of the paused clock.
//!
//! `PROPTEST_CASES` sets how many runs; a failing run is shrunk to its shortest form.

mod case;
mod found;
mod life;
mod session;
mod step;

use proptest::prelude::*;

use self::{case::Case, step::Step};

/// Runs these steps, then lets everything come to its end.
pub fn run(steps: &[Step]) {
    let paused = || tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    actix::System::with_tokio_rt(paused).block_on(async {
        let mut case = Case::new();
        for step in steps {
            case.take(step).await;
        }
        case.end().await;
    });
}

fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(128)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases()) })]

    #[test]
    fn sessions_are_what_the_model_says_over_all_lives(steps in prop::collection::vec(step::step(), 1..40)) {
        run(&steps);
    }
}
