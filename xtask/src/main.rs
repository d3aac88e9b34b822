//! Project tasks: `cargo xtask setup | build | lint | test | verifier | bench | dist | demo`.
//!
//! In: the command line. Out: the task's own output; exit code 0, 1 when a check failed, 2 when something is missing
//! that this program may not or cannot install.

mod bench;
mod demo;
mod dist;
mod lint;
mod rings;
mod test_output;
mod vm;

use std::ffi::OsString;
use std::process::ExitCode;

use acgs_perf_setup::{self as setup, agent};
use anyhow::Result;
use clap::{Parser, Subcommand};

/// Tasks of the acgs-perf project.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Find or install what the build needs, and say what was found.
    Setup {
        /// Also what the tests need: services, load tools, a Python environment.
        #[arg(long)]
        tests: bool,
        /// Also what other kernels need: QEMU.
        #[arg(long)]
        vm: bool,
        /// Also what only the checks of the sources need: cargo-deny.
        #[arg(long)]
        lint: bool,
    },
    /// Build the agent with its kernel side.
    Build {
        /// Optimised, as shipped.
        #[arg(long)]
        release: bool,
    },
    /// rustfmt, the house pass, clippy on both sides, cargo deny.
    Lint {
        /// Only the house pass, which takes seconds.
        #[arg(long)]
        house: bool,
    },
    /// All test rings: host, live kernel, real services. The last two need root.
    Test {
        /// Run only these rings.
        #[arg(long, value_enum)]
        ring: Vec<rings::Ring>,
        /// Run the live-kernel ring on other kernels in virtual machines: those named, or all; `list` prints them.
        #[arg(long, value_name = "KERNEL", num_args = 0.., conflicts_with = "ring")]
        vm: Option<Vec<String>>,
        /// In the virtual machines, run only the tests with this in their name; nothing is recorded.
        #[arg(long, value_name = "NAME", requires = "vm")]
        only: Option<String>,
        /// In the virtual machines, run the tests so many times, one after the other in the same machine.
        #[arg(long, value_name = "N", requires = "vm", default_value_t = 1)]
        times: u32,
        /// Run the long form of tests that have one: hours of churn in some twenty minutes.
        #[arg(long, conflicts_with = "vm")]
        long: bool,
        /// Set up and build what the rings need, and run none of them.
        #[arg(long, conflicts_with_all = ["vm", "accept"])]
        no_run: bool,
        /// Take the verifier's work on each program as it is now into docs/verifier.tsv.
        #[arg(long)]
        accept: bool,
    },
    /// Compare the verifier's work on each program, on this kernel, with docs/verifier.tsv. Needs root.
    Verifier {
        /// Take it as it is now.
        #[arg(long)]
        accept: bool,
    },
    /// Measure what the tool costs, and how near it is to the truth.
    #[command(disable_help_flag = true)]
    Bench {
        /// Which measurement, and its options; `--help` names them.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Build the agent as shipped, with completions and manual pages, into an archive in target/dist.
    Dist,
    /// Start a small stack on loopback, record it for ten seconds, print the summary.
    Demo,
    /// One process of the demo's stack.
    #[command(hide = true)]
    DemoPart {
        #[command(subcommand)]
        part: demo::stack::Part,
    },
}

fn build(release: bool) -> Result<()> {
    let path = agent::build(&setup::ensure(false)?, release)?;
    println!("{}", path.display());
    Ok(())
}

fn main() -> ExitCode {
    let result = match Cli::parse().task {
        Task::Setup { tests, vm, lint } => setup::run(tests, vm, lint),
        Task::Build { release } => build(release),
        Task::Lint { house } => lint::run(house),
        Task::Test { vm: Some(kernels), only, times, accept, .. } => vm::run(&kernels, only, times, accept),
        Task::Test { ring, vm: None, accept, long, no_run, .. } => {
            rings::run(&ring, rings::Options { accept, long, no_run })
        }
        Task::Verifier { accept } => vm::live::run(accept),
        Task::Bench { arguments } => bench::run_with(&arguments),
        Task::Dist => dist::run_task(),
        Task::Demo => demo::run(),
        Task::DemoPart { part } => demo::stack::run(part),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::from(if error.is::<setup::Missing>() { 2 } else { 1 })
        }
    }
}
