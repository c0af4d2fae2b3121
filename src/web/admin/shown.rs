//! How keys are shown: as they are, or hashed.

use std::fmt::Write as _;

use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use crate::{Session, SessionInfo, SessionRegistry};

#[derive(Clone)]
pub(super) enum Shown {
    Plain,
    Hashed(Box<Hmac<Sha256>>),
}

/// Of the hash: 64 bits tell apart as many sessions as fit into memory.
const BYTES: usize = 8;

impl Shown {
    pub(super) fn hashed(secret: &[u8]) -> Self {
        match Hmac::new_from_slice(secret) {
            Ok(mac) => Self::Hashed(Box::new(mac)),
            // Any length is one of HMAC's.
            Err(_) => Self::Hashed(Box::new(Hmac::new(&Default::default()))),
        }
    }

    pub(super) fn is_plain(&self) -> bool {
        matches!(self, Self::Plain)
    }

    pub(super) fn show(&self, key: &str) -> String {
        match self {
            Self::Plain => key.to_owned(),
            Self::Hashed(mac) => {
                let mut mac = (**mac).clone();
                mac.update(key.as_bytes());
                let mut text = String::with_capacity(2 * BYTES);
                for byte in mac.finalize().into_bytes().iter().take(BYTES) {
                    let _ = write!(text, "{byte:02x}");
                }
                text
            }
        }
    }

    /// The session that is shown so, if it is in memory: all are looked at.
    pub(super) fn find<A: Session>(&self, registry: &SessionRegistry<A>, shown: &str) -> Option<SessionInfo> {
        registry.list().into_iter().find(|info| self.show(info.key.as_str()) == shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_depends_on_key_and_secret_and_is_the_same_again() {
        let (one, other) = (Shown::hashed(b"one"), Shown::hashed(b"other"));
        assert_eq!(one.show("user:ada"), Shown::hashed(b"one").show("user:ada"));
        assert_ne!(one.show("user:ada"), other.show("user:ada"));
        assert_ne!(one.show("user:ada"), one.show("user:bob"));
        assert_eq!(one.show("").len(), 16);
        // HMAC-SHA-256, as any other tool computes it (RFC 4231, test case 2).
        assert_eq!(Shown::hashed(b"Jefe").show("what do ya want for nothing?"), "5bdcc146bf60754e");
    }
}
