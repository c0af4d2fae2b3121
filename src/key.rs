//! The caller's name for a conversation.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The caller's name for a conversation: 1 to [`SessionKey::MAX_BYTES`] bytes of UTF-8 without
/// control characters.
///
/// A clone is a reference count. Equality, order and hash are those of the text, so a map keyed by
/// `SessionKey` is looked up with a `&str`.
///
/// ```
/// use session_actors::{InvalidKey, SessionKey};
///
/// let key = SessionKey::new("user:42")?;
/// assert_eq!(key, "user:42");
/// assert_eq!(SessionKey::new(""), Err(InvalidKey::Empty));
/// # Ok::<(), InvalidKey>(())
/// ```
// The derived `Eq`, `Ord` and `Hash` are those of `str`, as `Borrow<str>` demands: an `Arc<str>`
// compares and hashes its content, and a newtype adds nothing.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionKey(Arc<str>);

impl SessionKey {
    /// The longest key, in bytes of UTF-8: 512.
    pub const MAX_BYTES: usize = 512;

    /// Checks the text and makes it a key.
    ///
    /// # Errors
    ///
    /// [`InvalidKey`] if the text is empty, too long or has a control character.
    pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidKey> {
        let text = text.as_ref();
        check(text)?;
        Ok(Self(text.into()))
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn check(text: &str) -> Result<(), InvalidKey> {
    if text.is_empty() {
        return Err(InvalidKey::Empty);
    }
    // Before the characters are looked at: the work done for a hostile key is bounded.
    if text.len() > SessionKey::MAX_BYTES {
        return Err(InvalidKey::TooLong { bytes: text.len() });
    }
    // Most keys are plain, which is told without decoding them.
    if text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return Ok(());
    }
    match text.char_indices().find(|(_, c)| c.is_control()) {
        Some((at, _)) => Err(InvalidKey::ControlCharacter { at }),
        None => Ok(()),
    }
}

/// Why a text is not a [`SessionKey`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidKey {
    /// The text is empty.
    #[error("session key is empty; name the conversation with 1 to {} bytes", SessionKey::MAX_BYTES)]
    Empty,
    /// The text is longer than [`SessionKey::MAX_BYTES`].
    #[error("session key has {bytes} bytes, the most is {}; shorten it or use a hash of it", SessionKey::MAX_BYTES)]
    TooLong {
        /// Its length in bytes of UTF-8.
        bytes: usize,
    },
    /// The text has a control character, such as a line feed, which would forge lines in logs.
    #[error("session key has a control character at byte {at}; remove or encode it")]
    ControlCharacter {
        /// Its offset in bytes, counted from 0.
        at: usize,
    },
}

impl fmt::Display for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `pad` and not `write_str`, so that `{:<20}` lines up tables.
        f.pad(self.as_str())
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SessionKey").field(&self.as_str()).finish()
    }
}

impl Borrow<str> for SessionKey {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for SessionKey {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl PartialEq<str> for SessionKey {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for SessionKey {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl TryFrom<&str> for SessionKey {
    type Error = InvalidKey;

    fn try_from(text: &str) -> Result<Self, InvalidKey> {
        Self::new(text)
    }
}

impl TryFrom<String> for SessionKey {
    type Error = InvalidKey;

    fn try_from(text: String) -> Result<Self, InvalidKey> {
        Self::new(text)
    }
}

impl FromStr for SessionKey {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        Self::new(text)
    }
}

impl Serialize for SessionKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for SessionKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl de::Visitor<'_> for Text {
            type Value = SessionKey;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a session key as text")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<SessionKey, E> {
                SessionKey::new(text).map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Text)
    }
}

/// What names a session in a call: `&str`, `String`, [`SessionKey`] or a reference to one of them.
///
/// A look-up reads the text and allocates nothing; only a session that is opened needs a
/// [`SessionKey`] made. Sealed: the list of types is complete.
pub trait IntoKey: sealed::Sealed {
    /// The text to look up. It is not checked: what is no key is found nowhere.
    fn as_str(&self) -> &str;

    /// The key, checked if it was a text. A [`SessionKey`] is passed on as it is.
    ///
    /// # Errors
    ///
    /// [`InvalidKey`] as from [`SessionKey::new`].
    fn into_key(self) -> Result<SessionKey, InvalidKey>;
}

mod sealed {
    /// Keeps [`IntoKey`](super::IntoKey) to the types of this module, so it can grow methods.
    pub trait Sealed: Sized {}

    impl Sealed for &str {}
    impl Sealed for String {}
    impl Sealed for &String {}
    impl Sealed for super::SessionKey {}
    impl Sealed for &super::SessionKey {}
}

impl IntoKey for &str {
    fn as_str(&self) -> &str {
        self
    }

    fn into_key(self) -> Result<SessionKey, InvalidKey> {
        SessionKey::new(self)
    }
}

impl IntoKey for String {
    fn as_str(&self) -> &str {
        self
    }

    fn into_key(self) -> Result<SessionKey, InvalidKey> {
        SessionKey::new(self)
    }
}

impl IntoKey for &String {
    fn as_str(&self) -> &str {
        self
    }

    fn into_key(self) -> Result<SessionKey, InvalidKey> {
        SessionKey::new(self)
    }
}

impl IntoKey for SessionKey {
    fn as_str(&self) -> &str {
        self.as_ref()
    }

    fn into_key(self) -> Result<SessionKey, InvalidKey> {
        Ok(self)
    }
}

impl IntoKey for &SessionKey {
    fn as_str(&self) -> &str {
        self.as_ref()
    }

    fn into_key(self) -> Result<SessionKey, InvalidKey> {
        Ok(self.clone())
    }
}
