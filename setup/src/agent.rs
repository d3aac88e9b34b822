//! The agent with its kernel side.
//!
//! In: the toolchain that was chosen. Out: `target/<profile>/acgs-perf`.

use std::fs::{self, File};
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::process::{announce, cargo, target};
use crate::{Toolchain, ensure_beside};

/// Sets up and builds the optimised agent at the same time; gives its path.
///
/// What the agent is made of needs no linker for the kernel side, and fetching and building that linker leaves the CPUs idle for
/// a good part of its time. The agent's build script waits at the lock until set-up is over.
pub fn build_beside_setup() -> Result<PathBuf> {
    fs::create_dir_all(target()).with_context(|| format!("create {}", target().display()))?;
    let path = target().join("acgs-perf-setup.lock");
    let lock = File::create(&path).with_context(|| format!("create {}", path.display()))?;
    lock.lock().with_context(|| format!("lock {}", path.display()))?;
    let build = |toolchain: &Toolchain| {
        let mut command = cargo();
        command.args(["build", "--package", "acgs-perf", "--release"]);
        // The script that waits has one of the places.
        let jobs = std::thread::available_parallelism().map_or(2, usize::from) + 1;
        command.args(["--jobs", &jobs.to_string()]).env("ACGS_PERF_SETUP_LOCK", &path);
        announce(toolchain.apply(&mut command))
    };
    ensure_beside(lock, build)?;
    Ok(target().join("release/acgs-perf"))
}

/// Builds the agent and gives its path.
pub fn build(toolchain: &Toolchain, release: bool) -> Result<PathBuf> {
    let mut command = cargo();
    command.args(["build", "--package", "acgs-perf"]);
    if release {
        command.arg("--release");
    }
    announce(toolchain.apply(&mut command))?;
    Ok(target().join(if release { "release" } else { "debug" }).join("acgs-perf"))
}
