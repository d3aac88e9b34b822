//! `cargo xtask bench`: what the tool costs, and how near it is to the truth.
//!
//! In: the command line, the workspace. Out: tables in Markdown; exit code 0, 1 when a target was missed or something failed, 2
//! when something is missing that this program may not or cannot install.

mod accuracy;
mod agent;
mod attribution;
mod causes;
mod cost;
mod diff;
mod fixes;
mod healthy;
mod instructions;
mod load;
mod placement;
mod prepare;
mod redis;
mod reports;
mod statistics;

use std::process::ExitCode;

use acgs_perf_setup::Missing;
use clap::Parser;

/// Measure what the tool costs, and how near it is to the truth.
#[derive(Parser)]
#[command(name = "cargo xtask bench", bin_name = "cargo xtask bench")]
enum Bench {
    /// CPU time and memory of the agent while it records a saturated Redis, and whether it counts every request.
    Agent(agent::Options),
    /// Throughput of a saturated Redis with attribution against plain histograms, with an A/A arm.
    Attribution(attribution::Options),
    /// What recording costs services and bystanders, against its floor and against other tools.
    Cost(cost::Options),
    /// How much longer the P99 is while a service is recorded: the tool switched on and off under the same load.
    Switchback(cost::switchback::Options),
    /// Guest instructions per request and per kernel program, in a machine that counts them; and the gate on them.
    Instructions(instructions::Options),
    /// Plant known causes of slow requests; the report must name them in 98 % of the runs.
    Causes(causes::Options),
    /// Record real services under fair load; no finding may be above info.
    Healthy(healthy::Options),
    /// How often a comparison errs on windows of the same service, and how often it finds what is planted.
    Diff(diff::Options),
    /// `acgs-perf load` beside other load tools, on the same nginx.
    Load(load::Options),
    /// How long the report of a large recording takes.
    Reports(reports::Options),
    /// The report's quantiles and components against servers that log the truth.
    Accuracy(accuracy::Options),
}

fn main() -> ExitCode {
    let result = match Bench::parse() {
        Bench::Agent(options) => agent::agent(&options),
        Bench::Attribution(options) => attribution::attribution(&options),
        Bench::Cost(options) => cost::cost(&options),
        Bench::Switchback(options) => cost::switchback::switchback(&options),
        Bench::Instructions(options) => instructions::instructions(&options),
        Bench::Causes(options) => causes::causes(&options),
        Bench::Healthy(options) => healthy::healthy(&options),
        Bench::Diff(options) => diff::diff(&options),
        Bench::Load(options) => load::load(&options),
        Bench::Reports(options) => reports::reports(&options),
        Bench::Accuracy(options) => accuracy::accuracy(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::from(if error.is::<Missing>() { 2 } else { 1 })
        }
    }
}
