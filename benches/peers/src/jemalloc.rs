//! Another allocator, for the rows that depend on where it puts things.
//!
//! glibc's puts what a session keeps wherever something has just been freed; sixteen bytes more or less for each session
//! change what a message to one that lies in no cache costs by a factor of two, for everybody. jemalloc keeps what is of
//! one size together. Both are what gateways run on.

use std::{env, path::PathBuf, process::Command};

const PRELOAD: &str = "LD_PRELOAD";
const FILE: &str = "libjemalloc.so.2";

/// Where Debian, Fedora and Alpine keep it.
fn library() -> Option<PathBuf> {
    let machine = format!("/usr/lib/{}-linux-gnu", env::consts::ARCH);
    [machine.as_str(), "/usr/lib64", "/usr/lib"]
        .into_iter()
        .map(|folder| PathBuf::from(folder).join(FILE))
        .find(|file| file.exists())
}

/// Why nothing can be measured with it.
pub(crate) fn is_missing() -> Option<String> {
    library().is_none().then(|| format!("{FILE} is not on this machine (Debian: libjemalloc2)"))
}

/// Makes a process that is about to be started use it.
pub(crate) fn preload(command: &mut Command) {
    if let Some(library) = library() {
        command.env(PRELOAD, library);
    }
}

/// Whether this process does.
pub(crate) fn is_used() -> bool {
    env::var_os(PRELOAD).is_some_and(|value| value.to_string_lossy().contains("jemalloc"))
}
