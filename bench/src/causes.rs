//! `bench causes`: planted causes of slow requests, and how many of them the report names.
//!
//! In: the release build, the services and the Python environment of the tests. Out: a Markdown table; failure when fewer
//! than 98 % of the runs named the cause that was planted.

use std::path::PathBuf;
use std::process::Command;

use acgs_perf_setup::process::{run, target};
use anyhow::Result;

use crate::prepare;

/// Which causes, how often.
#[derive(clap::Args)]
pub struct Options {
    /// Runs of each cause.
    #[arg(long, default_value_t = 3)]
    runs: u32,
    /// Only the causes of this name, or the one that is called NAME/SERVICE.
    #[arg(long)]
    only: Option<String>,
    /// Check only that the slow requests are there, not what the report says about them.
    #[arg(long)]
    planting_only: bool,
    /// Keep the reports in this directory.
    #[arg(long)]
    reports: Option<PathBuf>,
}

/// The whole task.
pub fn causes(options: &Options) -> Result<()> {
    prepare::need_root()?;
    let agent = prepare::agent_and_programs(true)?;
    let mut causes = Command::new(target().join("release/acgs-perf-causes"));
    causes.env("ACGS_PERF_BIN", agent).args(["--runs", &options.runs.to_string()]);
    if let Some(only) = &options.only {
        causes.args(["--only", only]);
    }
    if options.planting_only {
        causes.arg("--planting-only");
    }
    if let Some(directory) = &options.reports {
        causes.arg("--reports").arg(directory);
    }
    run(&mut causes)
}
