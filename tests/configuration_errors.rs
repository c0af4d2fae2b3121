//! Promise: what cannot apply is refused where it is written, in a message that says where, what and
//! what to write instead (design, section 8).
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;
use session_actors::{Limits, Policy, PolicyError, PolicyPlace};
use tokio::time::Instant;

const HOUR: Duration = Duration::from_secs(60 * 60);

fn read(text: &str) -> Policy {
    toml::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// The message of the refusal, without the format's own words around it.
fn refused(text: &str) -> String {
    toml::from_str::<Policy>(text).expect_err(text).message().to_owned()
}

#[test]
fn a_zero_is_refused_where_it_stands_and_told_to_be_never() {
    assert_eq!(refused(r#"idle_timeout = "0s""#), r#"idle_timeout is zero; write "never" to switch it off"#);
    assert_eq!(
        refused(
            r#"
            [[rules]]
            match = "a"
            [[rules]]
            idle_timeout = "0"
            match = "hook:*"
            "#
        ),
        r#"rule 2 "hook:*": idle_timeout is zero; write "never" to switch it off"#
    );
    for field in ["max_age", "max_busy", "warn_before"] {
        assert_eq!(
            refused(&format!("{field} = \"0ms\"")),
            format!("{field} is zero; write \"never\" to switch it off")
        );
    }
    assert_eq!(refused(r#"ttl = "0s""#), r#"ttl is zero; write "never" to switch it off"#);
    assert_eq!(
        refused("[[rules]]\nmatch = \"a\"\nttl = { idle = \"1h\", max_age = \"0h\" }"),
        r#"rule 1 "a": ttl.max_age is zero; write "never" to switch it off"#
    );
}

#[test]
fn a_zero_drain_timeout_is_not_just_told_to_be_the_opposite() {
    assert_eq!(
        refused(r#"drain_timeout = "0s""#),
        r#"drain_timeout is zero; give it a millisecond to cut work at once, or write "never" to wait for work however long it takes"#
    );
}

#[test]
fn a_warning_not_below_its_limit_names_both() {
    assert_eq!(
        refused("idle_timeout = \"5m\"\nwarn_before = \"5m\""),
        r#"warn_before (5m) is not below idle_timeout (5m); give warn_before a shorter time here, or write "never" for no warning"#
    );
    assert_eq!(
        refused("idle_timeout = \"never\"\nmax_age = \"10m\"\nwarn_before = \"11m\""),
        r#"warn_before (11m) is not below max_age (10m); give warn_before a shorter time here, or write "never" for no warning"#
    );
    read("idle_timeout = \"5m\"\nwarn_before = \"4m 59s\"");
    read("idle_timeout = \"never\"\nmax_age = \"never\"\nwarn_before = \"1000h\"");
}

#[test]
fn a_warning_is_compared_in_each_rule_after_inheritance() {
    // The rule inherits the warning.
    assert_eq!(
        refused("warn_before = \"1m\"\n[[rules]]\nmatch = \"hook:*\"\nidle_timeout = \"30s\""),
        r#"rule 1 "hook:*": warn_before (1m) is not below idle_timeout (30s); give warn_before a shorter time here, or write "never" for no warning"#
    );
    // The rule inherits the limit.
    assert_eq!(
        refused("[[rules]]\nmatch = \"a\"\n[[rules]]\nmatch = \"b\"\nwarn_before = \"25h\"\nttl = \"never\""),
        r#"rule 2 "b": warn_before (1day 1h) is not below max_age (1day); give warn_before a shorter time here, or write "never" for no warning"#
    );
    read("warn_before = \"1m\"\n[[rules]]\nmatch = \"a\"\nidle_timeout = \"30s\"\nwarn_before = \"never\"");
    read("warn_before = \"1m\"\n[[rules]]\nmatch = \"a\"\nidle_timeout = \"30s\"\nwarn_before = \"1s\"");
}

#[test]
fn an_unknown_field_is_named_with_its_rule_and_its_neighbours() {
    assert_eq!(
        refused(r#"idle_timout = "1h""#),
        r#"unknown field "idle_timout"; the fields here are ttl, idle_timeout, max_age, max_busy, warn_before, drain_timeout, passivate_after, checkpoint, max_sessions, on_full, mode, exclude, rules"#
    );
    assert_eq!(
        refused("[[rules]]\nmatch = \"hook:*\"\nmax_sessions = 5"),
        r#"rule 1 "hook:*": unknown field "max_sessions"; the fields here are match, ttl, idle_timeout, max_age, max_busy, warn_before, drain_timeout, passivate_after, checkpoint"#
    );
    assert_eq!(
        refused("[[rules]]\nmach = \"hook:*\""),
        r#"rule 1: unknown field "mach"; the fields here are match, ttl, idle_timeout, max_age, max_busy, warn_before, drain_timeout, passivate_after, checkpoint"#
    );
    assert_eq!(
        refused(r#"ttl = { idle = "1h", age = "24h" }"#),
        r#"unknown field "ttl.age"; the fields here are ttl.idle, ttl.max_age"#
    );
}

#[test]
fn ttl_beside_what_it_is_short_for_is_refused() {
    let instead = r#"which it sets itself; write ttl = { idle = "1h", max_age = "24h" }, or idle_timeout and max_age without ttl"#;
    assert_eq!(refused("ttl = \"1h\"\nidle_timeout = \"1h\""), format!("ttl stands beside idle_timeout, {instead}"));
    assert_eq!(
        refused("[[rules]]\nmatch = \"hook:*\"\nttl = \"1h\"\nmax_age = \"1h\""),
        format!("rule 1 \"hook:*\": ttl stands beside max_age, {instead}")
    );
    assert_eq!(refused("ttl = {}"), "ttl is an empty table; write idle, max_age or both into it");
}

#[test]
fn an_empty_pattern_is_refused() {
    let instead = r#"is empty and matches no key; write a glob such as "hook:*", or "*" for every key"#;
    assert_eq!(refused("[[rules]]\nmatch = \"a\"\n[[rules]]\nmatch = \"\""), format!("rule 2: match {instead}"));
    assert_eq!(refused(r#"exclude = ["main", ""]"#), format!("exclude 2: this {instead}"));
}

#[test]
fn an_invalid_pattern_is_refused_with_the_place_in_it() {
    let instead = r#"write "*" for any text, "?" for one character, "[ab]" for one of a set, "[*]" or "[[]" for the character itself"#;
    assert_eq!(
        refused("[[rules]]\nmatch = \"hook:[\""),
        format!(r#"rule 1 "hook:[": match is not a glob, invalid range pattern at character 6; {instead}"#)
    );
    assert_eq!(
        refused(r#"exclude = ["ok", "a***"]"#),
        format!(
            r#"exclude 2 "a***": this is not a glob, wildcards are either regular `*` or recursive `**` at character 4; {instead}"#
        )
    );
}

#[test]
fn a_rule_without_match_is_refused() {
    assert_eq!(
        refused("[[rules]]\nidle_timeout = \"5m\""),
        r#"rule 1: match is missing; write match = "hook:*", the glob of the keys it is for"#
    );
}

#[test]
fn a_cap_of_zero_or_no_number_is_refused() {
    assert_eq!(
        refused("max_sessions = 0"),
        r#"max_sessions is 0 and would refuse every session; write 1 or more, or "never" for no cap"#
    );
    let instead = r#"write a whole number from 1 without quotes, or "never" for no cap"#;
    for (written, found) in
        [("-1", "the number -1"), ("1.5", "the number 1.5"), ("\"100\"", "the text \"100\""), ("true", "true")]
    {
        assert_eq!(refused(&format!("max_sessions = {written}")), format!("max_sessions is {found}; {instead}"));
    }
}

#[test]
fn an_unknown_word_is_refused_with_the_known_ones() {
    assert_eq!(refused(r#"on_full = "evict""#), r#"on_full is the text "evict"; write "reject" or "evict_idle""#);
    assert_eq!(refused("mode = true"), r#"mode is true; write "enforce" or "observe""#);
}

#[test]
fn a_duration_that_is_none_is_refused_with_its_rule() {
    let instead = r#"write for example "90s", "1h 30m" or "never""#;
    for (written, problem) in [
        ("5 minuts", "unknown unit \"minuts\", use ms, s, m, h, d, w, month or year"),
        ("300", "\"300\" has no unit after it"),
        ("1h 30", "\"30\" has no unit after it"),
        ("-5s", "\"-5s\" has no number before it"),
        ("1h-5s", "'-' has no place in one"),
        ("2 hours min", "\"min\" has no number before it"),
        ("Never", "\"Never\" has no number before it"),
        (" ", "it is empty"),
    ] {
        assert_eq!(
            refused(&format!("[[rules]]\nmatch = \"hook:*\"\nidle_timeout = \"{written}\"")),
            format!("rule 1 \"hook:*\": idle_timeout \"{written}\" is not a duration, {problem}; {instead}")
        );
    }
}

#[test]
fn a_value_of_the_wrong_kind_is_refused_with_the_right_one() {
    let duration = r#"write a duration in quotes, such as "90s" or "1h 30m", or "never""#;
    assert_eq!(refused("idle_timeout = 300"), format!("idle_timeout is the number 300; {duration}"));
    assert_eq!(refused("ttl = [1]"), format!("ttl is a list; {duration}"));
    assert_eq!(refused("ttl = { idle = 5 }"), format!("ttl.idle is the number 5; {duration}"));
    assert_eq!(
        refused("[[rules]]\nmatch = \"a\"\nmax_busy = {}"),
        format!("rule 1 \"a\": max_busy is a table; {duration}")
    );
    assert_eq!(
        refused(r#"exclude = "main""#),
        r#"exclude is the text "main"; write a list of globs, such as ["main", "persistent:*"]"#
    );
    assert_eq!(refused(r#"exclude = ["main", 5]"#), "exclude 2: this is the number 5; write a glob in quotes");
    assert_eq!(
        refused("[rules]\nmatch = \"a\""),
        "rules is a table; write a list of tables, in TOML each under its own [[rules]]"
    );
    assert_eq!(
        refused(r#"rules = ["hook:*"]"#),
        r#"rule 1: this is the text "hook:*"; write a table with a match and the limits for it"#
    );
    assert_eq!(refused("[[rules]]\nmatch = [\"a\", \"b\"]"), "rule 1: match is a list; write a glob in quotes");
}

#[test]
fn null_is_refused_as_it_could_mean_never_or_default() {
    let refused = |value| serde_json::from_value::<Policy>(value).unwrap_err().to_string();
    assert_eq!(
        refused(json!({ "max_age": null })),
        r#"max_age is null, which says neither a value nor that it is left out; write a duration in quotes, such as "90s" or "1h 30m", or "never""#
    );
    assert_eq!(refused(json!(5)), "the policy is the number 5; write a table of settings");
}

#[test]
fn a_field_written_twice_is_refused_also_where_the_format_lets_it_pass() {
    let error = serde_json::from_str::<Policy>(r#"{"max_age": "1h", "max_age": "2h"}"#).unwrap_err();
    assert!(error.to_string().starts_with("max_age is written twice; keep one of them"), "{error}");
}

#[test]
fn a_policy_made_in_code_is_held_to_the_same() {
    let rule = |index, pattern: &str| PolicyPlace::Rule { index, pattern: pattern.into() };
    let zero = Policy::default().rule("hook:*", Limits::new().max_busy(Duration::ZERO));
    assert_eq!(zero.validate(), Err(PolicyError::ZeroDuration { place: rule(1, "hook:*"), field: "max_busy" }));
    assert_eq!(
        Policy::new(Limits::new().drain_timeout(Duration::ZERO)).validate(),
        Err(PolicyError::ZeroDuration { place: PolicyPlace::Top, field: "drain_timeout" })
    );
    assert_eq!(
        Policy::default().rule("a", Limits::new().warn_before(HOUR)).validate(),
        Err(PolicyError::WarnNotBelow { place: rule(1, "a"), warn_before: HOUR, field: "idle_timeout", limit: HOUR })
    );
    assert_eq!(
        Policy::default().rule("", Limits::new()).validate(),
        Err(PolicyError::EmptyPattern { place: rule(1, "") })
    );
    let exclude = PolicyPlace::Exclude { index: 1, pattern: "[a".into() };
    assert!(matches!(
        Policy::default().exclude("[a").validate(),
        Err(PolicyError::InvalidPattern { place, at: 1, .. }) if place == exclude
    ));
    assert_eq!(Policy::default().max_sessions(0).validate(), Err(PolicyError::ZeroSessions));
    // `ruling` does not answer from a policy that no registry would take.
    assert!(zero.ruling("user:1").is_err());
}

#[test]
fn a_zero_at_the_top_is_not_blamed_on_a_rule_that_inherits_it() {
    let policy = Policy::new(Limits::new().max_age(Duration::ZERO)).rule("a", Limits::new());
    assert_eq!(policy.validate().unwrap_err().to_string(), r#"max_age is zero; write "never" to switch it off"#);
}

#[test]
fn what_a_session_sets_is_told_in_the_words_of_code() {
    let place = PolicyPlace::Session;
    assert_eq!(
        PolicyError::ZeroDuration { place, field: "idle_timeout" }.to_string(),
        "limits set by the session: idle_timeout is zero; pass None to switch it off"
    );
}

// Edges of time

#[test]
fn a_very_long_duration_is_kept_or_refused_but_never_a_panic() {
    let long = read(r#"idle_timeout = "1000000years""#);
    let idle = long.get_limits().idle_timeout.unwrap();
    assert_eq!(idle.as_secs(), 31_557_600 * 1_000_000);

    // More than an `Instant` can be moved by: a valid limit, as good as never.
    let longest = read(&format!("max_age = \"{}s\"", u64::MAX));
    assert!(Instant::now().checked_add(longest.get_limits().max_age.unwrap()).is_none());

    let too_large = "it is too large, or finer than a nanosecond; write for example \"90s\", \"1h 30m\" or \"never\"";
    for written in [
        "1000000000000years".to_owned(),
        "99999999999999999999999999s".to_owned(),
        "0.5ns".to_owned(),
        format!("{}s 1s", u64::MAX),
        // Here `humantime` 2.4 panics.
        format!("{}s 1000ms", u64::MAX),
    ] {
        assert_eq!(
            refused(&format!("max_age = \"{written}\"")),
            format!("max_age \"{written}\" is not a duration, {too_large}")
        );
    }
}

proptest! {
    #[test]
    fn any_text_as_a_duration_is_read_or_refused(
        text in prop_oneof![
            "\\PC{0,20}",
            "([0-9]{1,20}(\\.[0-9]{1,4})? ?(ns|us|µs|ms|s|m|min|h|d|w|month|years)? ?){1,4}",
        ],
    ) {
        match serde_json::from_value::<Policy>(json!({ "max_busy": text })) {
            Ok(policy) => prop_assert!(policy.get_limits().max_busy != Some(Duration::ZERO)),
            Err(error) => prop_assert!(error.to_string().starts_with("max_busy "), "{}", error),
        }
    }
}
