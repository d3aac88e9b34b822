//! What a bench needs before it measures.
//!
//! In: what is installed. Out: the release builds of the agent and of the tests' programs; an error that says what is missing.

use std::path::PathBuf;

use acgs_perf_setup::process::{announce, cargo, is_root, which};
use acgs_perf_setup::{self as setup, Missing, agent};
use anyhow::Result;

/// Fails without root.
pub fn need_root() -> Result<()> {
    if is_root() {
        return Ok(());
    }
    Err(Missing(vec!["root: `record` loads programs into the kernel; run the bench as root".into()]).into())
}

/// Fails without these programs of the services.
pub fn need_programs(names: &[&str]) -> Result<()> {
    match names.iter().find(|name| which(name).is_none()) {
        Some(name) => Err(Missing(vec![format!("{name}: run `cargo xtask setup --tests`")]).into()),
        None => Ok(()),
    }
}

/// Sets up, with the services and their load tools where `tests` are wanted, and builds the agent; gives its path.
pub fn agent(tests: bool) -> Result<PathBuf> {
    agent::build(&setup::ensure(tests)?, true)
}

/// The same, and the programs of the tests, which then lie beside this one.
pub fn agent_and_programs(tests: bool) -> Result<PathBuf> {
    let toolchain = setup::ensure(tests)?;
    let agent = agent::build(&toolchain, true)?;
    let mut programs = cargo();
    programs.args(["build", "--release", "--package", "acgs-perf-tests", "--bins"]);
    announce(toolchain.apply(&mut programs))?;
    Ok(agent)
}
