//! `bench causes`: planted causes of slow requests, and how many of them the report names: as the largest part of the tail, and in its
//! first finding.
//!
//! In: the release build, the services and the Python environment of the tests. Out: a Markdown table on standard output, one
//! line per run on standard error; failure when fewer than 98 % of the runs named the cause that was planted, in either way.

use std::fs;
use std::path::PathBuf;

use acgs_perf_tests::causes::run::{self, Table};
use acgs_perf_tests::causes::table::{CAUSES, chosen};
use anyhow::{Context, Result, ensure};

use crate::fixes::fixes;
use crate::prepare;

/// The share of the runs that must name the cause, and whose first finding must.
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
    /// Take causes away from the truth server, and compare its P99 with what the findings say it would be.
    #[arg(long, conflicts_with = "planting_only")]
    fix: bool,
    /// Keep the reports and captures in this directory.
    #[arg(long)]
    reports: Option<PathBuf>,
}

/// The whole task.
pub fn causes(options: &Options) -> Result<()> {
    prepare::need_root()?;
    if let Some(directory) = &options.reports {
        fs::create_dir_all(directory).with_context(|| format!("create {}", directory.display()))?;
    }
    if options.fix {
        prepare::agent_and_programs(false)?;
        return fixes(options.only.as_deref(), options.runs, options.reports.as_deref());
    }
    let causes = chosen(options.only.as_deref());
    ensure!(!causes.is_empty(), "no cause {}; there are:\n{}", options.only.clone().unwrap_or_default(), all());
    prepare::agent_and_programs(true)?;
    let mut table = Table::default();
    let kept = run::Options { planting_only: options.planting_only, reports: options.reports.as_deref() };
    for cause in causes {
        table.add(cause, options.runs, kept);
    }
    let (text, shares) = table.finish(options.planting_only);
    print!("{text}");
    let wanted = WANTED * 100.0;
    ensure!(shares.cause >= WANTED, "fewer than {wanted:.0} % of the runs named the planted cause");
    let is_found = options.planting_only || shares.finding >= WANTED;
    ensure!(is_found, "in fewer than {wanted:.0} % of the runs the first finding named the planted cause");
    Ok(())
}

fn all() -> String {
    CAUSES.iter().map(|cause| format!("  {}\n", cause.title())).collect()
}
