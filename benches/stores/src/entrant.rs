//! The contenders by name, and what each takes part in.

use actix::System;
use serde::{Deserialize, Serialize};

use crate::{
    contenders::{
        engine::{Engine, Redb, RedbQuickRepair},
        sqlite::Sqlite,
    },
    work::{Outcome, Place, Work, checkpoint, disk, passivate, rest, restore, start},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Entrant {
    /// This crate on redb.
    Redb,
    /// The same with `quick_repair`.
    RedbQuickRepair,
    /// This crate on SQLite.
    Sqlite,
    /// A map in memory and one JSON file of all sessions.
    OneFile,
}

impl Entrant {
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Redb => "session-actors on redb",
            Self::RedbQuickRepair => "on redb, `quick_repair`",
            Self::Sqlite => "session-actors on SQLite",
            Self::OneFile => "one JSON file",
        }
    }

    /// Why it sits out a row.
    pub(crate) fn sits_out(self, work: Work) -> Option<&'static str> {
        match (self, work) {
            (Self::OneFile, Work::Restore) => Some("its sessions never leave memory"),
            (Self::RedbQuickRepair, Work::Always | Work::Start) => None,
            (Self::RedbQuickRepair, _) => Some("it is the same but for fsyncs and crashes"),
            (Self::Sqlite | Self::OneFile, Work::NoStore) => Some("there is no store in it"),
            _ => None,
        }
    }

    pub(crate) fn run(self, work: Work, place: &Place) -> Outcome {
        if let Some(why) = self.sits_out(work) {
            return Err(format!("{} has no part in {work:?}: {why}", self.title()).into());
        }
        match self {
            Self::Redb => System::new().block_on(with::<Redb>(work, place)),
            Self::RedbQuickRepair => System::new().block_on(with::<RedbQuickRepair>(work, place)),
            Self::Sqlite => System::new().block_on(with::<Sqlite>(work, place)),
            Self::OneFile => in_one_file(work, place),
        }
    }
}

async fn with<E: Engine>(work: Work, place: &Place) -> Outcome {
    match work {
        Work::Passivate => passivate::passivate::<E>(place).await,
        Work::Restore => restore::restore::<E>(place).await,
        Work::NoStore | Work::End | Work::EverySecond | Work::Always => checkpoint::checkpoint::<E>(work, place).await,
        Work::Disk => disk::disk::<E>(place),
        Work::Start => start::start::<E>(place).await,
        Work::Rest => rest::rest::<E>(place).await,
    }
}

fn in_one_file(work: Work, place: &Place) -> Outcome {
    match work {
        Work::Passivate => passivate::in_one_file(place),
        Work::End | Work::EverySecond | Work::Always => checkpoint::in_one_file(work, place),
        Work::Disk => disk::in_one_file(place),
        Work::Start => start::in_one_file(place),
        Work::Rest => rest::in_one_file(place),
        Work::Restore | Work::NoStore => Err("it has no part in it".into()),
    }
}
