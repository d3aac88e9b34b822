//! `acgs-perf alerts`: rules for Prometheus, from the objectives of the services.
//!
//! In: the configuration. Out: YAML on standard output, for a Prometheus that scrapes `acgs-perf serve`; exit code 0.

use std::path::PathBuf;

use anyhow::Context as _;

use super::choice::Choice;
use crate::output;
use crate::serve::alerts::rules::rules;

/// Examples for `--help`.
pub const EXAMPLES: &str = "\
Examples:
  acgs-perf alerts --config /etc/acgs-perf.toml > rules.yml      # name it under rule_files: in prometheus.yml
  promtool check rules rules.yml";

/// Arguments of `acgs-perf alerts`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Rules for this service; may be given several times [default: those of the configuration, or of the catalogue]
    #[arg(long = "service", value_name = "NAME=SELECTOR")]
    pub services: Vec<String>,
    /// Take services and objectives from this file
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Runs the command; errors are for the caller to map to exit code 2.
///
/// # Errors
/// When the configuration cannot be read, or standard output cannot be written.
pub fn run(args: &Args) -> anyhow::Result<u8> {
    let choice = Choice { services: &args.services, config: args.config.as_deref(), keeps_absent: true, waits: true };
    output::print_json(&rules(&choice.specs()?)).context("standard output")?;
    Ok(0)
}
