//! `truth-score`: scores a recording that was made before, against the logs of the same requests. Prints tables in Markdown; exit
//! code 1 when a target was missed. `cargo xtask bench accuracy` makes recordings and scores them.

use std::path::PathBuf;
use std::process::ExitCode;

use acgs_perf_tests::report::Report;
use acgs_perf_tests::score::{Score, Truth, quantiles, scenario, shares};
use anyhow::Result;
use clap::Parser;

/// How near the agent's report is to the truth.
#[derive(Parser)]
struct Cli {
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
}

fn main() -> Result<ExitCode> {
    let Cli { report, service, server_log, client_log, allowed } = Cli::parse();
    let (truth, report) = (Truth::read(&server_log, &client_log)?, Report::read(&report)?);
    let mut score = Score::default();
    quantiles::head(&mut score);
    scenario::of_service(&service, &truth, &report, &service, quantiles::CLAIMED, &mut score);
    score.line("");
    shares::head(&mut score);
    scenario::components(&service, &truth, &report, &service, allowed, &mut score)?;
    print!("{}\n{}", score.text, score.conclusion());
    Ok(if score.is_met() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
