//! What is kept of a chat: how many turns there were, and the last of them.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// Turns that somebody who joins is told, and that are kept.
const REMEMBERED: usize = 20;
/// Characters of each text.
const TEXT_LENGTH: usize = 1_000;

/// It outlives memory, a restart, and a crash. A field that is added gets `#[serde(default)]`, so that what was kept
/// before is still read.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Conversation {
    turns: u64,
    #[serde(default)]
    last: VecDeque<Turn>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Turn {
    turn: u64,
    said: String,
    /// `None` while it is being made; for ever, if the gateway went down meanwhile.
    reply: Option<String>,
}

impl Conversation {
    pub(crate) fn turns(&self) -> u64 {
        self.turns
    }

    pub(crate) fn last(&self) -> Vec<Turn> {
        self.last.iter().cloned().collect()
    }

    /// Something was said: which turn that is.
    pub(crate) fn hear(&mut self, said: &str) -> u64 {
        self.turns += 1;
        if self.last.len() == REMEMBERED {
            self.last.pop_front();
        }
        self.last.push_back(Turn { turn: self.turns, said: short(said), reply: None });
        self.turns
    }

    pub(crate) fn reply(&mut self, turn: u64, reply: &str) {
        // It may have been so long ago that it is not remembered.
        if let Some(heard) = self.last.iter_mut().find(|heard| heard.turn == turn) {
            heard.reply = Some(short(reply));
        }
    }
}

fn short(text: &str) -> String {
    text.chars().take(TEXT_LENGTH).collect()
}
