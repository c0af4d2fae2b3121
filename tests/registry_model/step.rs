//! What can be done to a registry, at random.

use std::time::Duration;

use proptest::prelude::*;

use super::{
    rules::{Own, Rules, Times},
    session::{Fail, What},
};

pub const KEYS: [&str; 4] = ["a", "b", "c", "d"];

/// A message: what it asks for, and whether its handler calls `ctx.passive()`.
pub type Wanted = (What, bool);

/// By which of the registry's methods messages are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    Send,
    TrySend,
    DoSend,
}

#[derive(Debug, Clone)]
pub enum Step {
    /// Opens a key and keeps the address.
    Open(usize),
    /// Messages to one key, one right after the other.
    Send(usize, By, Vec<Wanted>),
    /// The same by an address that was kept.
    SendRaw(usize, Vec<Wanted>),
    /// Finishes one of the slow replies and holds.
    Finish(usize, bool),
    /// Drops a reply that nobody waits for any more.
    DropReply(usize),
    Close(usize),
    SetRules(Rules),
    FailNext(usize, Fail),
    Pass(u64),
    Watch,
    PollWatch(usize, usize),
    DropWatch(usize),
}

/// How it comes to its end.
#[derive(Debug, Clone, Copy)]
pub enum Finale {
    Shutdown(u64),
    /// The last handle is dropped.
    Drop,
}

fn limit(of: &'static [u64]) -> impl Strategy<Value = Option<u64>> {
    prop_oneof![1 => Just(None), 3 => prop::sample::select(of).prop_map(Some)]
}

pub fn rules() -> impl Strategy<Value = Rules> {
    let times =
        (limit(&[40, 90, 150]), limit(&[120, 300, 600]), limit(&[60, 130]), limit(&[10, 25, 35]), limit(&[30, 80]))
            .prop_map(|(idle, age, busy, warn, drain)| Times { idle, age, busy, warn, drain });
    let cap = prop_oneof![Just(None), (1..4_usize).prop_map(Some)];
    let observe = prop_oneof![4 => Just(false), 1 => Just(true)];
    (times, cap, any::<bool>(), observe).prop_map(|(times, cap, evict, observe)| Rules { times, cap, evict, observe })
}

/// Mostly good ones; a few contradict the policy.
fn own() -> impl Strategy<Value = Option<Own>> {
    let some = (
        prop::option::of(limit(&[20, 60, 200])),
        prop::option::of(limit(&[150, 500])),
        prop::option::of(limit(&[45, 100])),
        prop::option::of(limit(&[15])),
    )
        .prop_map(|(idle, age, busy, warn)| Some(Own { idle, age, busy, warn }));
    prop_oneof![1 => Just(None), 4 => some]
}

fn wanted() -> impl Strategy<Value = Wanted> {
    let what = prop_oneof![
        8 => Just(What::Plain),
        1 => Just(What::Touch),
        1 => Just(What::Clockwork),
        2 => Just(What::Stop),
        1 => Just(What::StopAndGoOn),
        1 => Just(What::Panic),
        1 => own().prop_map(What::SetLimits),
        1 => (5..120_u64).prop_map(|by| What::Extend(Duration::from_millis(by))),
        2 => Just(What::Hold),
        2 => Just(What::Future),
        2 => Just(What::InContext),
        3 => Just(What::Atomic),
    ];
    (what, prop::bool::weighted(0.3))
}

pub fn step() -> impl Strategy<Value = Step> {
    let key = 0..KEYS.len();
    let messages = || prop::collection::vec(wanted(), 1..4);
    let by = prop_oneof![4 => Just(By::Send), 1 => Just(By::TrySend), 1 => Just(By::DoSend)];
    let fail = prop_oneof![Just(Fail::Factory), Just(Fail::Started)];
    prop_oneof![
        4 => key.clone().prop_map(Step::Open),
        12 => (key.clone(), by, messages()).prop_map(|(key, by, messages)| Step::Send(key, by, messages)),
        4 => (0..8_usize, messages()).prop_map(|(nth, messages)| Step::SendRaw(nth, messages)),
        6 => (0..16_usize, prop::bool::weighted(0.15)).prop_map(|(nth, panics)| Step::Finish(nth, panics)),
        2 => (0..16_usize).prop_map(Step::DropReply),
        3 => key.clone().prop_map(Step::Close),
        2 => rules().prop_map(Step::SetRules),
        1 => (key.clone(), fail).prop_map(|(key, fail)| Step::FailNext(key, fail)),
        5 => (1..40_u64).prop_map(Step::Pass),
        8 => (1..200_u64).prop_map(Step::Pass),
        2 => Just(Step::Watch),
        3 => (0..4_usize, 1..8_usize).prop_map(|(watch, times)| Step::PollWatch(watch, times)),
        1 => (0..4_usize).prop_map(Step::DropWatch),
    ]
}

pub fn finale() -> impl Strategy<Value = Finale> {
    prop_oneof![(0..150_u64).prop_map(Finale::Shutdown), Just(Finale::Drop)]
}
