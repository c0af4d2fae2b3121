//! What the model has found, in its shortest form, so that it is tried in every run.

use std::time::Duration;

use super::{
    rules::{Own, Rules, Times},
    run,
    session::What,
    step::{By, Finale, Step, Wanted},
};

const NONE: Times = Times { idle: None, age: None, busy: None, warn: None, drain: None };

fn rules(times: Times) -> Rules {
    Rules { times, cap: None, evict: false, observe: false }
}

fn try_out(rules: Rules, steps: &[Step]) {
    for phase in [0, 250, 999] {
        run(rules.clone(), phase, steps, Finale::Shutdown(10), &[]);
    }
}

fn send(messages: &[Wanted]) -> Step {
    Step::Send(0, By::Send, messages.to_vec())
}

/// `Ended::idle` left out the very message that ended the session.
#[test]
fn the_message_that_stops_a_session_is_activity() {
    for what in [What::Stop, What::Panic] {
        try_out(rules(NONE), &[send(&[(What::Plain, false)]), Step::Pass(50), send(&[(what, false)])]);
    }
}

/// So it did with an `open` that nobody had looked at since.
#[test]
fn an_open_just_before_the_end_is_activity() {
    let steps = [Step::Open(0), Step::Pass(50), Step::Open(0), Step::Pass(20), send(&[(What::Stop, true)])];
    try_out(rules(NONE), &steps);
}

/// What is published of a virtual life that a passive message had begun was that of the life before.
#[test]
fn a_passive_message_begins_a_virtual_life() {
    let observe = Rules { observe: true, ..rules(Times { idle: Some(40), ..NONE }) };
    try_out(observe, &[Step::Open(0), Step::Pass(50), send(&[(What::Plain, true)]), Step::Pass(100)]);
}

/// The alarm stood at the deadline that had been warned of, and the next warning is due before it.
#[test]
fn activity_after_a_warning_begins_another_approach() {
    let warned = rules(Times { idle: Some(40), warn: Some(35), ..NONE });
    for again in [send(&[(What::Plain, false)]), Step::Open(0)] {
        try_out(warned.clone(), &[Step::Open(0), Step::Pass(10), again, Step::Pass(100)]);
    }
}

/// The same after an extension, which ends before the ordinary deadline that an `open` has moved.
#[test]
fn activity_while_extended_begins_another_approach() {
    let own = Own { idle: Some(Some(20)), warn: Some(Some(15)), ..Own::default() };
    let steps = [
        send(&[(What::SetLimits(Some(own)), false), (What::Extend(Duration::from_millis(39)), false)]),
        Step::Pass(46),
        Step::Open(0),
        Step::Pass(100),
    ];
    try_out(rules(NONE), &steps);
}

/// Two deadlines near each other, and a passive piece of work that makes now the one and now the other the nearer.
#[test]
fn a_deadline_is_warned_of_once() {
    let both = rules(Times { idle: Some(90), age: Some(100), warn: Some(35), ..NONE });
    let hold = || [send(&[(What::Hold, true)]), Step::Pass(3)];
    let rest = || [Step::Finish(0, false), Step::Pass(3)];
    let idle_first =
        [Step::Open(0), Step::Pass(70)].into_iter().chain(hold()).chain(rest()).chain(hold()).chain(rest());
    try_out(both.clone(), &idle_first.collect::<Vec<_>>());
    let age_first = hold().into_iter().chain([Step::Pass(70)]).chain(rest()).chain(hold()).chain(rest());
    try_out(both, &age_first.collect::<Vec<_>>());
}

/// An extension belongs to the life that it was granted to.
#[test]
fn a_virtual_life_begins_without_an_extension() {
    let enforce = rules(Times { idle: Some(40), age: Some(120), ..NONE });
    let observe = Rules { observe: true, ..enforce.clone() };
    let steps = [
        send(&[(What::Extend(Duration::from_millis(1_000)), false)]),
        Step::Pass(60),
        Step::SetRules(observe),
        Step::Pass(100),
        send(&[(What::Plain, false)]),
        Step::Pass(100),
    ];
    try_out(enforce, &steps);
}

/// What outlives its session is waited for by a shutdown, and cut at its deadline.
#[test]
fn a_shutdown_cuts_replies_that_have_outlived_their_session() {
    try_out(rules(NONE), &[send(&[(What::Future, false), (What::Stop, false)])]);
}
