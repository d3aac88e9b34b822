//! `acgs-perf-causes`: plants known causes of slow requests and checks that the report names them.
//!
//! In: how many runs of each, and which. Out: a Markdown table on stdout, one line per run on stderr; exit code 1 when fewer
//! than 98 % of the runs named the planted cause.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use acgs_perf_tests::causes::run::{Options, Table};
use acgs_perf_tests::causes::table::chosen;
use anyhow::{Context, Result, ensure};
use clap::Parser;

const WANTED: f64 = 0.98;

/// Plants known causes of slow requests and checks that the report names them.
#[derive(Parser)]
struct Cli {
    /// Runs of each cause.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Only the causes of this name, or the one that is called NAME/SERVICE.
    #[arg(long)]
    only: Option<String>,
    /// List the causes.
    #[arg(long)]
    list: bool,
    /// Check only that the slow requests are there, not what the report says about them.
    #[arg(long)]
    planting_only: bool,
    /// Keep the reports in this directory.
    #[arg(long)]
    reports: Option<PathBuf>,
}

fn main() -> Result<ExitCode> {
    let cli = Cli::parse();
    let causes = chosen(cli.only.as_deref());
    ensure!(!causes.is_empty(), "no cause {}; see --list", cli.only.unwrap_or_default());
    if cli.list {
        causes.iter().for_each(|cause| println!("{}", cause.title()));
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::default();
    if let Some(directory) = &cli.reports {
        fs::create_dir_all(directory).with_context(|| format!("create {}", directory.display()))?;
    }
    let options = Options { planting_only: cli.planting_only, reports: cli.reports.as_deref() };
    for cause in causes {
        table.add(cause, cli.runs, options);
    }
    let (text, share) = table.finish(cli.planting_only);
    print!("{text}");
    Ok(if share >= WANTED { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
