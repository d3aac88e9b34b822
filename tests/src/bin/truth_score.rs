//! `truth-score`: see `acgs_perf_tests::score`. Prints tables in Markdown; exit code 1 when a target was missed.

use std::path::PathBuf;
use std::process::ExitCode;

use acgs_perf_tests::report::Report;
use acgs_perf_tests::score::scenario::{self, Options};
use acgs_perf_tests::score::{Score, Truth, quantiles, shares};
use anyhow::Result;
use clap::Parser;

/// How near the agent's report is to the truth.
#[derive(Parser)]
enum Cli {
    /// Start servers, load and the agent, and score each run. Needs root.
    Run {
        /// Requests of each run; runs that compare components have at most 4,000.
        #[arg(long, default_value_t = 10_000)]
        requests: u64,
        /// Only the quantiles.
        #[arg(long, conflicts_with = "shares")]
        quantiles: bool,
        /// Only the components.
        #[arg(long)]
        shares: bool,
    },
    /// Score a recording that was made before.
    Files {
        /// The agent's report.
        #[arg(long)]
        report: PathBuf,
        /// The service in it.
        #[arg(long)]
        service: String,
        /// Written by `truth-server --log`.
        #[arg(long)]
        server_log: PathBuf,
        /// Written by `truth-load --script … --log`.
        #[arg(long)]
        client_log: PathBuf,
        /// Mean error of the shares that is allowed, in percentage points.
        #[arg(long, default_value_t = 3.0)]
        allowed: f64,
    },
}

fn main() -> Result<ExitCode> {
    let score = match Cli::parse() {
        Cli::Run { requests, quantiles, shares } => {
            scenario::all(Options { requests, quantiles: !shares, shares: !quantiles })?
        }
        Cli::Files { report, service, server_log, client_log, allowed } => {
            let (truth, report) = (Truth::read(&server_log, &client_log)?, Report::read(&report)?);
            let mut score = Score::default();
            quantiles::head(&mut score);
            scenario::of_service(&service, &truth, &report, &service, quantiles::CLAIMED, &mut score);
            score.line("");
            shares::head(&mut score);
            scenario::components(&service, &truth, &report, &service, allowed, &mut score)?;
            score
        }
    };
    print!("{}", score.text);
    let missed: Vec<_> = score.inexact.iter().chain(&score.missed).collect();
    if missed.is_empty() {
        println!("\nAll targets met.");
        return Ok(ExitCode::SUCCESS);
    }
    println!("\n{} targets missed:\n", missed.len());
    missed.iter().for_each(|line| println!("- {line}"));
    Ok(ExitCode::FAILURE)
}
