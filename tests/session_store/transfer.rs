//! `export` and `import`.

use serde_json::{Value, json};
use session_actors::store::{Aside, Change, Store};

use crate::support::*;

#[test]
fn an_export_that_is_imported_is_exported_the_same() {
    let file = File::new();
    let odd = Aside::new(key("odd"), std::time::SystemTime::UNIX_EPOCH, "no text".into(), vec![0, 255, 7]);
    let zoë = record(77, HOUR, &json!({ "b": 1, "a": [null, 1.5, "é\n"] }))
        .handled(3)
        .limits(session_actors::Limits::new().max_age(None).idle_timeout(HOUR));
    file.store().commit(&[Change::PutAside(odd), put("user:zoë", zoë)]).unwrap();
    let export = file.run(&["export"]).well();
    assert_eq!(export.lines().count(), 8);
    for line in export.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        assert!(line["record"].is_object() != line["set_aside"].is_object(), "{line}");
    }

    let new = File::empty();
    let out = new.run_with(&["import"], &export).well();
    assert_eq!(out, "6 sessions imported, and 2 that were set aside; 0 left as they were\n");
    assert_eq!(new.run(&["export"]).well(), export);
    assert!(new.store().reserve_ids(1).unwrap() > 77, "ids that are taken");
    new.run(&["check"]).well();

    // By files.
    let to = file.beside("all.jsonl");
    let out = file.run(&["export", to.to_str().unwrap()]).well();
    assert_eq!(out, "6 sessions exported, and 2 that were set aside\n");
    assert_eq!(std::fs::read_to_string(&to).unwrap(), export);
    file.run(&["export", to.to_str().unwrap()]).failed(&["all.jsonl", "exists"]);
    let third = File::empty();
    let imported = &third.run(&["import", "--json", to.to_str().unwrap()]).lines()[0];
    assert_eq!(*imported, json!({ "sessions": 6, "set_aside": 2, "kept": 0 }));
    third.run(&["import", "nowhere.jsonl"]).failed(&["nowhere.jsonl", "No such file"]);
}

/// A gateway that starts with it has to look at every deadline: they may be another policy's.
#[test]
fn what_is_imported_has_the_deadlines_of_no_policy() {
    let file = File::new();
    let export = file.run(&["export"]).well();
    let new = File::empty();
    new.store().commit(&[Change::Policy(Some("strict".into()))]).unwrap();
    new.run_with(&["import"], &export).well();
    assert_eq!(new.store().policy(), Ok(None));
}

#[test]
fn keys_that_are_there_already_are_refused_kept_or_replaced() {
    let line = |turns: u32| {
        let record = record(50, HOUR, &json!({ "turns": turns }));
        serde_json::to_string(&json!({ "key": "user:ada", "record": record })).unwrap()
    };
    let turns = |file: &File| -> Value {
        let record = file.store().load(&key("user:ada")).unwrap().unwrap();
        record.state.read::<Value>().unwrap()["turns"].clone()
    };
    let file = File::new();
    file.run_with(&["import"], &line(9)).failed(&["line 1", "user:ada has a session already", "--existing keep"]);
    assert_eq!(turns(&file), 3);
    let out = file.run_with(&["import", "--existing", "keep"], &line(9)).well();
    assert_eq!(
        (out.as_str(), turns(&file)),
        ("0 sessions imported, and 0 that were set aside; 1 left as they were\n", json!(3))
    );
    file.run_with(&["import", "--existing", "replace"], &line(9)).well();
    assert_eq!(turns(&file), 9);
    // Twice in one import.
    let new = File::empty();
    new.run_with(&["import"], &format!("{}\n{}\n", line(1), line(2)))
        .failed(&["line 2", "1 session and 0 set aside before it"]);
    assert_eq!(turns(&new), 1);
}

#[test]
fn a_line_that_is_none_is_named_and_what_is_before_it_stays() {
    let good = File::new().run(&["export"]).well();
    for (line, words) in [
        ("{", "EOF"),
        ("[]", "not a line of an export"),
        ("{\"key\":\"\"}", "not a line of an export"),
        ("{\"key\":\"k\"}", "either a record or what was set aside"),
        ("{\"key\":\"k\",\"record\":{\"session\":1}}", "opened_at"),
        ("{\"key\":\"k\",\"set_aside\":{\"at\":\"2026-01-01T00:00:00Z\",\"why\":\"w\",\"base64\":\"*\"}}", "base64"),
        ("{\"key\":\"k\",\"set_aside\":{\"at\":\"2026-01-01T00:00:00Z\",\"why\":\"w\"}}", "either text or base64"),
    ] {
        let file = File::empty();
        file.run_with(&["import"], &format!("{good}\n{line}\n")).failed(&[
            "line 8",
            words,
            "5 sessions and 1 set aside",
        ]);
        assert_eq!(file.keys().len(), 5, "{line}");
    }
}

#[test]
fn what_cannot_be_read_does_not_go_along_and_is_told() {
    let file = File::new();
    file.damage("user:bob");
    let out = file.run(&["export"]).failed(&["user:bob cannot be read", "1 record cannot be read", "check --repair"]);
    assert_eq!(out.lines().count(), 5);
    file.run(&["check", "--repair"]).well();
    let whole = file.run(&["export"]).well();
    assert_eq!(whole.lines().count(), 6);
    let new = File::empty();
    new.run_with(&["import"], &whole).well();
    assert_eq!(new.store().set_aside(10), file.store().set_aside(10));
}
