//! Which session a request belongs to.

use std::{fmt, sync::Arc};

use actix_web::{HttpRequest, http::StatusCode};
use percent_encoding::percent_decode_str;

use super::Problem;
use crate::{Session, SessionKey, SessionRegistry};

type KeyOf = dyn Fn(&HttpRequest) -> Result<SessionKey, Problem> + Send + Sync;

/// Which session of which registry a request belongs to: `app_data` for the handlers under it, at an app, a scope or a
/// resource; the innermost holds.
///
/// Holds its registry weakly: the end of a gateway is not put off by a worker that still has it.
pub struct Sessions<A: Session> {
    pub(super) registry: crate::WeakSessionRegistry<A>,
    key: Arc<KeyOf>,
    prefix: Arc<str>,
}

impl<A: Session> Sessions<A> {
    /// The key is a parameter of the path, percent-decoded: `user` of `/chat/{user}`. A tail such as `{user:.*}` may have
    /// slashes.
    pub fn by_path(registry: &SessionRegistry<A>, parameter: impl Into<String>) -> Self {
        let parameter = parameter.into();
        Self::by(registry, move |request| {
            // The router has decoded all but `%2F`, `%25` and `%2B`.
            let Some(key) = request.match_info().get(&parameter) else {
                tracing::error!(
                    parameter,
                    pattern = request.match_pattern(),
                    "the route has no such parameter, so no request to it has a session: name it in Sessions::by_path"
                );
                return Err(misconfigured());
            };
            let key = percent_decode_str(key).decode_utf8_lossy();
            // The router turns bytes that are no UTF-8 into this; two broken keys must not become one.
            if key.contains(char::REPLACEMENT_CHARACTER) {
                return Err(bad_key("its percent escapes are not UTF-8: encode the key as UTF-8 first"));
            }
            Ok(SessionKey::new(key)?)
        })
    }

    /// The key is a header, such as `Mcp-Session-Id`. A request without it is refused.
    pub fn by_header(registry: &SessionRegistry<A>, name: &'static str) -> Self {
        Self::by(registry, move |request| {
            let mut values = request.headers().get_all(name);
            let (Some(value), None) = (values.next(), values.next()) else {
                return Err(bad_key(format!("this route wants the header {name}, once: it names the session")));
            };
            let value = value.to_str().map_err(|_| bad_key(format!("the header {name} is not visible ASCII")))?;
            Ok(SessionKey::new(value)?)
        })
    }

    /// The key is what a function makes of the request; or its error is the answer.
    pub fn by(
        registry: &SessionRegistry<A>,
        key: impl Fn(&HttpRequest) -> Result<SessionKey, Problem> + Send + Sync + 'static,
    ) -> Self {
        Self { registry: registry.downgrade(), key: Arc::new(key), prefix: "".into() }
    }

    /// With this before every key, such as `user:`, so that one registry can have several kinds of sessions, and a policy
    /// rules for each.
    #[must_use]
    pub fn prefixed(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into().into();
        self
    }

    pub(super) fn key(&self, request: &HttpRequest) -> Result<SessionKey, Problem> {
        let key = (self.key)(request)?;
        if self.prefix.is_empty() { Ok(key) } else { Ok(SessionKey::new(format!("{}{key}", self.prefix))?) }
    }

    /// What was given for this request.
    pub(super) fn of(request: &HttpRequest) -> Result<&Self, Problem> {
        request.app_data::<Self>().ok_or_else(|| {
            tracing::error!(
                pattern = request.match_pattern(),
                actor = std::any::type_name::<A>(),
                "a handler wants a session, and nothing says which: give the route .app_data(Sessions::by_path(..))"
            );
            misconfigured()
        })
    }
}

fn bad_key(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "bad_key", detail)
}

/// Those who run the gateway read which in the log.
fn misconfigured() -> Problem {
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "misconfigured", "this route is not set up: see the gateway's log")
}

impl<A: Session> Clone for Sessions<A> {
    fn clone(&self) -> Self {
        Self { registry: self.registry.clone(), key: Arc::clone(&self.key), prefix: Arc::clone(&self.prefix) }
    }
}

impl<A: Session> fmt::Debug for Sessions<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}
