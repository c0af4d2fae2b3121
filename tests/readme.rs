//! The configuration in the README is one that the crate reads. (Its Rust code is run by the doc tests.)

use std::time::Duration;

use session_actors::{Limits, Mode, OnFull, Policy};

#[test]
fn the_configuration_in_the_readme_is_read() {
    let readme = include_str!("../README.md");
    let (_, section) = readme.split_once("\n## Configuration\n").expect("the section");
    let (_, block) = section.split_once("```toml\n").expect("its first TOML block");
    let (toml, _) = block.split_once("\n```").expect("the block's end");
    let policy: Policy = toml::from_str(toml).expect("a valid policy");

    let limits = Limits::new()
        .idle_timeout(Duration::from_secs(60 * 60))
        .max_age(Duration::from_secs(24 * 60 * 60))
        .max_busy(None)
        .warn_before(Duration::from_secs(60))
        .drain_timeout(Duration::from_secs(30));
    let expected = Policy::new(limits)
        .max_sessions(100_000)
        .on_full(OnFull::Reject)
        .mode(Mode::Enforce)
        .exclude("main")
        .exclude("persistent:*")
        .rule("hook:*", Limits::new().idle_timeout(Duration::from_secs(5 * 60)));
    assert_eq!(policy, expected);
}
