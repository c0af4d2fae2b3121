//! `gateway.toml`, a file of one's own, and the environment.

use std::path::Path;

use session_actors::Policy;

use crate::gateway::config::{Config, ConfigError};

fn parse(text: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
    Config::parse(text, "my.toml", environment.iter().map(|(name, value)| (name.to_string(), value.to_string())))
}

#[test]
fn the_built_in_settings_are_whole_and_keep_to_loopback() {
    let config = Config::load(None, []).expect("the built-in settings");
    assert!(config.server.bind.ip().is_loopback());
    assert!(config.server.admin_token.is_none() && config.hooks.secrets.is_empty());
    config.sessions.validate().expect("a policy");
}

#[test]
fn a_file_needs_only_what_it_changes() {
    let config = parse("[server]\nbind = \"127.0.0.1:9000\"\n[chat]\nslow_replies = 2", &[]).expect("settings");
    assert_eq!(config.server.bind.port(), 9000);
    assert_eq!((config.chat.slow_replies, config.server.workers), (2, 2));
    let built_in = Config::load(None, []).expect("the built-in settings");
    assert_eq!(config.sessions, built_in.sessions);

    let config = parse("[sessions]\nidle_timeout = \"5s\"", &[]).expect("settings");
    assert_eq!(config.sessions, toml::from_str::<Policy>("idle_timeout = \"5s\"").expect("a policy"));
}

#[test]
fn the_environment_wins_and_can_hold_the_secrets() {
    let environment = [
        ("GATEWAY_BIND", "[::1]:7000"),
        ("GATEWAY_ADMIN_TOKEN", "open sesame"),
        ("GATEWAY_HOOK_SECRET_GITHUB", "hush"),
        ("HOME", "/root"),
    ];
    let config = parse("[server]\nbind = \"127.0.0.1:9000\"\nadmin_token = \"other\"", &environment).expect("settings");
    assert_eq!(config.server.bind.to_string(), "[::1]:7000");
    assert!(config.hooks.secrets.contains_key("github"));
    let shown = format!("{config:?}");
    assert!(!shown.contains("open sesame") && !shown.contains("hush"), "{shown}");
}

#[test]
fn a_mistake_is_named_with_its_place() {
    for (text, words) in [
        ("[server", &["my.toml"][..]),
        ("[servers]\nbind = \"127.0.0.1:1\"", &["my.toml: there is no section", "servers", "sessions"]),
        ("[server]\nport = 80", &["my.toml: [server]", "port"]),
        ("[server]\nbind = \"here\"", &["[server]"]),
        ("[server]\nworkers = 0", &["server.workers", "1 or more"]),
        ("[server]\nadmin_token = \"\"", &["server.admin_token", "empty"]),
        ("[server]\nbind = \"0.0.0.0:80\"", &["0.0.0.0:80", "admin_token"]),
        ("[hooks.secrets]\ngithub = \"\"", &["hooks.secrets.github", "empty"]),
        ("[hooks.secrets]\nGitHub = \"x\"", &["hooks.secrets.GitHub", "lower-case"]),
        ("[chat]\nping_every = \"1m\"", &["chat.ping_timeout", "chat.ping_every"]),
        ("[limits]\nbody_timeout = \"0s\"", &["limits.body_timeout"]),
        ("[sessions]\nidle_timeout = \"0s\"", &["[sessions]", "idle_timeout", "never"]),
        ("[sessions]\nrules = [{ match = \"\", idle_timeout = \"1s\" }]", &["[sessions]", "match"]),
    ] {
        let error = parse(text, &[]).expect_err(text).to_string();
        for word in words {
            assert!(error.contains(word), "{text:?} gives {error:?}, which does not mention {word:?}");
        }
    }
    let error = parse("", &[("GATEWAY_BIND", "8080")]).expect_err("no address").to_string();
    assert!(error.contains("GATEWAY_BIND") && error.contains("127.0.0.1:8080"), "{error}");
    let error = parse("", &[("GATEWAY_ADMIN_TOKEN", "")]).expect_err("an empty token").to_string();
    assert!(error.contains("admin_token"), "{error}");
    let error = Config::load(Some(Path::new("/no/such.toml")), []).expect_err("no file").to_string();
    assert!(error.contains("/no/such.toml"), "{error}");
}

#[test]
fn a_token_opens_the_door_to_other_machines() {
    let environment = [("GATEWAY_BIND", "0.0.0.0:8080"), ("GATEWAY_ADMIN_TOKEN", "open sesame")];
    parse("", &environment).expect("settings");
}

#[test]
fn what_looks_like_a_setting_in_the_environment_and_is_none_is_told() {
    let environment = ["GATEWAY_HOOK_SECRETS_GITHUB", "GATEWAY_CONFIG", "GATEWAY_BIND", "HOME"];
    let environment = environment.map(|name| (name.to_owned(), "127.0.0.1:1".to_owned()));
    let config = Config::parse("", "", environment).expect("settings");
    assert_eq!(config.unknown_variables, ["GATEWAY_HOOK_SECRETS_GITHUB"]);
}
