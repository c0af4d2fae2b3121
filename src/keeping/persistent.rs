//! What an actor has to be to be kept in a store.

use serde::{Serialize, de::DeserializeOwned};

use crate::session::Session;

/// A session whose actor can be saved and made again.
///
/// ```
/// # use actix::prelude::*;
/// # use session_actors::{Session, SessionContext};
/// use serde::{Deserialize, Serialize};
/// use session_actors::Persistent;
///
/// struct Chat {
///     turns: Vec<String>,
/// }
/// # impl Actor for Chat { type Context = SessionContext<Self>; }
/// # impl Session for Chat {}
///
/// #[derive(Serialize, Deserialize)]
/// struct Remembered {
///     turns: Vec<String>,
///     #[serde(default)] // added later: what was saved before is still read
///     title: Option<String>,
/// }
///
/// impl Persistent for Chat {
///     type State = Remembered;
///
///     fn state(&self) -> Remembered {
///         Remembered { turns: self.turns.clone(), title: None }
///     }
///
///     fn restore(&mut self, state: Remembered) {
///         self.turns = state.turns;
///     }
/// }
/// ```
pub trait Persistent: Session {
    /// What is kept. Written as JSON, so maps need keys that are text or numbers; give a field that is added later
    /// `#[serde(default)]`.
    type State: Serialize + DeserializeOwned;

    /// What is to be kept at this moment. Called between messages, by the session's own task, as often as its
    /// [`Checkpoint`](crate::Checkpoint) asks for it; never while a handler runs, but perhaps while replies are in the
    /// making. A panic here ends the session, as in a hook.
    fn state(&self) -> Self::State;

    /// Takes up what was kept. Called on an actor that the factory has just made, before `started`. A panic here
    /// refuses the session, and its record is set aside.
    fn restore(&mut self, state: Self::State);
}
