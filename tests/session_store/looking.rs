//! `list`, `show`, and what goes for all commands.

use std::{
    process::{Command, Stdio},
    time::SystemTime,
};

use serde_json::{Value, json};
use session_actors::store::Store;

use crate::support::*;

/// The keys of a list, in its order.
#[track_caller]
fn listed(file: &File, arguments: &[&str]) -> Vec<String> {
    let mut all = vec!["list", "--json"];
    all.extend(arguments);
    file.run(&all).lines().iter().map(|line| line["key"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn sessions_are_listed_by_glob_state_and_age() {
    let file = File::new();
    let users = ["user:ada", "user:bob", "user:eve"];
    assert_eq!(listed(&file, &[]), ["hook:github", "old", "user:ada", "user:bob", "user:eve", "bad"]);
    assert_eq!(listed(&file, &["user:*"]), users);
    assert_eq!(listed(&file, &["user:[ab]*"]), users[..2]);
    assert_eq!(listed(&file, &["--state", "due"]), users[2..]);
    assert_eq!(listed(&file, &["--state", "resting", "user:*"]), users[..2]);
    assert_eq!(listed(&file, &["--state", "aside"]), ["bad"]);
    assert_eq!(listed(&file, &["--older-than", "2days"]), ["old", "user:bob", "user:eve"]);
    assert_eq!(listed(&file, &["--older-than", "2days", "user:*", "--idle-for", "26h"]), users[2..]);
    assert_eq!(listed(&file, &["-n", "2"]), ["hook:github", "old"]);
    assert_eq!(listed(&file, &["nobody:*"]), [""; 0]);
}

#[test]
fn a_list_is_a_table_for_people_and_a_line_each_for_programs() {
    let file = File::new();
    let table = file.run(&["list"]).well();
    let lines: Vec<_> = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(
        lines,
        [
            "KEY STATE AGE IDLE ENDS HANDLED SIZE",
            "hook:github resting 5h 0m 2h 30m never 0 16 B",
            "old resting 100d 50d never 0 20 kB",
            "user:ada resting 5h 0m 2h 30m in 59m 7 11 B",
            "user:bob resting 2d 2h 1d 1h in 59m 0 11 B",
            "user:eve due 20d 10d 1h 0m ago 0 11 B",
            "bad aside - - - - -",
            "6 sessions",
        ]
    );
    let few = file.run(&["list", "-n", "1"]).well();
    assert!(few.contains("6 sessions, the first 1 shown: -n 0 shows all"), "{few}");
    assert_eq!(file.run(&["list", "nobody"]).well(), "0 sessions\n");

    let lines = file.run(&["list", "--json", "user:eve"]).lines();
    assert_eq!((&lines[0]["state"], &lines[0]["session"], &lines[0]["handled"]), (&json!("due"), &json!(3), &json!(0)));
    let aside = file.run(&["list", "--json", "--state", "aside"]).lines();
    assert_eq!(aside, [json!({ "key": "bad", "state": "aside", "why": "no state" })]);
}

#[test]
fn all_of_a_session_is_shown() {
    let file = File::new();
    let shown = file.run(&["show", "user:ada"]).well();
    for words in [
        "key            user:ada\n",
        "session        1\n",
        "5h 0m ago\n",
        "in 59m",
        "handled        7\n",
        "\"turns\": 3",
    ] {
        assert!(shown.contains(words), "{words:?} in\n{shown}");
    }
    let lines = file.run(&["--json", "show", "user:ada"]).lines();
    assert_eq!((&lines[0]["record"]["state"], &lines[0]["set_aside"]), (&json!({ "turns": 3 }), &json!([])));
    let aside = file.run(&["show", "bad"]).well();
    assert!(aside.contains("because: no state") && aside.contains("{\"turns\":"), "{aside}");
    file.run(&["show", "nobody"]).failed(&["nothing is kept of nobody", "`list`"]);
    file.run(&["show", ""]).usage("key");
}

#[test]
fn what_cannot_be_read_is_said_to_be_so() {
    let file = File::new();
    file.damage("user:bob");
    assert_eq!(listed(&file, &["--state", "unreadable"]), ["user:bob"]);
    let shown = file.run(&["show", "user:bob"]);
    assert_eq!(shown.code, 1);
    assert!(shown.out.contains("the stored session of user:bob cannot be read"), "{shown:?}");
    let lines: Value = serde_json::from_str(&file.run(&["show", "--json", "user:bob"]).out).unwrap();
    assert!(lines["unreadable"].as_str().unwrap().contains("line 1"), "{lines}");
}

#[test]
fn a_state_cannot_play_tricks_on_a_terminal() {
    let file = File::empty();
    file.store().commit(&[put("k", record(1, HOUR, &json!({ "title": "\u{1b}[2Jgone\u{7}\u{9b}2J" })))]).unwrap();
    let shown = file.run(&["show", "k"]).well();
    assert!(shown.chars().all(|c| c == '\n' || !c.is_control()), "{shown:?}");
}

#[test]
fn a_file_that_is_not_there_is_not_made_and_one_in_use_is_named() {
    let file = File::empty();
    file.run(&["list"]).failed(&["sessions.redb", "No such file"]);
    assert!(!file.path().exists());
    let store = file.store();
    file.run(&["list"]).failed(&["sessions.redb is in use", "stop the other"]);
    drop(store);
    assert_eq!(file.run(&["list"]).well(), "0 sessions\n");
    std::fs::write(file.beside("text"), "no store").unwrap();
    file.run(&["-f", file.beside("text").to_str().unwrap(), "list"]).failed(&["text is damaged or no session store"]);
}

#[test]
fn a_command_that_is_not_understood_says_so() {
    let file = File::new();
    for (arguments, word) in [
        (&[][..], "Usage"),
        (&["lits"], "list"),
        (&["list", "--older-than", "soon"], "soon"),
        (&["list", "[a"], "[a"),
        (&["list", "--state", "dead"], "resting"),
        (&["delete"], "KEYS"),
    ] {
        file.run(arguments).usage(word);
    }
}

/// As with `| head`.
#[test]
fn who_reads_only_the_beginning_gets_no_error() {
    let file = File::empty();
    let many: Vec<_> = (0..20_000).map(|n| put(&format!("k{n:05}"), record(n + 1, HOUR, &json!(n)))).collect();
    file.store().commit(&many).unwrap();
    let mut program = Command::new(env!("CARGO_BIN_EXE_session-store"))
        .args(["--json", "list"])
        .env("SESSION_STORE", file.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(program.stdout.take());
    let ended = program.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), ended.stderr), (Some(0), Vec::new()));
    // In pages, all of it.
    let lines = listed(&file, &[]);
    assert_eq!(
        (lines.len(), lines.first().unwrap().as_str(), lines.last().unwrap().as_str()),
        (20_000, "k00000", "k19999")
    );
    assert!(file.store().load(&key("k00000")).unwrap().unwrap().opened_at < SystemTime::now());
}
