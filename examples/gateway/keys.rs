//! From a URL to a session's key: `hook:{source}:{id}`, `user:{user}`.

use session_actors::SessionKey;

use super::errors::GatewayError;

/// The prefix of webhook sessions; the session actor looks at it to know what it is.
pub(crate) const HOOK: &str = "hook:";
/// The prefix of chat sessions.
pub(crate) const USER: &str = "user:";

const MAX_SOURCE: usize = 64;

pub(crate) fn hook_key(source: &str, id: &str) -> Result<SessionKey, GatewayError> {
    check_source(source)?;
    if id.is_empty() {
        return Err(GatewayError::BadPath(
            "the id is empty: post to /hooks/{source}/{id}, such as /hooks/github/octo/repo",
        ));
    }
    key(&format!("{HOOK}{source}:{id}"))
}

/// The router turns bytes that are no UTF-8 into U+FFFD. Two broken keys must not become one, so that mark is refused.
fn key(text: &str) -> Result<SessionKey, GatewayError> {
    if text.contains(char::REPLACEMENT_CHARACTER) {
        return Err(GatewayError::BadPath("its percent escapes are not UTF-8: encode the key as UTF-8 first"));
    }
    Ok(SessionKey::new(text)?)
}

/// A source is one word in lower case. No colon, or `a:b` with id `c` would share a session with `a` and id `b:c`;
/// no capitals, or `GitHub` would pass by the secret of `github`.
pub(crate) fn check_source(source: &str) -> Result<(), GatewayError> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.');
    if (1..=MAX_SOURCE).contains(&source.len()) && source.chars().all(plain) {
        return Ok(());
    }
    Err(GatewayError::BadPath("the source must be 1 to 64 lower-case letters, digits, '-', '_' or '.', such as github"))
}
