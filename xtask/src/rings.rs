//! `test`: the rings in order; a ring in which no test ran is a failure.
//!
//! In: the chosen rings (none: all of them). Out: cargo's own output under a heading per ring; failure when a test failed,
//! when a ring ran nothing, or when a ring needs root and there is none. All rings run even when one fails. A file of tests that
//! measure is run once more if it failed, one test after the other, and told as UNSTEADY if it passes then. Without running, it builds
//! what the rings need.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::thread;

use acgs_perf_setup::process::{announce, cargo, describe, is_root};
use acgs_perf_setup::{self as setup, Toolchain, agent};
use anyhow::{Context, Result, anyhow, bail};
use clap::ValueEnum;

use crate::test_output::summary;
use crate::{bench, vm};

/// So many test files of a ring may fail at first, if each passes when it runs once more. The tests measure a machine that others
/// use too: a CPU taken away for long at the wrong moment breaks one of hundreds now and then. More than these is no accident.
const SECOND_TRIES: usize = 2;

/// A set of tests with the same needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Ring {
    /// No root, seconds.
    Host,
    /// Known delays on the running kernel; root.
    Kernel,
    /// Services and their load tools; root.
    Services,
    /// The oldest kernel that can be profiled, in a virtual machine: loads, attaches, counts; root.
    OtherKernel,
}

impl Ring {
    pub const ALL: [Self; 4] = [Self::Host, Self::Kernel, Self::Services, Self::OtherKernel];

    /// For the headings.
    pub fn title(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Kernel => "live kernel",
            Self::Services => "real services",
            Self::OtherKernel => "another kernel",
        }
    }

    /// The files of `tests/` that it runs.
    pub fn test_files(self) -> &'static [&'static str] {
        match self {
            Self::Kernel => &[
                "live_kernel",
                "socket_calls",
                "block_io",
                "memory",
                "window",
                "wait",
                "fates",
                "delivery",
                "kinds",
                "listening",
                "capture",
                "merge",
                "compare",
                "baseline",
                "serve",
                "rights",
                "serve_lasts",
                "alerts",
                "churn",
                "timers",
                "quota",
                "strangers",
                "accuracy",
                "client_latency",
                "shares",
                "scale",
                "stress",
                "stall",
                "bad_input",
                "late_errors",
                "hostile_text",
                "ledger",
                "ledger_rare",
                "hostile",
                "hostile_agent",
                "overhead",
            ],
            Self::Services => &[
                "services_network",
                "services_load",
                "services_redis",
                "top",
                "services_nginx",
                "services_uvicorn",
                "services_fates",
                "services_delivery",
                "services_endpoints",
                "services_gunicorn",
                "services_proxies",
                "services_php",
                "services_pools",
                "services_mariadb",
                "services_waits",
                "services_answers",
                "services_listening",
                "services_postgres",
                "services_busy",
                "services_node",
                "services_stack",
                "services_prometheus",
                "services_export",
                "html",
                "causes",
            ],
            Self::Host | Self::OtherKernel => &[],
        }
    }

    /// One list of cargo arguments per run.
    fn runs(self) -> Vec<Vec<&'static str>> {
        match self {
            // What is not in the workspace's default members, because it is built with the library of the tests.
            Self::Host => vec![
                vec!["test"],
                vec!["test", "--package", "acgs-perf-tests", "--package", "acgs-perf-bench", "--lib", "--bins"],
            ],
            _ => self.test_files().iter().map(|name| one(name)).collect(),
        }
    }
}

/// One test after another: each measures the machine that the others would load.
const ALONE: &str = "--test-threads=1";
/// Files whose tests wait for most of their time: for an interval to end, an export to be tried again, a client's patience. They count
/// requests, and hold a time against a lower bound or against a clock of their own, so that another test beside them changes no answer.
/// Not those in which the test's own process is the service: it would be asked by the tests beside it.
const BESIDE_OTHERS: &[(&str, &str)] = &[
    ("bad_input", "--test-threads=3"),
    ("fates", "--test-threads=3"),
    ("late_errors", "--test-threads=2"),
    ("rights", "--test-threads=2"),
    ("serve", "--test-threads=3"),
    ("serve_lasts", "--test-threads=2"),
    ("services_network", "--test-threads=4"),
    ("services_fates", "--test-threads=3"),
    ("services_answers", "--test-threads=2"),
];

fn one(name: &'static str) -> Vec<&'static str> {
    let threads = BESIDE_OTHERS.iter().find(|(of, _)| *of == name).map_or(ALONE, |(_, threads)| threads);
    vec!["test", "--release", "--package", "acgs-perf-tests", "--test", name, "--", threads]
}

/// How the rings run.
#[derive(Clone, Copy)]
pub struct Options {
    /// Take the verifier's work on each program as it is now.
    pub accept: bool,
    /// The long form of tests that have one.
    pub long: bool,
    /// Set up and build what the rings need, and run none of them.
    pub no_run: bool,
}

/// The whole task.
pub fn run(chosen: &[Ring], options: Options) -> Result<()> {
    let rings: Vec<Ring> = Ring::ALL.into_iter().filter(|ring| chosen.is_empty() || chosen.contains(ring)).collect();
    let toolchain = setup::ensure(rings.contains(&Ring::Services))?;
    if options.long && rings.contains(&Ring::Services) {
        setup::ensure_long()?;
    }
    if rings.iter().any(|ring| *ring != Ring::Host) {
        agent::build(&toolchain, true)?;
    }
    if options.no_run {
        return rings.into_iter().try_for_each(|ring| build(ring, &toolchain));
    }
    let mut failed = Vec::new();
    for ring in rings {
        println!("\n=== ring: {} ===", ring.title());
        match self::ring(ring, &toolchain, options) {
            Ok(tests) => println!("=== ring: {}: {tests} tests passed ===", ring.title()),
            Err(error) => {
                println!("=== ring: {}: FAILED: {error:#} ===", ring.title());
                failed.push(ring.title());
            }
        }
    }
    if failed.is_empty() { Ok(()) } else { bail!("failed rings: {}", failed.join(", ")) }
}

/// Builds what a ring runs, before any of its tests measures anything.
fn build(ring: Ring, toolchain: &Toolchain) -> Result<()> {
    match ring {
        Ring::Host => ring.runs().into_iter().try_for_each(|arguments| {
            let mut tests = cargo();
            announce(toolchain.apply(tests.args(arguments).arg("--no-run")))
        }),
        Ring::Kernel | Ring::Services => {
            let mut tests = cargo();
            tests.args(["build", "--release", "--package", "acgs-perf-tests", "--tests"]);
            announce(toolchain.apply(&mut tests))
        }
        Ring::OtherKernel => {
            vm::build_short()?;
            bench::build(toolchain)
        }
    }
}

fn ring(ring: Ring, toolchain: &Toolchain, options: Options) -> Result<u64> {
    if ring != Ring::Host && !is_root() {
        bail!("needs root; run `cargo xtask test` as root, or `cargo xtask test --ring host`");
    }
    if ring == Ring::OtherKernel {
        build(ring, toolchain)?;
        // Side by side: one waits for its guest's clock, the other counts instructions, which others' work does not change. Both, so that
        // one run tells all that is wrong.
        let (tests, gate) = thread::scope(|scope| {
            let gate = scope.spawn(|| bench::instructions(toolchain));
            let tests = vm::short();
            (tests, gate.join().unwrap_or_else(|_| Err(anyhow!("its thread panicked"))))
        });
        let gate = gate.context("the instructions of programs");
        return match (tests, gate) {
            (Err(tests), Err(gate)) => bail!("{tests:#}; {gate:#}"),
            (tests, gate) => gate.and(tests),
        };
    }
    if ring != Ring::Host {
        build(ring, toolchain)?;
    }
    let (mut ran, mut failed) = (0, Vec::new());
    for arguments in ring.runs() {
        let (tests, outcome) = attempt(&arguments, toolchain, options.long)?;
        ran += tests;
        failed.extend(outcome.err().map(|reason| (arguments, reason)));
    }
    // The host ring measures nothing: what fails there fails.
    if ring != Ring::Host && !failed.is_empty() && failed.len() <= SECOND_TRIES {
        println!("=== ring: {}: once more, each alone: {} ===", ring.title(), reasons(&failed));
        failed = again(failed, toolchain, options.long)?;
    }
    if ring == Ring::Kernel && failed.is_empty() {
        vm::live::check(Some((ran, ran)), options.accept).context("the verifier's budget")?;
    }
    if failed.is_empty() { Ok(ran) } else { bail!("{}", reasons(&failed)) }
}

/// A list of cargo arguments, and why its run counts as failed.
type Failed = (Vec<&'static str>, String);

fn reasons(failed: &[Failed]) -> String {
    failed.iter().map(|(_, reason)| reason.as_str()).collect::<Vec<_>>().join("; ")
}

/// What fails a second time too.
fn again(failed: Vec<Failed>, toolchain: &Toolchain, long: bool) -> Result<Vec<Failed>> {
    let mut twice = Vec::new();
    for (mut arguments, first) in failed {
        if let Some(threads) = arguments.last_mut() {
            *threads = ALONE;
        }
        match attempt(&arguments, toolchain, long)?.1 {
            Ok(()) => println!("=== UNSTEADY: failed, then passed: {first} ==="),
            Err(reason) => twice.push((arguments, reason)),
        }
    }
    Ok(twice)
}

/// One run: how many tests it had, and why it counts as failed if it does.
fn attempt(arguments: &[&str], toolchain: &Toolchain, long: bool) -> Result<(u64, Result<(), String>)> {
    let mut command = cargo();
    command.args(arguments);
    toolchain.apply(&mut command);
    if long {
        command.env("ACGS_PERF_LONG", "1");
    }
    let (tests, success) = counted(&mut command)?;
    let outcome = match (success, tests) {
        (false, _) => Err(describe(&command)),
        (true, 0) => Err(format!("{} ran no test", describe(&command))),
        (true, _) => Ok(()),
    };
    Ok((tests, outcome))
}

/// Runs cargo, passes its output through, and counts the tests that ran.
fn counted(command: &mut Command) -> Result<(u64, bool)> {
    let line = describe(command);
    println!("+ {line}");
    let mut child = command.stdout(Stdio::piped()).spawn().with_context(|| format!("start `{line}`"))?;
    let mut tests = 0;
    if let Some(stdout) = child.stdout.take() {
        for text in BufReader::new(stdout).lines().map_while(Result::ok) {
            println!("{text}");
            let (passed, failed) = summary(&text);
            tests += passed + failed;
        }
    }
    let status = child.wait().with_context(|| format!("wait for `{line}`"))?;
    Ok((tests, status.success()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_runs_beside_others_is_in_a_ring_and_the_others_run_alone() {
        let all: Vec<&str> = Ring::ALL.iter().flat_map(|ring| ring.test_files()).copied().collect();
        for (name, threads) in BESIDE_OTHERS {
            assert!(all.contains(name), "{name} is in no ring");
            assert_eq!(one(name).last(), Some(threads));
            assert_ne!(*threads, ALONE, "{name}");
        }
        assert_eq!(one("accuracy").last(), Some(&ALONE));
    }
}
