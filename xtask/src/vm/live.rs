//! The verifier's budget on the running kernel: `cargo xtask verifier`, and part of the live-kernel ring.
//!
//! In: the agent, root. Out: failure when a program costs the verifier more than its budget. The committed values and the row in
//! the table of kernels change only with `accept`, since every development machine may run another kernel.

use std::process::Command;

use acgs_perf_setup::process::{is_root, target};
use acgs_perf_setup::{self as setup, agent};
use anyhow::{Context, Result, bail, ensure};

use super::doctor::Diagnosis;
use super::table::Row;
use super::{accepting, keep, read_budget};

/// The whole task.
pub fn run(accept: bool) -> Result<()> {
    ensure!(is_root(), "loading programs needs root");
    agent::build(&setup::ensure(false)?, true)?;
    check(None, accept)
}

/// Loads every program of the release build and compares; `tests` is what the ring passed, of what it ran.
pub fn check(tests: Option<(u64, u64)>, accept: bool) -> Result<()> {
    let output =
        Command::new(target().join("release/acgs-perf")).args(["doctor", "--load", "--format", "json"]).output();
    let output = output.context("start the agent")?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success(),
        "doctor --load: {}\n{text}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    let diagnosis = Diagnosis::among(&text.lines().map(str::to_owned).collect::<Vec<_>>())?;
    ensure!(!diagnosis.programs.is_empty(), "doctor --load names no program with its verified instructions");
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").context("the kernel's release")?;
    let kernel = name(&release);
    let budget = read_budget()?;
    if accept {
        let row = tests.map(|tests| Row {
            kernel: kernel.clone(),
            version: release.trim().to_owned(),
            acceleration: "the machine itself".to_owned(),
            tests,
            probes: diagnosis.probes.clone(),
        });
        keep(&kernel, row.as_ref(), &diagnosis.programs, true)?;
        println!("verifier: {} programs on {kernel} accepted", diagnosis.programs.len());
        return Ok(());
    }
    if !budget.has(&kernel) {
        println!("verifier: docs/verifier.tsv has no values for {kernel}; `cargo xtask verifier --accept` adds them");
        return Ok(());
    }
    let grown = budget.grown(&kernel, &diagnosis.programs);
    if grown.is_empty() {
        println!("verifier: {} programs on {kernel} within their budget", diagnosis.programs.len());
        return Ok(());
    }
    let lines: Vec<String> = grown.iter().map(accepting).collect();
    bail!("{}", lines.join("\n"))
}

/// The key of the running kernel: its series.
fn name(release: &str) -> String {
    let series: Vec<&str> = release.trim().split('.').take(2).collect();
    format!("live {}", series.join("."))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_key_is_the_series() {
        assert_eq!(super::name("6.18.44\n"), "live 6.18");
    }
}
