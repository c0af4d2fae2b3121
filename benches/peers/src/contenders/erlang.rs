//! Erlang: a `gen_server` with a timeout, and an ETS table (`erlang/session.erl`). It runs in its own virtual machine,
//! on as many schedulers as the machine has cores, which is how it is used; the others have one thread.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use clap::ValueEnum;

use crate::work::{Figure, Scale, Work};

/// Whether the machine has it.
pub(crate) fn is_here() -> bool {
    ["erl", "erlc"].iter().all(|program| {
        let found = |folder: PathBuf| folder.join(program).is_file();
        env::var_os("PATH").is_some_and(|path| env::split_paths(&path).any(found))
    })
}

pub(crate) fn run(work: Work, scale: Scale) -> Result<Vec<Figure>, String> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("erlang");
    let compiled = env::temp_dir().join(format!("session-actors-peers-{}", std::process::id()));
    fs::create_dir_all(&compiled).map_err(|error| format!("{} cannot be made: {error}", compiled.display()))?;
    let figures = compile_and_run(work, scale, &sources, &compiled);
    // In vain, at worst: it is the folder for what is temporary.
    let _ = fs::remove_dir_all(&compiled);
    figures
}

fn compile_and_run(work: Work, scale: Scale, sources: &Path, compiled: &Path) -> Result<Vec<Figure>, String> {
    let row = work.to_possible_value().map(|row| row.get_name().to_owned()).unwrap_or_default();
    let scale = match scale {
        Scale::Full => "full",
        Scale::Short => "short",
    };
    output(Command::new("erlc").arg("-o").arg(compiled).args([sources.join("session.erl"), sources.join("work.erl")]))?;
    // More processes than its default allows: a million sessions and a few.
    let printed = output(
        Command::new("erl")
            .args(["+P", "2097152", "-noshell", "-pa"])
            .arg(compiled)
            .args(["-run", "work", "main", &row, scale]),
    )?;
    serde_json::from_slice(&printed).map_err(|error| format!("erl printed no figures for {row}: {error}"))
}

fn output(command: &mut Command) -> Result<Vec<u8>, String> {
    let name = format!("{:?}", command.get_program());
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("{name} cannot be started: {error}"))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(format!("{name} failed, {}: {}", output.status, String::from_utf8_lossy(&output.stdout)))
}
