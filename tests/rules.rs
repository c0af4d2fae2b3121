//! Promise: a key gets the limits of the first that matches: `exclude`, then the rules in their
//! order, then the policy's own (design, section 8).
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;
use session_actors::{AppliedRule, EffectiveLimits, Limits, Mode, Policy, Ruling};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn read(text: &str) -> Policy {
    toml::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn sample() -> Policy {
    read(
        r#"
        warn_before = "1m"
        exclude = ["main", "persistent:*"]
        [[rules]]
        match = "hook:*"
        idle_timeout = "5m"
        "#,
    )
}

fn ruling(policy: &Policy, key: &str) -> Ruling {
    policy.ruling(key).unwrap()
}

fn limits(policy: &Policy, key: &str) -> EffectiveLimits {
    ruling(policy, key).limits
}

#[test]
fn a_key_without_a_rule_has_the_policys_limits() {
    let policy = sample();
    let ruling = ruling(&policy, "user:42");
    assert_eq!(ruling.rule, AppliedRule::Default);
    assert_eq!(ruling.limits, policy.get_limits());
}

#[test]
fn what_a_rule_leaves_out_comes_from_above() {
    let policy = sample();
    let ruling = ruling(&policy, "hook:build");
    assert_eq!(ruling.rule, AppliedRule::Rule { index: 1, pattern: "hook:*".into() });

    let mut expected = policy.get_limits();
    expected.idle_timeout = Some(5 * MINUTE);
    assert_eq!(ruling.limits, expected);
}

#[test]
fn a_rule_may_switch_off_what_is_set_above() {
    let policy = read("max_busy = \"1m\"\n[[rules]]\nmatch = \"batch:*\"\nmax_busy = \"never\"");
    assert_eq!(limits(&policy, "chat:1").max_busy, Some(MINUTE));
    assert_eq!(limits(&policy, "batch:1").max_busy, None);
}

#[test]
fn the_first_rule_that_matches_wins_even_if_a_later_one_is_closer() {
    let policy = Policy::default()
        .rule("hook:*", Limits::new().idle_timeout(5 * MINUTE))
        .rule("hook:slow", Limits::new().idle_timeout(50 * MINUTE).max_age(2 * DAY));
    let ruling = ruling(&policy, "hook:slow");
    assert_eq!(ruling.rule, AppliedRule::Rule { index: 1, pattern: "hook:*".into() });
    assert_eq!(ruling.limits.idle_timeout, Some(5 * MINUTE));
    // Nothing is taken from the second.
    assert_eq!(ruling.limits.max_age, Some(DAY));
}

#[test]
fn exclude_is_looked_at_before_all_rules() {
    let policy =
        Policy::default().rule("*", Limits::new().idle_timeout(MINUTE)).exclude("main").exclude("persistent:*");
    let excluded = |pattern: &str| AppliedRule::Exclude { pattern: pattern.into() };
    assert_eq!(ruling(&policy, "main").rule, excluded("main"));
    assert_eq!(ruling(&policy, "persistent:a").rule, excluded("persistent:*"));
    assert_eq!(ruling(&policy, "mainly").rule, AppliedRule::Rule { index: 1, pattern: "*".into() });
}

#[test]
fn what_is_excluded_never_expires_and_keeps_the_policys_other_limits() {
    let policy = read(
        r#"
        idle_timeout = "1h"
        max_busy = "10m"
        warn_before = "1m"
        drain_timeout = "5s"
        exclude = ["main"]
        "#,
    );
    let limits = limits(&policy, "main");
    assert_eq!(limits.idle_timeout, None);
    assert_eq!(limits.max_age, None);
    assert_eq!(limits.max_busy, Some(10 * MINUTE));
    assert_eq!(limits.drain_timeout, Some(5 * SECOND));
}

#[test]
fn exclude_is_short_for_a_rule_with_never_and_never() {
    let base = Limits::new().warn_before(MINUTE).max_busy(HOUR);
    let short = Policy::new(base.clone()).exclude("main");
    let long = Policy::new(base).rule("main", Limits::never());
    assert_eq!(limits(&short, "main"), limits(&long, "main"));
}

#[test]
fn a_star_matches_anything_also_separators_and_nothing() {
    let policy = Policy::default().exclude("hook:*");
    for key in ["hook:", "hook:a", "hook:a/b/c", "hook:a:b", "hook:.hidden", "hook:ü 🦀"] {
        assert_ne!(ruling(&policy, key).rule, AppliedRule::Default, "{key}");
    }
    for key in ["hook", "a hook:", "Hook:a", "HOOK:a"] {
        assert_eq!(ruling(&policy, key).rule, AppliedRule::Default, "{key}");
    }
}

#[test]
fn the_other_wildcards_match_one_character() {
    let policy = Policy::default().exclude("a?c").exclude("n[0-9]").exclude("x[!y]").exclude("[*]");
    for key in ["abc", "a/c", "a🦀c", "n7", "xz", "*"] {
        assert_ne!(ruling(&policy, key).rule, AppliedRule::Default, "{key}");
    }
    for key in ["ac", "abbc", "n", "n77", "xy", "anything"] {
        assert_eq!(ruling(&policy, key).rule, AppliedRule::Default, "{key}");
    }
}

#[test]
fn a_pattern_without_wildcards_is_the_whole_key() {
    let policy = Policy::default().exclude("{main,side}").exclude("main");
    assert_ne!(ruling(&policy, "main").rule, AppliedRule::Default);
    assert_eq!(ruling(&policy, "main:1").rule, AppliedRule::Default);
    // Braces are plain characters, as the documentation of `Policy` says.
    assert_eq!(ruling(&policy, "side").rule, AppliedRule::Default);
    assert_ne!(ruling(&policy, "{main,side}").rule, AppliedRule::Default);
}

#[test]
fn a_pattern_of_many_stars_does_not_blow_up() {
    // Exponential in a naive matcher: would not end.
    let policy = Policy::default().exclude("a*".repeat(64) + "b");
    assert_eq!(ruling(&policy, &"a".repeat(512)).rule, AppliedRule::Default);
}

#[test]
fn a_policy_is_changed_by_taking_it_further() {
    let policy = sample().limits(Limits::new().max_age(None)).mode(Mode::Observe);
    assert_eq!(policy.get_mode(), Mode::Observe);
    assert_eq!(policy.get_limits().max_age, None);
    // The rest of the limits stays as it was, and rules inherit the change.
    assert_eq!(policy.get_limits().warn_before, Some(MINUTE));
    assert_eq!(limits(&policy, "hook:1").max_age, None);
    assert_eq!(policy.get_exclude().collect::<Vec<_>>(), ["main", "persistent:*"]);
    let rules: Vec<_> = policy.get_rules().collect();
    assert_eq!(rules, [("hook:*", &Limits::new().idle_timeout(5 * MINUTE))]);
}

#[test]
fn where_limits_come_from_is_shown_in_one_word_or_three() {
    let policy = Policy::default().exclude("main").rule("hook:*", Limits::new());
    let shown = |key| {
        let rule = ruling(&policy, key).rule;
        assert_eq!(serde_json::to_value(&rule).unwrap(), json!(rule.to_string()));
        rule.to_string()
    };
    assert_eq!(shown("user:1"), "default");
    assert_eq!(shown("main"), "exclude main");
    assert_eq!(shown("hook:1"), "rule 1: hook:*");
    assert_eq!(AppliedRule::Session.to_string(), "session");
}

proptest! {
    #[test]
    fn any_text_as_a_pattern_and_any_key_are_answered(
        pattern in "[a-c*?/\\[\\]!-]{0,12}",
        key in "[a-c*?/\\[\\]!-]{1,16}",
    ) {
        let policy = Policy::default().exclude(pattern.clone());
        match policy.ruling(&key) {
            Ok(ruling) if ruling.rule == AppliedRule::Default => {}
            Ok(ruling) => prop_assert_eq!(ruling.rule, AppliedRule::Exclude { pattern }),
            Err(error) => prop_assert!(error.to_string().starts_with("exclude 1"), "{}", error),
        }
    }
}
