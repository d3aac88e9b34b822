//! `acgs-perf baseline`: which baselines there are, what is in one, and out with it.
//!
//! In: a directory of baselines, which `record --save-baseline` fills. Out: lists on standard output; exit code 2 for a name that is not there.

pub mod runs;

use std::path::PathBuf;

use anyhow::Context as _;

use crate::analysis::compare::{Side, value_at};
use crate::output::{self, Page};
use crate::units::{bytes, duration, grouped, rate, timestamp};

/// Examples for `--help`.
pub const EXAMPLES: &str = "\
Examples:
  sudo acgs-perf record --service api=port:8000 --interval 200ms --duration 60s --save-baseline main
  sudo acgs-perf record --service api=port:8000 --interval 200ms --duration 60s --against main --check
  acgs-perf baseline list
  acgs-perf baseline show main
  acgs-perf baseline delete main
A baseline is a directory with a capture per run, the last ten; several runs show how much runs differ.";

/// List, show and delete baselines
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// What to do
    #[command(subcommand)]
    pub what: What,
    /// Where the baselines are
    #[arg(long, value_name = "DIR", default_value = runs::DIRECTORY, global = true)]
    pub baseline_dir: PathBuf,
}

/// What to do with baselines.
#[derive(Debug, clap::Subcommand)]
pub enum What {
    /// All of them
    List,
    /// The runs of one
    Show {
        /// Its name
        name: String,
    },
    /// Delete one with all its runs
    Delete {
        /// Its name
        name: String,
    },
}

/// Runs the command and returns the exit code.
///
/// # Errors
/// If there is no such baseline, or it cannot be read; exit code 2.
pub fn run(args: &Args) -> anyhow::Result<u8> {
    let page = match &args.what {
        What::List => list(args)?,
        What::Show { name } => show(args, name)?,
        What::Delete { name } => {
            let count = runs::delete(&args.baseline_dir, name)?;
            Page::of(&format!("deleted {name}: {}", runs_of(count)))
        }
    };
    output::print(&page).context("standard output")?;
    Ok(0)
}

fn runs_of(count: usize) -> String {
    format!("{count} run{}", if count == 1 { "" } else { "s" })
}

fn list(args: &Args) -> anyhow::Result<Page> {
    let mut page = Page::default();
    for name in runs::names(&args.baseline_dir)? {
        let files = runs::files(&args.baseline_dir, &name).unwrap_or_default();
        let size: u64 = files.iter().filter_map(|file| Some(file.metadata().ok()?.len())).sum();
        page.line(&format!("{name}   {}, {}", runs_of(files.len()), bytes(size)));
    }
    if page.as_str().is_empty() {
        page.line(&format!("no baseline in {}; `record --save-baseline NAME` makes one", args.baseline_dir.display()));
    }
    Ok(page)
}

fn show(args: &Args, name: &str) -> anyhow::Result<Page> {
    let mut page = Page::default();
    for run in runs::runs(&args.baseline_dir, name)? {
        let context = &run.capture.context;
        page.line(&format!(
            "{}   {} · {} · {} {} · {} CPUs",
            run.path.display(),
            timestamp(context.start_unix_ns),
            duration(context.duration_ns),
            context.host.name,
            context.host.kernel,
            context.host.cpus
        ));
        let side = Side::of_capture(name, &run.capture, None);
        for service in &side.services {
            let seconds = context.duration_ns as f64 / 1e9;
            page.line(&format!(
                "  {}   {} requests, {}/s, p99 {}",
                service.name,
                grouped(service.requests),
                rate((service.requests as f64 / seconds.max(1e-9)).round()),
                value_at(service, 0.99).map_or_else(|| "not known".to_owned(), |ns| duration(ns.round() as u64))
            ));
        }
    }
    Ok(page)
}
