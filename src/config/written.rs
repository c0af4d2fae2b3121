//! What an operator wrote, as a tree, before it is known to mean anything.

use std::fmt;

use serde::{Deserialize, Deserializer, de};

use super::error::ConfigError;
use crate::policy::PolicyPlace;

/// A value in any self-describing format.
#[derive(Debug)]
pub(super) enum Written {
    /// Kept apart from a field left out: is `null` "never" or "default"? It is refused.
    Null,
    Bool(bool),
    Integer(i128),
    Float(f64),
    Text(String),
    List(Vec<Written>),
    Table(Vec<(String, Written)>),
}

/// As an error calls it: `the number 300`.
impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null, which says neither a value nor that it is left out"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Integer(value) => write!(f, "the number {value}"),
            Self::Float(value) => write!(f, "the number {value}"),
            Self::Text(value) => write!(f, "the text {value:?}"),
            Self::List(_) => f.write_str("a list"),
            Self::Table(_) => f.write_str("a table"),
        }
    }
}

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Anything)
    }
}

struct Anything;

impl<'de> de::Visitor<'de> for Anything {
    type Value = Written;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a setting")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Written, E> {
        Ok(Written::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<Written, E> {
        Ok(Written::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Written, D::Error> {
        Written::deserialize(deserializer)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Written, E> {
        Ok(Written::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Written, E> {
        Ok(Written::Integer(value.into()))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Written, E> {
        Ok(Written::Integer(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Written, E> {
        Ok(Written::Float(value))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Written, E> {
        Ok(Written::Text(value.to_owned()))
    }

    fn visit_string<E: de::Error>(self, value: String) -> Result<Written, E> {
        Ok(Written::Text(value))
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<Written, A::Error> {
        // No capacity from a size hint: it is the file's word for it.
        let mut entries = Vec::new();
        while let Some(entry) = list.next_element()? {
            entries.push(entry);
        }
        Ok(Written::List(entries))
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut table: A) -> Result<Written, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = table.next_entry()? {
            entries.push(entry);
        }
        Ok(Written::Table(entries))
    }
}

/// The fields of one table, taken out by name. Whatever is taken is known and may be written;
/// there is no second list of names that could fall behind.
#[derive(Debug)]
pub(super) struct Fields {
    place: PolicyPlace,
    entries: Vec<(String, Written)>,
    known: Vec<&'static str>,
}

impl Fields {
    pub(super) fn new(place: PolicyPlace, entries: Vec<(String, Written)>) -> Self {
        Self { place, entries, known: Vec::new() }
    }

    /// The fields of a table that is itself the field `outer`: known as `outer.name`.
    pub(super) fn within(outer: &str, place: PolicyPlace, mut entries: Vec<(String, Written)>) -> Self {
        for (name, _) in &mut entries {
            *name = format!("{outer}.{name}");
        }
        Self::new(place, entries)
    }

    /// Says more exactly where the table stands, once that is read.
    pub(super) fn name_place(&mut self, place: PolicyPlace) {
        self.place = place;
    }

    pub(super) fn take(&mut self, name: &'static str) -> Option<Written> {
        self.known.push(name);
        let at = self.entries.iter().position(|(found, _)| found == name)?;
        // In order: if the name is there twice, the second is what is left over.
        Some(self.entries.remove(at).1)
    }

    /// Everything known is taken: what is left is an error.
    pub(super) fn finish(self) -> Result<PolicyPlace, ConfigError> {
        let Self { place, entries, known } = self;
        match entries.into_iter().next() {
            None => Ok(place),
            Some((name, _)) if known.contains(&name.as_str()) => Err(ConfigError::Twice { place, name }),
            Some((name, _)) => Err(ConfigError::Unknown { place, name, known }),
        }
    }
}
