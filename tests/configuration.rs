//! Promise: what an operator writes is what applies, in the long form and in the short ones, and a
//! policy written out reads back equal (design, section 8).
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;
use session_actors::{EffectiveLimits, Limits, Mode, OnFull, Policy};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Section 8 of the design, to the letter.
const SECTION_8: &str = r#"
idle_timeout = "1h"          # default
max_age = "24h"              # default
max_busy = "never"           # default
warn_before = "1m"           # default: never
drain_timeout = "30s"        # default
max_sessions = 100_000       # default: never
on_full = "reject"           # or "evict_idle"
mode = "enforce"             # or "observe"
exclude = ["main", "persistent:*"]      # never expire: a short form of a rule with never/never

[[rules]]                    # first match wins; what a rule leaves out comes from above
match = "hook:*"
idle_timeout = "5m"
"#;

fn read(text: &str) -> Policy {
    toml::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn limits(policy: &Policy, key: &str) -> EffectiveLimits {
    policy.ruling(key).unwrap().limits
}

// What is read

#[test]
fn the_example_of_the_design_is_read_as_it_stands() {
    let policy = read(SECTION_8);

    let in_code = Policy::new(
        Limits::new().idle_timeout(HOUR).max_age(DAY).max_busy(None).warn_before(MINUTE).drain_timeout(30 * SECOND),
    )
    .max_sessions(100_000)
    .on_full(OnFull::Reject)
    .mode(Mode::Enforce)
    .exclude("main")
    .exclude("persistent:*")
    .rule("hook:*", Limits::new().idle_timeout(5 * MINUTE));
    assert_eq!(policy, in_code);
    assert_eq!(policy.validate(), Ok(()));
}

#[test]
fn nothing_written_is_the_default() {
    let policy = read("");
    assert_eq!(policy, Policy::default());
    assert_eq!(policy, Policy::new(Limits::new()));

    let limits = policy.get_limits();
    assert_eq!(limits, EffectiveLimits::default());
    assert_eq!(limits.idle_timeout, Some(HOUR));
    assert_eq!(limits.max_age, Some(DAY));
    assert_eq!(limits.max_busy, None);
    assert_eq!(limits.warn_before, None);
    assert_eq!(limits.drain_timeout, Some(30 * SECOND));
    assert_eq!(policy.get_max_sessions(), None);
    assert_eq!(policy.get_on_full(), OnFull::Reject);
    assert_eq!(policy.get_mode(), Mode::Enforce);
    assert_eq!(policy.get_exclude().len(), 0);
    assert_eq!(policy.get_rules().len(), 0);
}

#[test]
fn never_switches_each_limit_off() {
    let policy = read(
        r#"
        idle_timeout = "never"
        max_age = "never"
        max_busy = "never"
        warn_before = "never"
        drain_timeout = "never"
        max_sessions = "never"
        "#,
    );
    let limits = policy.get_limits();
    assert_eq!(limits.idle_timeout, None);
    assert_eq!(limits.max_age, None);
    assert_eq!(limits.max_busy, None);
    assert_eq!(limits.warn_before, None);
    assert_eq!(limits.drain_timeout, None);
    assert_eq!(policy.get_max_sessions(), None);
    assert_eq!(policy.validate(), Ok(()));
}

#[test]
fn the_other_words_are_read() {
    let policy = read("on_full = \"evict_idle\"\nmode = \"observe\"");
    assert_eq!(policy.get_on_full(), OnFull::EvictIdle);
    assert_eq!(policy.get_mode(), Mode::Observe);
}

#[test]
fn ttl_as_text_is_the_idle_timeout_only() {
    let expected = Policy::new(Limits::new().idle_timeout(2 * HOUR));
    assert_eq!(read(r#"ttl = "2h""#), expected);
}

#[test]
fn ttl_as_a_table_is_idle_timeout_and_max_age() {
    let both = Policy::new(Limits::new().idle_timeout(2 * HOUR).max_age(2 * DAY));
    assert_eq!(read(r#"ttl = { idle = "2h", max_age = "48h" }"#), both);

    let age_only = Policy::new(Limits::new().max_age(2 * DAY));
    assert_eq!(read(r#"ttl = { max_age = "48h" }"#), age_only);

    let never = Policy::new(Limits::never());
    assert_eq!(read(r#"ttl = { idle = "never", max_age = "never" }"#), never);
}

#[test]
fn a_rule_may_say_ttl_where_the_top_says_it_at_length() {
    let policy = read(
        r#"
        idle_timeout = "1h"
        max_age = "24h"
        [[rules]]
        match = "a:*"
        ttl = "5m"
        [[rules]]
        match = "b:*"
        ttl = { max_age = "10m" }
        "#,
    );
    assert_eq!(limits(&policy, "a:1").idle_timeout, Some(5 * MINUTE));
    assert_eq!(limits(&policy, "a:1").max_age, Some(DAY));
    assert_eq!(limits(&policy, "b:1").idle_timeout, Some(HOUR));
    assert_eq!(limits(&policy, "b:1").max_age, Some(10 * MINUTE));
}

#[test]
fn a_policy_may_be_a_part_of_a_larger_file() {
    #[derive(serde::Deserialize)]
    struct Gateway {
        #[serde(default)]
        sessions: Policy,
    }
    let read = |text| toml::from_str::<Gateway>(text).unwrap().sessions;

    assert_eq!(read(""), Policy::default());
    let section: String = SECTION_8.replace("[[rules]]", "[[sessions.rules]]");
    assert_eq!(read(&format!("[sessions]\n{section}")), self::read(SECTION_8));
}

#[test]
fn another_format_reads_the_same() {
    let policy: Policy = serde_json::from_value(json!({
        "idle_timeout": "1h",
        "max_age": "24h",
        "max_busy": "never",
        "warn_before": "1m",
        "drain_timeout": "30s",
        "max_sessions": 100_000,
        "on_full": "reject",
        "mode": "enforce",
        "exclude": ["main", "persistent:*"],
        "rules": [{ "match": "hook:*", "idle_timeout": "5m" }],
    }))
    .unwrap();
    assert_eq!(policy, read(SECTION_8));
}

// What is written

#[test]
fn a_policy_is_written_in_the_long_form_with_every_setting() {
    let policy = Policy::new(Limits::new().max_age(None))
        .exclude("main")
        .rule("hook:*", Limits::new().idle_timeout(90 * SECOND).max_busy(None));
    assert_eq!(
        serde_json::to_value(&policy).unwrap(),
        json!({
            "idle_timeout": "1h",
            "max_age": "never",
            "max_busy": "never",
            "warn_before": "never",
            "drain_timeout": "30s",
            "passivate_after": "never",
            "checkpoint": "end",
            "max_sessions": "never",
            "on_full": "reject",
            "mode": "enforce",
            "exclude": ["main"],
            "rules": [{ "match": "hook:*", "idle_timeout": "1m 30s", "max_busy": "never" }],
        })
    );
}

fn durations() -> impl Strategy<Value = Option<Duration>> {
    prop_oneof![
        Just(None),
        (1..=u64::from(u32::MAX), 0..1_000_000_000_u32).prop_map(|(s, n)| Some(Duration::new(s, n))),
    ]
}

prop_compose! {
    fn partial_limits()(
        idle in proptest::option::of(durations()),
        age in proptest::option::of(durations()),
        busy in proptest::option::of(durations()),
        drain in proptest::option::of(durations()),
        // Below every other duration.
        warn in proptest::option::of(proptest::option::of((1..1_000_000_u32).prop_map(|n| Duration::new(0, n)))),
    ) -> Limits {
        let mut limits = Limits::new();
        if let Some(idle) = idle { limits = limits.idle_timeout(idle) }
        if let Some(age) = age { limits = limits.max_age(age) }
        if let Some(busy) = busy { limits = limits.max_busy(busy) }
        if let Some(drain) = drain { limits = limits.drain_timeout(drain) }
        if let Some(warn) = warn { limits = limits.warn_before(warn) }
        limits
    }
}

prop_compose! {
    fn policies()(
        limits in partial_limits(),
        exclude in proptest::collection::vec("[a-z*?]\\PC{0,3}", 0..3),
        rules in proptest::collection::vec(("[a-z*?]\\PC{0,3}", partial_limits()), 0..4),
        max in proptest::option::of(1..1_000_000_usize),
        evict in any::<bool>(),
        observe in any::<bool>(),
    ) -> Policy {
        let mut policy = Policy::new(limits).max_sessions(max);
        if evict { policy = policy.on_full(OnFull::EvictIdle) }
        if observe { policy = policy.mode(Mode::Observe) }
        policy = exclude.into_iter().fold(policy, Policy::exclude);
        rules.into_iter().fold(policy, |policy, (pattern, limits)| policy.rule(pattern, limits))
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_back_equal(policy in policies()) {
        prop_assume!(policy.validate().is_ok());
        let toml = toml::to_string(&policy).unwrap();
        prop_assert_eq!(&toml::from_str::<Policy>(&toml).unwrap(), &policy, "{}", toml);
        let json = serde_json::to_string(&policy).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Policy>(&json).unwrap(), &policy, "{}", json);
    }
}
