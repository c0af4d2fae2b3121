//! What the model has found, in its shortest form, so that it is tried in every run.

use super::{run, step::Step::*};

/// A session in memory was passed over when the deadlines were computed anew, and its record kept the old one.
#[test]
fn a_session_in_memory_saves_its_new_deadline() {
    run(&[GiveForKeeps(0), SetPolicy(3), Pass(3), Crash(3)]);
    run(&[SetPolicy(3), GiveForKeeps(0), SetPolicy(0), Pass(3), Crash(0), Pass(40)]);
}

/// Its reply waited for the store, so it was saved as active at that moment, and ended later than it should have.
#[test]
fn a_passive_message_with_a_reply_that_waits_is_no_activity_in_the_store_either() {
    run(&[SetPolicy(1), Give(0), Pass(28), Look(0)]);
}

/// The end was told, and its removal is owed in memory alone.
#[test]
fn what_was_not_removed_at_an_end_may_come_back_after_a_crash_and_ends_then() {
    run(&[GiveForKeeps(2), FailWrites(true), Close(2), GiveForKeeps(2), Crash(0), Pass(40)]);
}
