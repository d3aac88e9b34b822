//! `bench`: builds the program in `bench/` and runs it with the same arguments.
//!
//! In: the arguments as they came. Out: what the bench prints; when it fails, the end of this process with its exit code. The
//! benches are a program of their own, because they are built with the library of the tests, and no other task should wait for
//! that.

use std::ffi::OsString;
use std::process::{Command, exit};

use acgs_perf_setup::process::{announce, cargo, describe, run};
use acgs_perf_setup::{self as setup, Toolchain};
use anyhow::{Context, Result};

const PACKAGE: &str = "acgs-perf-bench";

/// The whole task.
pub fn run_with(arguments: &[OsString]) -> Result<()> {
    let mut bench = program(&setup::toolchain()?, "run");
    bench.arg("--").args(arguments);
    let status = bench.status().with_context(|| format!("start `{}`", describe(&bench)))?;
    if !status.success() {
        // It has said why.
        exit(status.code().unwrap_or(1));
    }
    Ok(())
}

/// The gate on the instructions of programs, for the ring of other kernels. A change is not held up on a developer's machine by a
/// kernel that left the archive or by another compiler; where `CI` is set, as the usual services do, it is.
pub fn instructions(toolchain: &Toolchain) -> Result<()> {
    let is_ci = std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false");
    let mut bench = program(toolchain, "run");
    bench.args(["--", "instructions", "--check"]);
    if !is_ci {
        bench.arg("--elsewhere");
    }
    run(&mut bench)
}

/// Builds it, and runs nothing.
pub fn build(toolchain: &Toolchain) -> Result<()> {
    announce(&mut program(toolchain, "build"))
}

/// Optimised, as the programs are that it starts. It measures the agent that it builds. With the toolchain that every other task has: the
/// agent's build script would run anew for another one, and with it all that depends on the agent.
fn program(toolchain: &Toolchain, verb: &str) -> Command {
    let mut command = cargo();
    toolchain.apply(&mut command).args([verb, "--release", "--package", PACKAGE]).env_remove("ACGS_PERF_BIN");
    command
}
