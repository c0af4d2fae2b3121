//! A file with sessions, and the program run over it.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, SystemTime},
};

use serde_json::{Value, json};
use session_actors::{
    SessionId, SessionKey,
    store::{Aside, Change, Record, RedbStore, State, Store},
};
use tempfile::TempDir;

pub const HOUR: Duration = Duration::from_secs(3_600);

pub fn key(text: &str) -> SessionKey {
    SessionKey::new(text).unwrap()
}

/// Opened so long ago, and active half of that.
pub fn record(session: u64, age: Duration, state: &Value) -> Record {
    let now = SystemTime::now();
    Record::new(SessionId::of_stored(session), now - age, State::of(state).unwrap()).last_activity(now - age / 2)
}

pub fn put(text: &str, record: Record) -> Change {
    Change::Put { key: key(text), record }
}

/// A file in a folder of its own.
pub struct File {
    folder: TempDir,
}

/// What a run came to.
#[derive(Debug)]
pub struct Run {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Run {
    /// All was well; what it said.
    #[track_caller]
    pub fn well(self) -> String {
        assert_eq!((self.code, self.err.as_str()), (0, ""), "{}", self.out);
        self.out
    }

    /// All was well; the lines of JSON it said.
    #[track_caller]
    pub fn lines(self) -> Vec<Value> {
        self.well().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    /// It went wrong, and said so in these words.
    #[track_caller]
    pub fn failed(self, words: &[&str]) -> String {
        assert_eq!(self.code, 1, "{self:?}");
        for word in words {
            assert!(self.err.contains(word), "{word:?} in {self:?}");
        }
        assert_eq!(self.err.lines().filter(|line| !line.starts_with("session-store: ")).count(), 0, "{self:?}");
        self.out
    }
}

impl File {
    /// Five sessions: three users (5 h, 50 h and 500 h old, the last of them due), a hook that never ends, and one
    /// without an activity for 50 days. One record was set aside.
    pub fn new() -> Self {
        let file = Self::empty();
        let now = SystemTime::now();
        let store = file.store();
        store.reserve_ids(100).unwrap();
        store
            .commit(&[
                put("user:ada", record(1, 5 * HOUR, &json!({ "turns": 3 })).ends_at(now + HOUR).handled(7)),
                put("user:bob", record(2, 50 * HOUR, &json!({ "turns": 4 })).ends_at(now + HOUR)),
                put("user:eve", record(3, 500 * HOUR, &json!({ "turns": 5 })).ends_at(now - HOUR)),
                put("hook:github", record(4, 5 * HOUR, &json!({ "deliveries": 1 }))),
                put("old", record(5, 100 * 24 * HOUR, &json!("x".repeat(20_000)))),
                Change::PutAside(Aside::new(key("bad"), now - HOUR, "no state".into(), b"{\"turns\":".to_vec())),
            ])
            .unwrap();
        file
    }

    pub fn empty() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join("sessions.redb")
    }

    pub fn beside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn store(&self) -> RedbStore {
        RedbStore::open(self.path()).unwrap()
    }

    pub fn keys(&self) -> Vec<String> {
        self.store().page(None, 100_000).unwrap().into_iter().map(|entry| entry.key.as_str().to_owned()).collect()
    }

    /// Bytes that are no record, under a key that has one: as a later version may write them.
    pub fn damage(&self, text: &str) {
        use redb::{Database, ReadableTable, TableDefinition};
        const SESSIONS: TableDefinition<'_, &str, (u64, u64, &[u8])> = TableDefinition::new("sessions");
        let database = Database::open(self.path()).unwrap();
        let write = database.begin_write().unwrap();
        {
            let mut sessions = write.open_table(SESSIONS).unwrap();
            let (ends_at, session, _) = sessions
                .get(text)
                .unwrap()
                .map(|found| {
                    let (ends_at, session, _) = found.value();
                    (ends_at, session, ())
                })
                .unwrap();
            sessions.insert(text, (ends_at, session, &b"\xffno record"[..])).unwrap();
        }
        write.commit().unwrap();
    }

    pub fn run(&self, arguments: &[&str]) -> Run {
        self.run_with(arguments, "")
    }

    pub fn run_with(&self, arguments: &[&str], input: &str) -> Run {
        use std::io::Write as _;
        let mut program = Command::new(env!("CARGO_BIN_EXE_session-store"))
            .args(arguments)
            .env("SESSION_STORE", self.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut to = program.stdin.take().unwrap();
        let input = input.to_owned();
        // It may end before it has read all.
        let writing = std::thread::spawn(move || drop(to.write_all(input.as_bytes())));
        let ended = program.wait_with_output().unwrap();
        writing.join().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Run { code: ended.status.code().unwrap(), out: text(ended.stdout), err: text(ended.stderr) }
    }
}

impl Run {
    /// The command was not understood, and this is in what it said.
    #[track_caller]
    pub fn usage(self, word: &str) {
        assert_eq!(self.code, 2, "{self:?}");
        assert!(self.err.contains(word), "{word:?} in {self:?}");
    }
}
