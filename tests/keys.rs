//! Promise: a key is 1 to 512 bytes without control characters, by whatever door it comes in, and
//! is interchangeable with its text.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeSet, HashMap};

use proptest::prelude::*;
use session_actors::{IntoKey, InvalidKey, SessionKey};

#[test]
fn a_key_has_1_to_512_bytes() {
    assert_eq!(SessionKey::new(""), Err(InvalidKey::Empty));
    assert!(SessionKey::new("a").is_ok());
    assert!(SessionKey::new("a".repeat(SessionKey::MAX_BYTES)).is_ok());
    let long = "a".repeat(SessionKey::MAX_BYTES + 1);
    assert_eq!(SessionKey::new(long), Err(InvalidKey::TooLong { bytes: 513 }));
}

#[test]
fn the_length_is_counted_in_bytes_and_not_in_characters() {
    assert!(SessionKey::new("ü".repeat(256)).is_ok());
    assert_eq!(SessionKey::new("ü".repeat(257)), Err(InvalidKey::TooLong { bytes: 514 }));
}

#[test]
fn a_control_character_is_refused_with_its_place_in_bytes() {
    for c in ['\0', '\n', '\r', '\t', '\u{1b}', '\u{7f}', '\u{85}'] {
        let text = format!("ü{c}b");
        assert_eq!(SessionKey::new(text), Err(InvalidKey::ControlCharacter { at: 2 }), "{c:?}");
    }
    for text in ["user:42", "a b", " ", "a/b\\c", "日本", "🦀", "{\"id\":1}"] {
        assert_eq!(SessionKey::new(text).unwrap(), text);
    }
}

#[test]
fn a_refusal_says_the_rule_and_what_to_do() {
    let message = |text: &str| SessionKey::new(text).unwrap_err().to_string();
    assert_eq!(message(""), "session key is empty; name the conversation with 1 to 512 bytes");
    assert_eq!(message(&"a".repeat(600)), "session key has 600 bytes, the most is 512; shorten it or use a hash of it");
    assert_eq!(message("a\nb"), "session key has a control character at byte 1; remove or encode it");
}

#[test]
fn every_door_checks() {
    assert_eq!(SessionKey::try_from(""), Err(InvalidKey::Empty));
    assert_eq!(SessionKey::try_from(String::new()), Err(InvalidKey::Empty));
    assert_eq!("".parse::<SessionKey>(), Err(InvalidKey::Empty));
    assert_eq!("".into_key(), Err(InvalidKey::Empty));
    assert_eq!(String::new().into_key(), Err(InvalidKey::Empty));
    assert_eq!((&String::new()).into_key(), Err(InvalidKey::Empty));

    let error = serde_json::from_str::<SessionKey>(r#""a\nb""#).unwrap_err();
    let expected = InvalidKey::ControlCharacter { at: 1 }.to_string();
    assert!(error.to_string().starts_with(&expected), "{error}");
    let error = serde_json::from_str::<SessionKey>("5").unwrap_err();
    assert!(error.to_string().contains("expected a session key as text"), "{error}");
}

#[test]
fn every_name_of_a_session_gives_its_key() {
    fn named(name: impl IntoKey) -> SessionKey {
        assert_eq!(name.as_str(), "user:42");
        name.into_key().unwrap()
    }
    let key = SessionKey::new("user:42").unwrap();
    assert_eq!(named("user:42"), key);
    let text = String::from("user:42");
    assert_eq!(named(&text), key);
    assert_eq!(named(text), key);
    assert_eq!(named(&key), key);
    assert_eq!(named(key.clone()), key);
}

#[test]
fn a_clone_shares_the_text() {
    let key = SessionKey::new("user:42").unwrap();
    assert!(std::ptr::eq(key.as_str(), key.clone().as_str()));
    assert!(std::ptr::eq(key.as_str(), (&key).into_key().unwrap().as_str()));
}

#[test]
fn a_key_is_shown_as_its_text() {
    let key = SessionKey::new("user:42").unwrap();
    assert_eq!(key.to_string(), "user:42");
    assert_eq!(format!("{key:<9}|"), "user:42  |");
    assert_eq!(format!("{key:?}"), r#"SessionKey("user:42")"#);
    assert_eq!(serde_json::to_string(&key).unwrap(), r#""user:42""#);
}

proptest! {
    #[test]
    fn a_key_hashes_orders_and_equals_as_its_text(
        texts in proptest::collection::vec("[^\\p{Cc}]{1,40}", 1..20),
    ) {
        let keys: HashMap<SessionKey, usize> = texts
            .iter()
            .enumerate()
            .map(|(n, text)| (SessionKey::new(text).unwrap(), n))
            .collect();
        for text in &texts {
            let found = keys.get(text.as_str()).copied();
            prop_assert_eq!(found, texts.iter().rposition(|other| other == text));
        }
        let sorted: BTreeSet<SessionKey> = keys.into_keys().collect();
        let as_text: BTreeSet<&str> = texts.iter().map(String::as_str).collect();
        prop_assert!(sorted.iter().map(SessionKey::as_str).eq(as_text));
    }

    #[test]
    fn what_is_a_key_survives_serialization(text in "\\PC{1,40}") {
        let key = SessionKey::new(&text).unwrap();
        let json = serde_json::to_string(&key).unwrap();
        prop_assert_eq!(serde_json::from_str::<SessionKey>(&json).unwrap(), key);
    }
}
