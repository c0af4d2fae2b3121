//! The tracing span of a session; nothing where tracing is off.

use std::{panic::catch_unwind, rc::Rc};

use tracing::{Level, Span, span::Entered};

use super::panics::panic_message;
use crate::{event::SessionId, key::SessionKey};

/// Boxed, because most deployments have it off, and a span is five words.
#[derive(Debug, Clone)]
pub(crate) struct SessionSpan(Option<Rc<Span>>);

impl SessionSpan {
    /// A subscriber that panics gives none: it must not cost a session, which has its slot and its actor by now.
    pub(crate) fn new(key: &SessionKey, id: SessionId) -> Self {
        let span = catch_unwind(|| {
            let span = tracing::enabled!(Level::INFO).then(|| tracing::info_span!("session", %key, %id));
            span.filter(|span| !span.is_disabled()).map(Rc::new)
        });
        Self(span.unwrap_or_else(|payload| {
            let _ = panic_message(payload);
            None
        }))
    }

    /// Whether it is not there to say whose an event is: a filter that lets only warnings through switches it off.
    pub(crate) fn is_off(&self) -> bool {
        self.0.is_none()
    }

    pub(crate) fn enter(&self) -> Option<Entered<'_>> {
        self.0.as_ref().map(|span| span.enter())
    }
}
