//! The session that everybody keeps: a conversation whose state is 200 bytes of JSON.

use std::{cell::Cell, time::Duration};

use actix::prelude::*;
use serde::{Deserialize, Serialize};
use session_actors::{Limits, Persistent, Policy, Session, SessionContext, SessionKey, SessionRegistry, store::Store};

pub(crate) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What a gateway remembers of a conversation; what was said is in a transcript of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Remembered {
    pub(crate) user: String,
    pub(crate) channel: String,
    pub(crate) model: String,
    pub(crate) transcript: String,
    pub(crate) turns: u64,
    pub(crate) tokens_in: u64,
    pub(crate) tokens_out: u64,
}

impl Remembered {
    pub(crate) fn of(key: &str) -> Self {
        let user = key.rsplit(':').next().unwrap_or(key);
        Self {
            user: user.to_owned(),
            channel: "telegram".to_owned(),
            model: "large-model-2026-10-01".to_owned(),
            transcript: format!("transcripts/telegram/2026/{user}/current-session.jsonl"),
            turns: 1_000,
            tokens_in: 1_048_576,
            tokens_out: 131_072,
        }
    }

    /// What a message does to it.
    pub(crate) fn turn(&mut self) -> u64 {
        self.turns += 1;
        self.tokens_in += 200;
        self.tokens_out += 40;
        self.turns
    }
}

pub(crate) struct Chat(Remembered);

impl Actor for Chat {
    type Context = SessionContext<Self>;
}

impl Session for Chat {}

impl Persistent for Chat {
    type State = Remembered;

    fn state(&self) -> Remembered {
        self.0.clone()
    }

    fn restore(&mut self, state: Remembered) {
        self.0 = state;
    }
}

#[derive(Message)]
#[rtype(result = "u64")]
pub(crate) struct Say;

thread_local! {
    static HANDLED: Cell<u64> = const { Cell::new(0) };
}

/// Messages handled on this thread.
pub(crate) fn handled() -> u64 {
    HANDLED.get()
}

impl Handler<Say> for Chat {
    type Result = u64;

    fn handle(&mut self, _: Say, _: &mut Self::Context) -> u64 {
        HANDLED.set(HANDLED.get() + 1);
        self.0.turn()
    }
}

/// The key of a number.
pub(crate) fn key(number: usize) -> SessionKey {
    SessionKey::new(format!("chat:telegram:{number:09}")).expect("a valid key")
}

/// Idle after a day, never too old.
pub(crate) fn limits() -> Limits {
    Limits::new().idle_timeout(DAY).max_age(None)
}

pub(crate) type Registry = SessionRegistry<Chat>;

/// On this thread, as a registry is if nothing is said.
pub(crate) fn start<S: Store>(limits: Limits, store: Option<S>) -> Result<Registry, session_actors::StartError> {
    let builder = SessionRegistry::builder(|key: &SessionKey| Chat(Remembered::of(key.as_str())));
    let builder = builder.policy(Policy::new(limits));
    match store {
        Some(store) => builder.persist(store).start(),
        None => builder.start(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_state_has_200_bytes() {
        let state = serde_json::to_string(&Remembered::of(key(123_456).as_str())).unwrap();
        assert_eq!(state.len(), 200, "{state}");
    }
}
