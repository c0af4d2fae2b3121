//! Limits from a file: which rule holds for which key, a change while sessions run, and what a mistake looks like.
//!
//! ```sh
//! cargo run --example policy_file
//! ```

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use actix::prelude::*;
use session_actors::{Policy, Session, SessionContext, SessionInfo, SessionKey, SessionRegistry};

struct Chat;

impl Actor for Chat {
    type Context = SessionContext<Self>;
}

impl Session for Chat {}

#[derive(Message)]
#[rtype(result = "()")]
struct Hello;

impl Handler<Hello> for Chat {
    type Result = ();

    fn handle(&mut self, _: Hello, _: &mut Self::Context) {}
}

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

#[actix::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // Any serde format will do; this one is TOML.
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/policy_file.toml");
    let policy: Policy = toml::from_str(&std::fs::read_to_string(file)?)?;
    let sessions = SessionRegistry::builder(|_: &SessionKey| Chat).policy(policy).start()?;

    for key in ["main", "hook:github:7", "hook:jira:7", "user:42"] {
        sessions.send(key, Hello).await?;
    }
    println!("{:<14} {:<24} limits", "key", "rule");
    for info in sessions.list() {
        print(&info)?;
    }
    let limits = |key: &str| sessions.info(key).map(|info| info.limits);
    assert_eq!(limits("main").and_then(|l| l.idle_timeout), None);
    assert_eq!(limits("hook:github:7").and_then(|l| l.idle_timeout), Some(5 * MINUTE));
    assert_eq!(limits("hook:jira:7").and_then(|l| l.idle_timeout), Some(10 * MINUTE));
    assert_eq!(limits("hook:jira:7").and_then(|l| l.max_age), Some(24 * HOUR));
    assert_eq!(limits("user:42").and_then(|l| l.idle_timeout), Some(HOUR));

    // A new policy holds for the live sessions too, within a second.
    println!("\nthe same sessions after `idle_timeout = \"2h\"`:");
    let policy: Policy = toml::from_str("idle_timeout = \"2h\"")?;
    sessions.set_policy(policy)?;
    for _ in 0..100 {
        if sessions.list().iter().all(|info| info.limits.idle_timeout == Some(2 * HOUR)) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for info in sessions.list() {
        print(&info)?;
        assert_eq!(info.limits.idle_timeout, Some(2 * HOUR));
    }

    println!("\nmistakes are refused with a sentence that says what to write:");
    for mistake in ["idle_timeout = \"0s\"", "idle_timeuot = \"1h\"", "exclude = [\"\"]", "warn_before = \"2h\""] {
        let Err(error) = toml::from_str::<Policy>(mistake) else { panic!("{mistake} was taken") };
        println!("  {mistake:<24} {}", error.message());
    }

    sessions.shutdown(Duration::from_secs(5)).await?;
    Ok(())
}

/// Limits are written as an operator writes them.
fn print(info: &SessionInfo) -> Result<(), serde_json::Error> {
    let limits = serde_json::to_value(info.limits)?;
    let (idle, age) = (&limits["idle_timeout"], &limits["max_age"]);
    println!("{:<14} {:<24} idle timeout {idle}, max age {age}", info.key.as_str(), info.rule.to_string());
    Ok(())
}
