//! What README and CONTRIBUTING say of the crate still holds. (The README's Rust code is run by the doc tests.)
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::Path;
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

#[test]
fn the_map_in_contributing_names_every_file() {
    let map = include_str!("../CONTRIBUTING.md");
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![src.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder of the crate") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let file = path.strip_prefix(&src).expect("below src").to_string_lossy().replace('\\', "/");
                assert!(map.contains(&format!("`{file}`")), "CONTRIBUTING.md has no line for src/{file}");
            }
        }
    }
}
