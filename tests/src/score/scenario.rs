//! The runs that are scored: a truth server under load, recorded by the agent.
//!
//! In: what runs. Out: the truth and the report of the same requests. Everything is on loopback, and bounded.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::modes::{self, MODES};
use super::quantiles::{self, CLAIMED, Times, Tolerance};
use super::seen::{self, SEEN};
use super::shares::{self, Attribution};
use super::{Score, Truth};
use crate::harness::{Service, run};
use crate::recording::Recorder;
use crate::report::Report;

const NAME: &str = "truth";
/// Service times whose quantiles are compared.
pub const DISTRIBUTIONS: [&str; 5] =
    ["constant:100", "exponential:200", "bimodal:100,5000,0.01", "lognormal:150,0.8", "pareto:100,1.8"];

/// A run whose components are compared: name, flags of the server, flags of the load, percentage points allowed.
pub type Run = (&'static str, &'static str, &'static str, f64);

/// All of them.
pub const SHARES: [Run; 7] = [
    (
        "threads",
        "--mode threads",
        "--connections 4 --rate 150 --script spin:300;call:db[sleep:1000];sleep:700;fsync:1;odirect:1;fault:1;allocate:64",
        3.0,
    ),
    (
        "threads, one lock",
        "--mode threads",
        "--connections 6 --rate 400 --script spin:100;lock:a[sleep:1500];call:db[sleep:300]",
        3.0,
    ),
    (
        "epoll, 1 in flight",
        "--mode epoll",
        "--connections 1 --rate 250 --script spin:200;call:db[sleep:1000];sleep:500;spin:200",
        5.0,
    ),
    (
        "epoll, 8 in flight, calls only",
        "--mode epoll",
        "--connections 8 --rate 1500 --script spin:150;call:db[sleep:3000];spin:150",
        5.0,
    ),
    (
        "epoll, 8 in flight, calls and timers",
        "--mode epoll",
        "--connections 8 --rate 1500 --script spin:150;call:db[sleep:2000];spin:150;sleep:1000;spin:50",
        5.0,
    ),
    ("pool", "--mode pool --pool 2", "--connections 8 --rate 800 --script spin:200;call:db[sleep:1200];spin:200", 5.0),
    (
        "pool-back",
        "--mode pool-back --pool 2",
        "--connections 8 --rate 800 --script spin:200;call:db[sleep:1200];spin:200",
        5.0,
    ),
];

/// What runs.
#[derive(Clone, Debug)]
pub struct Options {
    /// Requests of each run.
    pub requests: u64,
    /// Compare quantiles.
    pub quantiles: bool,
    /// Compare components.
    pub shares: bool,
    /// Compare with what clients saw.
    pub seen: bool,
    /// Congestion control of the server of these; without it the host's.
    pub congestion: Option<String>,
}

/// All of it.
pub fn all(options: Options) -> Result<Score> {
    let mut score = Score::default();
    if options.quantiles {
        score.line("### Quantiles\n");
        quantiles::head(&mut score);
        for distribution in DISTRIBUTIONS {
            eprintln!("truth-score: {distribution}");
            score.add(quantiles_of(distribution, options.requests, CLAIMED)?);
        }
    }
    if options.shares {
        score.line("\n### Components\n");
        shares::head(&mut score);
        for run in &SHARES {
            eprintln!("truth-score: {}", run.0);
            score.add(shares_of(run, options.requests.min(4_000))?);
        }
    }
    if options.seen {
        score.line("\n### What clients saw, by their kernels' stamps\n");
        seen::head(&mut score);
        for mode in &MODES {
            eprintln!("truth-score: {}", mode.name);
            let congestion = options.congestion.as_deref();
            score.add(modes::score_of(mode, options.requests.min(2_000), SEEN, congestion)?);
        }
    }
    Ok(score)
}

/// Quantiles of one distribution of service times. The server has a CPU and priority, so that nothing comes between the
/// kernel's events and its stamps.
pub fn quantiles_of(distribution: &str, requests: u64, tolerance: Tolerance) -> Result<Score> {
    let mut score = Score::default();
    let server = ["--mode", "epoll", "--work", "spin", "--service", distribution, "--cpu", "1", "--realtime"];
    // Not the server's CPU, and more connections than requests are ever under way.
    let load = ["--script", "", "--rate", "1000", "--connections", "64", "--cpu", "0"];
    let (truth, report) = record(&server, &load, requests)?;
    check(distribution, &truth, &report, &mut score);
    of_service(distribution, &truth, &report, NAME, tolerance, &mut score);
    Ok(score)
}

/// Components of one of [`SHARES`].
pub fn shares_of((name, server, load, allowed): &Run, requests: u64) -> Result<Score> {
    let mut score = Score::default();
    let back = Service::truth(&program("truth-server")?, &["--mode", "threads"])?;
    let peer = format!("db={}", back.address());
    let server: Vec<&str> = server.split(' ').chain(["--peer", &peer]).collect();
    let load: Vec<&str> = load.split(' ').collect();
    let (truth, report) = record(&server, &load, requests)?;
    check(name, &truth, &report, &mut score);
    components(name, &truth, &report, NAME, *allowed, &mut score)?;
    Ok(score)
}

/// Quantiles of one service of a report.
pub fn of_service(run: &str, truth: &Truth, report: &Report, service: &str, tolerance: Tolerance, score: &mut Score) {
    let histogram = |pointer: &str| report.spread(service, pointer).histogram();
    let times = vec![
        ("latency", &truth.latency, histogram("/requests/latency")),
        ("queue time", &truth.queue, histogram("/requests/queue_time")),
        ("service time", &truth.service, histogram("/requests/service_time")),
    ];
    quantiles::rows(Times { run, times, tolerance }, score);
}

/// Components of one service of a report.
pub fn components(
    run: &str,
    truth: &Truth,
    report: &Report,
    service: &str,
    allowed: f64,
    score: &mut Score,
) -> Result<()> {
    match Attribution::of(report.service(service))? {
        Some(mut attribution) => {
            if run.starts_with("epoll") {
                attribution.takes_timers_as_idle();
            }
            if attribution.count != truth.count() {
                let (got, want) = (attribution.count, truth.count());
                score.inexact.push(format!("{run}: the rows of the attribution hold {got} requests of {want}"));
            }
            shares::rows(run, &truth.component_ns, &attribution, allowed, score)
        }
        None => {
            score.line(&format!("| {run} | not measured | | | | {allowed:.1} | MISSED |"));
            score.inexact.push(format!("{run}: the report has no attribution"));
            Ok(())
        }
    }
}

/// The report must hold exactly the requests that the logs hold, and have lost nothing.
fn check(run: &str, truth: &Truth, report: &Report, score: &mut Score) {
    let (counted, mut losses) = (report.requests(NAME), report.losses());
    // On loopback an answer can arrive while the send that asked for it still returns, and has no latency then.
    losses.retain(|(name, lost)| name != "negative_difference" || lost * 200 > counted);
    if counted != truth.count() || !losses.is_empty() {
        let count = truth.count();
        score.inexact.push(format!("{run}: {counted} requests counted of {count}; losses {losses:?}"));
    }
}

/// One run.
fn record(server: &[&str], load: &[&str], requests: u64) -> Result<(Truth, Report)> {
    let server = Service::truth(&program("truth-server")?, server)?;
    let recording = Recorder::new(NAME, &format!("port:{}", server.port)).start()?;
    let client_log = server.directory.path().join("client-log");
    let outcome = self::load(server.address(), load, requests, &client_log)?;
    let report = recording.stop()?;
    let (status, directory) = server.stop()?;
    ensure!(status.success(), "the truth server: {status}; the load: {outcome}");
    let truth = Truth::read(&directory.path().join("log"), &directory.path().join("client-log"))?;
    ensure!(truth.count() == requests, "{} of {requests} requests in the logs: {outcome}", truth.count());
    Ok((truth, report))
}

fn load(target: SocketAddr, flags: &[&str], requests: u64, log: &Path) -> Result<String> {
    let mut command = Command::new(program("truth-load")?);
    command.args(["--target", &target.to_string(), "--arrivals", "poisson", "--requests", &requests.to_string()]);
    command.args(flags).args(["--limit", "120", "--log"]).arg(log);
    run(&mut command)
}

/// A program that was built beside this one.
fn program(name: &str) -> Result<String> {
    let own = std::env::current_exe().context("the path of this program")?;
    // A test is one directory further down.
    let directory = own.parent().map(|parent| if parent.ends_with("deps") { parent.join("..") } else { parent.into() });
    let path: PathBuf = directory.unwrap_or_default().join(name);
    ensure!(path.exists(), "{} is missing; build all programs of acgs-perf-tests", path.display());
    Ok(path.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::truth::Distribution;
    use crate::truth::load::Options as Load;
    use crate::truth::script::{parse, peers};

    #[test]
    fn what_is_run_can_be_run() {
        for text in DISTRIBUTIONS {
            assert!(text.parse::<Distribution>().is_ok(), "{text}");
        }
        for (name, _, flags, _) in SHARES {
            let words = ["truth-load", "--target", "127.0.0.1:1", "--requests", "1"];
            let load = Load::try_parse_from(words.into_iter().chain(flags.split(' '))).unwrap();
            let script = parse(&load.script.unwrap()).unwrap();
            assert!(peers(&script).iter().all(|peer| *peer == "db"), "{name}");
        }
    }
}
