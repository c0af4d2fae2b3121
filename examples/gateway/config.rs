//! The settings: the embedded `gateway.toml`, a file laid over it, the environment laid over both.

use std::collections::BTreeMap;
use std::net::{AddrParseError, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use session_actors::Policy;

use super::auth::Secret;
use super::keys::check_source;

/// The defaults are this file and nothing else, so what the operator reads is what runs.
pub(crate) const EMBEDDED: &str = include_str!("gateway.toml");

const SECRET_VARIABLE: &str = "GATEWAY_HOOK_SECRET_";

#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) server: ServerConfig,
    pub(crate) limits: RequestLimits,
    pub(crate) hooks: HooksConfig,
    pub(crate) chat: ChatConfig,
    pub(crate) store: StoreConfig,
    pub(crate) sessions: Policy,
    /// What looks like a setting in the environment and is none.
    pub(crate) unknown_variables: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServerConfig {
    pub(crate) bind: SocketAddr,
    pub(crate) admin_token: Option<Secret>,
    pub(crate) workers: usize,
    pub(crate) session_threads: usize,
    pub(crate) max_connections: usize,
    #[serde(with = "humantime_serde")]
    pub(crate) drain_timeout: Duration,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RequestLimits {
    pub(crate) body_bytes: usize,
    #[serde(with = "humantime_serde")]
    pub(crate) body_timeout: Duration,
    pub(crate) frame_bytes: usize,
    #[serde(with = "humantime_serde")]
    pub(crate) max_work: Duration,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HooksConfig {
    pub(crate) secrets: BTreeMap<String, Secret>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChatConfig {
    #[serde(with = "humantime_serde")]
    pub(crate) ping_every: Duration,
    #[serde(with = "humantime_serde")]
    pub(crate) ping_timeout: Duration,
    pub(crate) socket_buffer: usize,
    pub(crate) sockets_per_session: usize,
    pub(crate) slow_replies: usize,
    pub(crate) allowed_origins: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoreConfig {
    pub(crate) file: PathBuf,
    pub(crate) cache_bytes: usize,
    #[serde(with = "humantime_serde")]
    pub(crate) timeout: Duration,
}

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ConfigError {
    #[error("cannot read {}: {source}; give the path of a TOML file, or none to run with the built-in settings", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{place} is not TOML: {source}")]
    NotToml { place: String, source: toml::de::Error },
    #[error("{place}[{section}]: {source}")]
    Section { place: String, section: &'static str, source: Box<toml::de::Error> },
    #[error("{place}there is no section [{name}]; the sections are server, limits, hooks, chat, store and sessions")]
    UnknownSection { place: String, name: String },
    #[error("GATEWAY_BIND = {value:?}: {source}; write an address and a port, such as 127.0.0.1:8080")]
    Bind { value: String, source: AddrParseError },
    #[error("{field} {problem}")]
    Field { field: String, problem: &'static str },
    #[error(
        "{bind} can be reached from other machines, and without a token anybody there could read and end every session: \
         set admin_token (or GATEWAY_ADMIN_TOKEN), or bind to 127.0.0.1"
    )]
    OpenToAll { bind: SocketAddr },
}

impl Config {
    /// Reads the settings. `environment` is handed in, so that a test needs no process-wide state.
    pub(crate) fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let Some(path) = file else { return Self::parse("", "", environment) };
        let text =
            std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable { path: path.into(), source })?;
        Self::parse(&text, &path.display().to_string(), environment)
    }

    /// Lays the TOML `text`, which came from `place`, over the built-in settings.
    pub(crate) fn parse(
        text: &str,
        place: &str,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let mut table = toml_table(EMBEDDED, "the built-in gateway.toml")?;
        overlay(&mut table, toml_table(text, place)?);
        let place = if place.is_empty() { String::new() } else { format!("{place}: ") };
        let mut config = Self {
            server: section(&mut table, "server", &place)?,
            limits: section(&mut table, "limits", &place)?,
            hooks: section(&mut table, "hooks", &place)?,
            chat: section(&mut table, "chat", &place)?,
            store: section(&mut table, "store", &place)?,
            sessions: section(&mut table, "sessions", &place)?,
            unknown_variables: Vec::new(),
        };
        if let Some(name) = table.keys().next() {
            return Err(ConfigError::UnknownSection { place, name: name.clone() });
        }
        for (name, value) in environment {
            config.take_variable(&name, value)?;
        }
        config.check()?;
        Ok(config)
    }

    fn take_variable(&mut self, name: &str, value: String) -> Result<(), ConfigError> {
        if name == "GATEWAY_BIND" {
            self.server.bind = value.parse().map_err(|source| ConfigError::Bind { value, source })?;
        } else if name == "GATEWAY_STORE" {
            self.store.file = value.into();
        } else if name == "GATEWAY_ADMIN_TOKEN" {
            self.server.admin_token = Some(Secret::new(value));
        } else if let Some(source) = name.strip_prefix(SECRET_VARIABLE) {
            self.hooks.secrets.insert(source.to_lowercase(), Secret::new(value));
        } else if name.starts_with("GATEWAY_") && name != "GATEWAY_CONFIG" {
            // Not an error: Kubernetes sets such variables for a service that is called gateway.
            self.unknown_variables.push(name.to_owned());
        }
        Ok(())
    }

    /// What no single field can tell. A secret that is set but empty would protect nothing, so it is an error.
    fn check(&self) -> Result<(), ConfigError> {
        let Self { server, limits, hooks, chat, store, sessions: _, unknown_variables: _ } = self;
        for (field, value) in [
            ("server.workers", server.workers),
            ("server.session_threads", server.session_threads),
            ("server.max_connections", server.max_connections),
            ("limits.body_bytes", limits.body_bytes),
            ("limits.frame_bytes", limits.frame_bytes),
            ("chat.socket_buffer", chat.socket_buffer),
            ("chat.sockets_per_session", chat.sockets_per_session),
            ("chat.slow_replies", chat.slow_replies),
        ] {
            refuse(value == 0, field, "is 0: write 1 or more")?;
        }
        for (field, value) in [
            ("server.drain_timeout", server.drain_timeout),
            ("limits.body_timeout", limits.body_timeout),
            ("limits.max_work", limits.max_work),
            ("chat.ping_every", chat.ping_every),
            ("store.timeout", store.timeout),
        ] {
            refuse(value.is_zero(), field, "is zero: write a duration such as \"10s\"")?;
        }
        refuse(chat.ping_timeout <= chat.ping_every, "chat.ping_timeout", "must be longer than chat.ping_every")?;
        refuse(store.file.as_os_str().is_empty(), "store.file", "is empty: name a file, such as \"gateway.redb\"")?;
        let empty = server.admin_token.as_ref().is_some_and(Secret::is_empty);
        refuse(empty, "server.admin_token", "is empty: give it a value, or leave it out")?;
        for (source, secret) in &hooks.secrets {
            let field = format!("hooks.secrets.{source}");
            refuse(secret.is_empty(), &field, "is empty: give it a value, or leave it out")?;
            let odd = check_source(source).is_err();
            refuse(odd, &field, "names no source: use lower-case letters, digits, '-', '_' and '.'")?;
        }
        if !server.bind.ip().is_loopback() && server.admin_token.is_none() {
            return Err(ConfigError::OpenToAll { bind: server.bind });
        }
        Ok(())
    }
}

fn refuse(wrong: bool, field: &str, problem: &'static str) -> Result<(), ConfigError> {
    if wrong { Err(ConfigError::Field { field: field.into(), problem }) } else { Ok(()) }
}

fn toml_table(text: &str, place: &str) -> Result<toml::Table, ConfigError> {
    text.parse().map_err(|source| ConfigError::NotToml { place: place.into(), source })
}

fn overlay(base: &mut toml::Table, over: toml::Table) {
    for (name, value) in over {
        match (base.get_mut(&name), value) {
            (Some(toml::Value::Table(section)), toml::Value::Table(values)) if name != "sessions" => {
                section.extend(values);
            }
            (_, value) => {
                base.insert(name, value);
            }
        }
    }
}

fn section<T: DeserializeOwned>(table: &mut toml::Table, name: &'static str, place: &str) -> Result<T, ConfigError> {
    let value = table.remove(name).unwrap_or_else(|| toml::Table::new().into());
    value.try_into().map_err(|source| ConfigError::Section {
        place: place.into(),
        section: name,
        source: Box::new(source),
    })
}
