//! `bench accuracy`: the agent's report against servers and a load generator that log the truth.
//!
//! In: the release builds of the agent and of the tests' programs; root. Out: tables in Markdown; failure when a target is
//! missed: quantiles within 1 % or 3 µs, shares of the components within 3 points (5 in event loops and pools), components that
//! add up to the latency within 0.1 %; and what clients saw, by their kernels' stamps, within 2 % or 50 µs.

use acgs_perf_tests::score::scenario;
use anyhow::{Result, ensure};

use crate::prepare;

/// What is measured.
#[derive(clap::Args)]
pub struct Options {
    /// Requests of each run.
    #[arg(long, default_value_t = 10_000)]
    requests: u64,
    /// Only the quantiles.
    #[arg(long, conflicts_with_all = ["shares", "clients"])]
    quantiles: bool,
    /// Only the components.
    #[arg(long, conflicts_with = "clients")]
    shares: bool,
    /// Only what clients saw.
    #[arg(long)]
    clients: bool,
    /// Congestion control of their server, such as cubic; without it the host's.
    #[arg(long, requires = "clients")]
    congestion: Option<String>,
}

/// The whole task.
pub fn accuracy(options: &Options) -> Result<()> {
    prepare::need_root()?;
    prepare::agent_and_programs(false)?;
    let Options { requests, quantiles, shares, clients, ref congestion } = *options;
    let all = !(quantiles || shares || clients);
    let (quantiles, shares, seen) = (all || quantiles, all || shares, all || clients);
    let score = scenario::all(scenario::Options { requests, quantiles, shares, seen, congestion: congestion.clone() })?;
    print!("{}\n{}", score.text, score.conclusion());
    ensure!(score.is_met(), "targets were missed");
    Ok(())
}
