//! `bench causes`: planted causes of slow requests, and how many of them the report names.
//!
//! In: the release build, the services and the Python environment of the tests. Out: a Markdown table on standard output, one
//! line per run on standard error; failure when fewer than 98 % of the runs named the cause that was planted.

use std::fs;
use std::path::PathBuf;

use acgs_perf_tests::causes::run::{self, Table};
use acgs_perf_tests::causes::table::{CAUSES, chosen};
use anyhow::{Context, Result, ensure};

use crate::prepare;

/// The share of the runs that must name the cause.
const WANTED: f64 = 0.98;

/// Which causes, how often.
#[derive(clap::Args)]
pub struct Options {
    /// Runs of each cause.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
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
    let causes = chosen(options.only.as_deref());
    ensure!(!causes.is_empty(), "no cause {}; there are:\n{}", options.only.clone().unwrap_or_default(), all());
    prepare::agent_and_programs(true)?;
    if let Some(directory) = &options.reports {
        fs::create_dir_all(directory).with_context(|| format!("create {}", directory.display()))?;
    }
    let mut table = Table::default();
    let kept = run::Options { planting_only: options.planting_only, reports: options.reports.as_deref() };
    for cause in causes {
        table.add(cause, options.runs, kept);
    }
    let (text, share) = table.finish(options.planting_only);
    print!("{text}");
    ensure!(share >= WANTED, "fewer than {:.0} % of the runs named the planted cause", WANTED * 100.0);
    Ok(())
}

fn all() -> String {
    CAUSES.iter().map(|cause| format!("  {}\n", cause.title())).collect()
}
