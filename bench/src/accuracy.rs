//! `bench accuracy`: the agent's report against servers and a load generator that log the truth.
//!
//! In: the release builds of the agent and of the tests' programs; root. Out: what `truth-score` prints; failure when a
//! target is missed: quantiles within 1 % or 3 µs, shares of the components within 3 points (5 in event loops and pools),
//! components that add up to the latency within 0.1 %.

use std::process::Command;

use acgs_perf_setup::process::{announce, target};
use anyhow::Result;

use crate::prepare;

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
    prepare::need_root()?;
    let agent = prepare::agent_and_programs(false)?;
    let mut score = Command::new(target().join("release/truth-score"));
    score.env("ACGS_PERF_BIN", agent).args(["run", "--requests", &options.requests.to_string()]);
    for (flag, given) in [("--quantiles", options.quantiles), ("--shares", options.shares)] {
        if given {
            score.arg(flag);
        }
    }
    announce(&mut score)
}
