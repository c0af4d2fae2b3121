//! `delete`, `prune` and `check`: what an operator changes.

use serde_json::{Value, json};
use session_actors::store::{Change, Store};

use crate::support::*;

#[test]
fn what_is_deleted_is_gone_and_what_is_not_there_is_named() {
    let file = File::new();
    file.damage("user:bob");
    let run = file.run(&["delete", "user:ada", "nobody", "user:bob"]);
    assert_eq!(
        (run.code, run.out.as_str()),
        (1, "user:ada: deleted\nnobody: nothing is kept of it\nuser:bob: deleted\n")
    );
    assert_eq!(file.keys(), ["hook:github", "old", "user:eve"]);
    assert_eq!(file.run(&["delete", "--json", "old"]).lines(), [json!({ "key": "old", "deleted": true })]);

    // What was set aside of a key is another matter.
    file.store().commit(&[put("bad", record(9, HOUR, &json!(1)))]).unwrap();
    file.run(&["delete", "bad"]).well();
    assert_eq!(file.store().set_aside(10).unwrap().len(), 1);
    assert_eq!(file.run(&["delete", "--aside", "bad"]).well(), "bad: deleted\n");
    assert_eq!(file.store().set_aside(10).unwrap().len(), 0);
    let again = file.run(&["delete", "--aside", "bad"]);
    assert_eq!((again.code, again.out.as_str()), (1, "bad: nothing was set aside of it\n"));
}

fn pruned(file: &File, arguments: &[&str]) -> u64 {
    let mut all = vec!["prune", "--json"];
    all.extend(arguments);
    file.run(&all).lines()[0]["pruned"].as_u64().unwrap()
}

#[test]
fn a_dry_run_counts_what_a_real_one_deletes() {
    for (arguments, left) in [
        (&[][..], &["hook:github", "old", "user:ada", "user:bob"][..]),
        (&["--older-than", "49h"], &["hook:github", "user:ada"]),
        (&["--idle-for", "20days"], &["hook:github", "user:ada", "user:bob", "user:eve"]),
        // A glob narrows: what rests stays.
        (&["user:*"], &["hook:github", "old", "user:ada", "user:bob"]),
        (&["hook:*"], &["hook:github", "old", "user:ada", "user:bob", "user:eve"]),
        (&["user:*", "--idle-for", "0s"], &["hook:github", "old"]),
        (&["user:*", "--state", "resting"], &["hook:github", "old", "user:eve"]),
        (&["nobody:*"], &["hook:github", "old", "user:ada", "user:bob", "user:eve"]),
    ] {
        let file = File::new();
        let before = file.keys().len();
        let counted = pruned(&file, &[arguments, &["--dry-run"]].concat());
        assert_eq!(file.keys().len(), before, "a dry run");
        assert_eq!(pruned(&file, arguments), counted, "{arguments:?}");
        assert_eq!(
            (file.keys(), before - left.len()),
            (left.iter().map(ToString::to_string).collect(), counted as usize)
        );
        assert_eq!(pruned(&file, arguments), 0, "again");
    }
    let file = File::new();
    assert_eq!(file.run(&["prune", "--dry-run"]).well(), "1 session would be deleted\n");
    assert_eq!(file.run(&["prune", "user:*"]).well(), "1 session deleted\n");
    file.run(&["prune", "--state", "aside"]).failed(&["session-store delete --aside KEY"]);
}

#[test]
fn many_are_pruned_in_batches() {
    let file = File::empty();
    let many: Vec<_> = (0..5_000)
        .map(|n| {
            let record = record(n + 1, HOUR, &json!(n));
            let active = record.last_activity;
            put(&format!("k{n:05}"), record.ends_at((n % 2 == 0).then_some(active)))
        })
        .collect();
    file.store().commit(&many).unwrap();
    assert_eq!(pruned(&file, &["--dry-run"]), 2_500);
    assert_eq!((pruned(&file, &[]), file.keys().len()), (2_500, 2_500));
    assert_eq!(file.store().next_deadline(), Ok(None));
}

#[test]
fn a_file_in_which_all_is_well_is_said_to_be_so() {
    let file = File::new();
    assert_eq!(file.run(&["check"]).well(), "5 sessions, 1 of them due; 1 set aside\nall is well\n");
    let found = &file.run(&["check", "--json"]).lines()[0];
    assert_eq!((&found["sound"], &found["sessions"], &found["repaired"]), (&json!(true), &json!(5), &json!(false)));
    // A look at the ids takes none.
    assert_eq!(file.store().reserve_ids(1), Ok(101));
}

#[test]
fn what_is_wrong_is_named_and_what_can_be_repaired_is() {
    let file = File::new();
    file.damage("user:bob");
    // The counter says that ids up to 100 were given.
    file.store().commit(&[put("later", record(500, HOUR, &json!(1)))]).unwrap();
    let run = file.run(&["check"]);
    assert_eq!(run.code, 1);
    assert_eq!(
        run.out,
        "6 sessions, 1 of them due; 1 set aside\n\
         cannot be read: 1 record (`check --repair` sets them aside)\n  user:bob\n\
         ids that would be given again: 1 session (`check --repair` skips them)\n\
         something is wrong\n"
    );
    let out = file.run(&["check", "--repair"]).well();
    assert_eq!(out, "5 sessions, 1 of them due; 2 set aside\nrepaired: all is well now\n");
    file.run(&["check"]).well();
    let store = file.store();
    assert!(store.reserve_ids(1).unwrap() > 500);
    assert!(store.set_aside(10).unwrap()[1].bytes.starts_with(b"\xff"));
}

/// As no version of this crate leaves it: the index says one thing, the record another.
#[test]
fn an_index_that_does_not_agree_is_found() {
    use redb::{Database, TableDefinition};
    const DEADLINES: TableDefinition<'_, (u64, &str), ()> = TableDefinition::new("deadlines");
    type Index<'t> = redb::Table<'t, (u64, &'static str), ()>;
    let change = |file: &File, change: &dyn Fn(&mut Index<'_>)| {
        let database = Database::open(file.path()).unwrap();
        let write = database.begin_write().unwrap();
        change(&mut write.open_table(DEADLINES).unwrap());
        write.commit().unwrap();
    };
    let file = File::new();
    change(&file, &|deadlines| drop(deadlines.insert((7, "user:ada"), ()).unwrap()));
    let run = file.run(&["check", "--json"]);
    let found: Value = serde_json::from_str(&run.out).unwrap();
    assert_eq!((run.code, &found["misplaced"]), (1, &json!(["user:ada"])));

    let file = File::new();
    change(&file, &|deadlines| deadlines.retain(|(_, key), ()| key != "user:eve").unwrap());
    let run = file.run(&["check"]);
    assert_eq!(run.code, 1);
    assert!(run.out.contains("another deadline in the index than in the record: 1 record (`export`"), "{}", run.out);
    // Which helps.
    let export = file.run(&["export"]).well();
    let new = File::empty();
    new.run_with(&["import"], &export).well();
    new.run(&["check"]).well();
    let due = new.store().due(std::time::SystemTime::now(), 10).unwrap();
    assert_eq!(due.len(), 1);
    new.store().commit(&[Change::Policy(None)]).unwrap();
}
