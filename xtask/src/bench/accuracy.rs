//! `bench accuracy`: the agent's report against servers and a load generator that log the truth.
//!
//! In: the release builds of the agent and of the tests' programs; root. Out: what `truth-score` prints; failure when a
//! target is missed: quantiles within 1 % or 3 µs, shares of the components within 3 points (5 in event loops and pools),
//! components that add up to the latency within 0.1 %.

use std::process::Command;

use anyhow::Result;

use crate::build;
use crate::process::{announce, cargo, is_root, target};
use crate::setup::{self, Missing};

/// What is measured.
#[derive(clap::Args)]
pub struct Options {
    /// Requests of each run.
    #[arg(long, default_value_t = 10_000)]
    requests: u64,
    /// Only the quantiles.
    #[arg(long, conflicts_with = "shares")]
    quantiles: bool,
    /// Only the components.
    #[arg(long)]
    shares: bool,
}

/// The whole task.
pub fn accuracy(options: &Options) -> Result<()> {
    if !is_root() {
        return Err(Missing(vec!["root: `record` loads programs into the kernel; run the bench as root".into()]).into());
    }
    let toolchain = setup::ensure(false)?;
    let agent = build::agent(&toolchain, true)?;
    let mut programs = cargo();
    programs.args(["build", "--release", "--package", "acgs-perf-tests", "--bins"]);
    announce(toolchain.apply(&mut programs))?;
    let mut score = Command::new(target().join("release/truth-score"));
    score.env("ACGS_PERF_BIN", agent).args(["run", "--requests", &options.requests.to_string()]);
    for (flag, given) in [("--quantiles", options.quantiles), ("--shares", options.shares)] {
        if given {
            score.arg(flag);
        }
    }
    announce(&mut score)
}
