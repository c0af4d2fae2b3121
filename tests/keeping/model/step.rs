//! What can happen.

use std::time::Duration;

use proptest::prelude::*;
use session_actors::{Checkpoint, Limits};

pub const KEYS: [&str; 3] = ["a", "b", "c"];

#[derive(Debug, Clone)]
pub enum Step {
    /// A number for a session, by its key.
    Give(usize),
    /// By an address that somebody has kept.
    GiveByAddress(usize),
    /// A number, and a checkpoint.
    GiveForKeeps(usize),
    /// No activity.
    Look(usize),
    /// Keeps the address that it opens.
    Open(usize),
    Own(usize, bool),
    Resident(usize, bool),
    /// It asks for 40 s more at its next idle end.
    Extend(usize),
    Stop(usize),
    Close(usize),
    Pass(u64),
    SetPolicy(usize),
    /// The store fails to read, or to write, from now on, or no longer.
    FailReads(bool),
    FailWrites(bool),
    /// What is kept of a key that is not in memory becomes unreadable.
    Damage(usize),
    Crash(usize),
    Restart(usize),
}

pub fn step() -> impl Strategy<Value = Step> {
    let key = || 0..KEYS.len();
    let policy = || 0..POLICIES;
    prop_oneof![
        10 => key().prop_map(Step::Give),
        3 => key().prop_map(Step::GiveByAddress),
        2 => key().prop_map(Step::GiveForKeeps),
        2 => key().prop_map(Step::Look),
        2 => key().prop_map(Step::Open),
        1 => (key(), any::<bool>()).prop_map(|(key, own)| Step::Own(key, own)),
        1 => (key(), any::<bool>()).prop_map(|(key, resident)| Step::Resident(key, resident)),
        1 => key().prop_map(Step::Extend),
        1 => key().prop_map(Step::Stop),
        1 => key().prop_map(Step::Close),
        10 => (1..40_u64).prop_map(Step::Pass),
        2 => policy().prop_map(Step::SetPolicy),
        1 => prop::bool::weighted(0.3).prop_map(Step::FailReads),
        2 => prop::bool::weighted(0.4).prop_map(Step::FailWrites),
        1 => key().prop_map(Step::Damage),
        2 => policy().prop_map(Step::Crash),
        2 => policy().prop_map(Step::Restart),
    ]
}

pub const POLICIES: usize = 5;

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Steps come at whole seconds, deadlines do not: no step is just when something is due.
pub fn policy(number: usize) -> Limits {
    let limits = Limits::new().idle_timeout(millis(30_250)).max_age(millis(90_375));
    match number {
        0 => limits.passivate_after(millis(5_125)),
        1 => limits.passivate_after(millis(10_125)).checkpoint(Checkpoint::Always),
        2 => limits.passivate_after(millis(15_125)).checkpoint(Checkpoint::Every(millis(3_062))).max_age(None),
        3 => limits.passivate_after(None).checkpoint(Checkpoint::Every(millis(7_062))).idle_timeout(millis(60_250)),
        _ => limits.passivate_after(millis(2_125)).checkpoint(Checkpoint::Always).idle_timeout(None),
    }
}

/// What a session may set itself.
pub fn own() -> Limits {
    Limits::new().idle_timeout(millis(12_250)).passivate_after(millis(8_125))
}
