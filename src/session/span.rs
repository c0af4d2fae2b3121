//! The tracing span of a session; nothing where tracing is off.

use tracing::{Level, Span, span::Entered};

use crate::{event::SessionId, key::SessionKey};

/// Boxed, because most deployments have it off, and a span is five words.
#[derive(Debug, Clone)]
pub(crate) struct SessionSpan(Option<std::rc::Rc<Span>>);

impl SessionSpan {
    pub(crate) fn new(key: &SessionKey, id: SessionId) -> Self {
        if !tracing::enabled!(Level::INFO) {
            return Self(None);
        }
        let span = tracing::info_span!("session", %key, %id);
        Self((!span.is_disabled()).then(|| span.into()))
    }

    /// Whether it is not there to say whose an event is: a filter that lets only warnings through switches it off.
    pub(crate) fn is_off(&self) -> bool {
        self.0.is_none()
    }

    pub(crate) fn enter(&self) -> Option<Entered<'_>> {
        self.0.as_ref().map(|span| span.enter())
    }
}
