//! The contenders by name, and what each takes part in.

use actix::System;
use serde::{Deserialize, Serialize};

use crate::{
    contender::Contender,
    contenders::{
        bare_actix::BareActix, erlang, kameo::Kameo, moka::Moka, ractor::Ractor, reset_by_hand::ResetByHand,
        session_actors::SessionActors, sweep::Sweep, tokio_task::TokioTask,
    },
    jemalloc,
    work::{
        Figure, Scale, Work,
        cores::{cores, cores_apart},
    },
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Entrant {
    SessionActors,
    /// The floor: no timers.
    BareActix,
    /// The floor, with some other timer in the process.
    BareActixTimer,
    ResetByHand,
    TokioTask,
    Ractor,
    Kameo,
    Sweep,
    Moka,
    Erlang,
}

impl Entrant {
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::SessionActors => "session-actors",
            Self::BareActix => "bare actix, no timers",
            Self::BareActixTimer => "bare actix, a timer elsewhere",
            Self::ResetByHand => "actix, timer reset by hand",
            Self::TokioTask => "tokio task, `select!`",
            Self::Ractor => "ractor",
            Self::Kameo => "kameo",
            Self::Sweep => "`DashMap`, swept",
            Self::Moka => "moka",
            Self::Erlang => "Erlang, `gen_server` and ETS",
        }
    }

    /// Why it cannot take part on this machine.
    pub(crate) fn is_missing(self) -> Option<&'static str> {
        (self == Self::Erlang && !erlang::is_here()).then_some("erl and erlc are not on this machine")
    }

    /// Why it sits out a row.
    pub(crate) fn sits_out(self, work: Work) -> Option<&'static str> {
        match (self, work) {
            (Self::BareActix | Self::BareActixTimer, Work::Expire | Work::Storm) => Some("nothing ends by itself"),
            (
                Self::BareActixTimer,
                Work::Rest | Work::Lookup | Work::Pending | Work::OneArbiter | Work::TwoArbiters,
            ) => Some("it is the same without"),
            (
                Self::BareActix | Self::BareActixTimer | Self::ResetByHand | Self::TokioTask | Self::Sweep,
                Work::ChurnWatched,
            ) => Some("it has nothing to watch with"),
            (Self::Erlang, work) if work.wants_jemalloc() => Some("it has an allocator of its own"),
            (Self::Sweep | Self::Moka, Work::OneArbiter | Work::TwoArbiters) => {
                Some("a message is a call on its sender's thread: that is lookup, send")
            }
            (Self::SessionActors | Self::BareActix, Work::Pending) => None,
            (Self::ResetByHand, Work::Pending) => Some("its replies are bare actix's"),
            (_, Work::Pending) => Some("these are actix's kinds of reply"),
            _ => None,
        }
    }

    pub(crate) fn run(self, work: Work, scale: Scale) -> Result<Vec<Figure>, String> {
        if let Some(why) = self.sits_out(work) {
            return Err(format!("{} has no part in {work:?}: {why}", self.title()));
        }
        if work.wants_jemalloc() && !jemalloc::is_used() {
            return Err(format!(
                "{work:?} needs a process that is started with jemalloc: LD_PRELOAD=.../libjemalloc.so.2"
            ));
        }
        match self {
            Self::SessionActors => match work.arbiters() {
                Some(arbiters) => System::new().block_on(cores::<SessionActors>(arbiters, scale)),
                None => measure::<SessionActors>(work, scale),
            },
            Self::BareActix => measure::<BareActix>(work, scale),
            Self::BareActixTimer => System::new().block_on(async {
                actix::spawn(tokio::time::sleep(std::time::Duration::from_secs(24 * 3600)));
                work.run::<BareActix>(scale).await
            }),
            Self::ResetByHand => measure::<ResetByHand>(work, scale),
            Self::TokioTask => measure::<TokioTask>(work, scale),
            Self::Ractor => measure::<Ractor>(work, scale),
            Self::Kameo => measure::<Kameo>(work, scale),
            Self::Sweep => measure::<Sweep>(work, scale),
            Self::Moka => measure::<Moka>(work, scale),
            Self::Erlang => erlang::run(work, scale),
        }
    }
}

fn measure<C: Contender>(work: Work, scale: Scale) -> Result<Vec<Figure>, String> {
    match work.arbiters() {
        Some(threads) => cores_apart::<C>(threads, scale),
        None => System::new().block_on(work.run::<C>(scale)),
    }
}
