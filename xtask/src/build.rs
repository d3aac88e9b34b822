//! `build`: the agent with its kernel side.
//!
//! In: the toolchain that `setup` chose. Out: `target/<profile>/acgs-perf`.

use std::path::PathBuf;

use anyhow::Result;

use crate::process::{announce, cargo, target};
use crate::setup::{self, Toolchain};

/// The whole task.
pub fn run(release: bool) -> Result<()> {
    let toolchain = setup::ensure(false)?;
    agent(&toolchain, release).map(|path| println!("{}", path.display()))
}

/// Builds the agent and gives its path.
pub fn agent(toolchain: &Toolchain, release: bool) -> Result<PathBuf> {
    let mut command = cargo();
    command.args(["build", "--package", "acgs-perf"]);
    if release {
        command.arg("--release");
    }
    announce(toolchain.apply(&mut command))?;
    Ok(target().join(if release { "release" } else { "debug" }).join("acgs-perf"))
}
