//! The command line: parses, runs one verb, maps errors to exit codes.

#![deny(clippy::print_stdout, clippy::print_stderr, clippy::exit)]

use std::process::ExitCode;

use acgs_perf::command::{
    alerts, baseline, completions, diff, doctor, explain, export, load, merge, record, report, serve, services, top,
    verify,
};
use acgs_perf::output::{self, colour};
use clap::{CommandFactory as _, Parser, Subcommand};
use tracing_subscriber::filter::LevelFilter;

/// Host-level latency profiler: what latency the clients of your services really saw, and where the time went.
#[derive(Parser)]
#[command(name = "acgs-perf", version, about, after_help = EXAMPLES, max_term_width = 110)]
struct Cli {
    /// When to use colour
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    color: colour::Colour,
    #[command(subcommand)]
    verb: Option<Verb>,
}

const EXAMPLES: &str = "\
Examples:
  sudo acgs-perf                                            # what listens here, live on the terminal
  sudo acgs-perf record                                     # the ACGS services of this host, for 30 seconds
  sudo acgs-perf record --service api=port:8000 --duration 10s
  sudo acgs-perf record --service redis=port:6379 -- redis-benchmark -t get -n 1000000
  acgs-perf load http://127.0.0.1:8000/ --rate 1000 --fail-on 'p99>5ms'
  acgs-perf report report.json
  acgs-perf diff before.capture after.capture --fail-on 'p99>+5%'
Exit codes: 0 ok, 1 a check failed, 2 wrong usage or environment, or the report is not where it was asked for;
with a COMMAND, its own when it fails; 143 after SIGTERM, 129 after SIGHUP.";

#[derive(Subcommand)]
enum Verb {
    /// Record running services and write a report
    #[command(after_help = record::EXAMPLES)]
    Record(Box<record::Args>),
    /// Record for ever, into a ring on disk
    #[command(after_help = serve::EXAMPLES)]
    Serve(Box<serve::Args>),
    /// Show services as they are now, on the terminal
    #[command(after_help = top::EXAMPLES)]
    Top(top::Args),
    /// Send requests at a rate, and say how long they took
    #[command(after_help = load::EXAMPLES)]
    Load(Box<load::Args>),
    /// Show a report that was written before, or a time that `serve` has recorded
    #[command(after_help = report::EXAMPLES)]
    Report(report::Args),
    /// Say what a finding means, and what to do about it
    #[command(after_help = explain::EXAMPLES)]
    Explain(explain::Args),
    /// Merge captures of many hosts, workers or runs into one
    #[command(after_help = merge::EXAMPLES)]
    Merge(merge::Args),
    /// Say by what two recordings differ, and whether it is a regression
    #[command(after_help = diff::EXAMPLES)]
    Diff(diff::Args),
    /// List, show and delete the baselines that `record --save-baseline` has saved
    #[command(after_help = baseline::EXAMPLES)]
    Baseline(baseline::Args),
    /// Write the intervals of a recording as a table for other engines
    #[command(after_help = export::EXAMPLES)]
    Export(export::Args),
    /// Write rules for Prometheus from the objectives of the services
    #[command(after_help = alerts::EXAMPLES)]
    Alerts(alerts::Args),
    /// List the services that can be recorded on this host
    #[command(after_help = services::EXAMPLES)]
    Services(services::Args),
    /// Say whether this host can be profiled, and with which hooks
    #[command(after_help = doctor::EXAMPLES)]
    Doctor(doctor::Args),
    /// Write what a shell needs to complete the command line
    #[command(after_help = completions::EXAMPLES)]
    Completions(completions::Args),
    /// Write the manual pages into a directory
    #[command(hide = true)]
    Man(completions::ManArgs),
    /// Check that a report is complete and unchanged
    #[command(after_help = verify::EXAMPLES)]
    Verify(verify::Args),
}

fn main() -> ExitCode {
    // Large blocks (the kernel's BTF, the object) go back to the system as soon as they are freed; by default glibc
    // raises this threshold at the first such free and keeps the later ones.
    // SAFETY: mallopt only sets a parameter of the allocator.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 128 * 1024);
        // One heap for all threads: they seldom ask for memory at the same time, and what one has freed another can use.
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
    let level = std::env::var("ACGS_PERF_LOG").ok().and_then(|level| level.parse().ok()).unwrap_or(LevelFilter::WARN);
    tracing_subscriber::fmt().with_max_level(level).with_writer(|| output::Log).init();
    let cli = Cli::parse();
    colour::choose(cli.color);
    let verb = match cli.verb {
        Some(verb) => verb,
        None if top::is_wanted_alone() => Verb::Top(top::Args::default()),
        None => {
            // Shows what to type, and ends.
            Cli::command().arg_required_else_help(true).get_matches_from(["acgs-perf"]);
            return ExitCode::from(2);
        }
    };
    let result = match verb {
        Verb::Record(args) => record::run(&args),
        Verb::Serve(args) => serve::run(&args),
        Verb::Top(args) => top::run(&args),
        Verb::Load(args) => load::run(&args),
        Verb::Report(args) => report::run(&args),
        Verb::Explain(args) => explain::run(&args),
        Verb::Merge(args) => merge::run(&args),
        Verb::Diff(args) => diff::run(&args),
        Verb::Baseline(args) => baseline::run(&args),
        Verb::Export(args) => export::run(&args),
        Verb::Alerts(args) => alerts::run(&args),
        Verb::Services(args) => services::run(&args),
        Verb::Doctor(args) => doctor::run(&args),
        Verb::Completions(args) => completions::run(&args, Cli::command()),
        Verb::Man(args) => completions::man(&args, Cli::command()),
        Verb::Verify(args) => verify::run(&args),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            output::complain(&error);
            ExitCode::from(2)
        }
    }
}
