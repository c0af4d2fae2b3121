//! One webhook conversation: what came in so far. State only; `session.rs` makes it an actor.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use actix::Message;
use actix_web::http::header::HeaderMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use session_actors::{EffectiveLimits, SessionId, SessionKey};

/// Deliveries that are remembered to know a repeated one (GitHub sends again what it thinks was lost).
const REMEMBERED: usize = 64;
/// Kinds of event that are counted one by one; the sender chooses their names, so there must be an end to them.
const KINDS: usize = 64;
const KIND_LENGTH: usize = 64;

/// A webhook comes in; making the answer takes `work`, which stands for what a real gateway would do with it.
#[derive(Message)]
#[rtype(result = "Result<HookView, NotAHook>")]
pub(crate) struct Deliver {
    pub(crate) delivery: Delivery,
    pub(crate) work: Duration,
}

#[derive(Debug)]
pub(crate) struct NotAHook;

/// What is kept of one webhook.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Delivery {
    pub(crate) event: String,
    pub(crate) action: Option<String>,
    pub(crate) delivery: Option<String>,
    pub(crate) bytes: usize,
}

impl Delivery {
    /// GitHub names event and delivery in headers; others put `event` or `type` into the document.
    pub(crate) fn new(headers: &HeaderMap, document: &Value, bytes: usize) -> Self {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(short);
        let field = |name: &str| document.get(name).and_then(Value::as_str).map(short);
        let event = header("X-GitHub-Event").or_else(|| field("event")).or_else(|| field("type"));
        Self {
            event: event.unwrap_or_else(|| "webhook".into()),
            action: field("action"),
            delivery: header("X-GitHub-Delivery"),
            bytes,
        }
    }
}

/// The session's view of itself, which is the answer to a webhook.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct HookView {
    pub(crate) key: SessionKey,
    pub(crate) id: SessionId,
    pub(crate) limits: EffectiveLimits,
    pub(crate) received: Delivery,
    /// Whether this delivery had come before; then it is not counted again.
    pub(crate) duplicate: bool,
    pub(crate) deliveries: u64,
    pub(crate) by_event: BTreeMap<String, u64>,
}

/// All of it is kept.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct HookSession {
    deliveries: u64,
    by_event: BTreeMap<String, u64>,
    seen: VecDeque<String>,
}

impl HookSession {
    pub(crate) fn take(
        &mut self,
        received: Delivery,
        (key, id, limits): (SessionKey, SessionId, EffectiveLimits),
    ) -> HookView {
        let duplicate = received.delivery.as_ref().is_some_and(|delivery| self.seen.contains(delivery));
        if !duplicate {
            self.count(&received);
        }
        let (deliveries, by_event) = (self.deliveries, self.by_event.clone());
        HookView { key, id, limits, received, duplicate, deliveries, by_event }
    }

    fn count(&mut self, received: &Delivery) {
        self.deliveries += 1;
        let known = self.by_event.contains_key(&received.event) || self.by_event.len() < KINDS;
        let kind = if known { received.event.as_str() } else { "others" };
        *self.by_event.entry(kind.into()).or_default() += 1;
        if let Some(delivery) = &received.delivery {
            if self.seen.len() == REMEMBERED {
                self.seen.pop_front();
            }
            self.seen.push_back(delivery.clone());
        }
    }
}

fn short(text: &str) -> String {
    text.chars().take(KIND_LENGTH).collect()
}
