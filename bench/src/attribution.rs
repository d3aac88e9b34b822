//! `bench attribution`: what the attribution costs a saturated Redis, over the plain histograms of requests and scheduler.
//!
//! In: the release build, `redis-server` and `redis-benchmark`, each bound to a CPU. Out: throughput and Redis's CPU time
//! per request in each arm, and the ratios with their 95 % intervals. The arms run in an order that is drawn anew for each
//! round, one after the other: nobody attached, plain histograms twice (the A/A pair: their ratio shows what the machine's
//! noise makes of nothing), and with attribution. At the end, by the kernel's own account, the run time of the programs
//! per request in both.

use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use acgs_perf_setup::process::target;
use acgs_perf_tests::signal;
use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::redis::{self, Redis};
use super::statistics::{Median, Shuffle};
use crate::placement::SERVER_CPU;
use crate::prepare;

/// Options of the bench.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Rounds; each runs every arm once.
    #[arg(long, default_value_t = 15)]
    rounds: usize,
    /// GETs of one run.
    #[arg(long, default_value_t = 300_000)]
    requests: u64,
}

/// (name, probes; none: nobody is attached).
const ARMS: [(&str, Option<&str>); 4] = [
    ("bare", None),
    ("plain", Some("request,sched")),
    ("plain again", Some("request,sched")),
    ("attribution", Some("request,sched,attribution")),
];
const PLAIN: usize = 1;
const ATTRIBUTION: usize = 3;

/// The whole task.
pub fn attribution(options: &Options) -> Result<()> {
    redis::check()?;
    let agent = prepare::agent(false)?;
    let redis = Redis::start()?;
    redis.bind(SERVER_CPU)?;
    run(&agent, &redis, None, options.requests)?; // the first run is never like the others
    let mut rates: [Vec<f64>; ARMS.len()] = Default::default();
    let mut costs: [Vec<f64>; ARMS.len()] = Default::default();
    let mut shuffle = Shuffle::new(0);
    for round in 1..=options.rounds {
        for arm in shuffle.order((0..ARMS.len()).collect()) {
            let (rate, cpu_ns) = run(&agent, &redis, ARMS[arm].1, options.requests)?;
            rates[arm].push(rate);
            costs[arm].push(cpu_ns);
        }
        let figure = |(arm, (name, _)): (usize, &(&str, _))| {
            format!("{name} {:.0}/s {:.0} ns", rates[arm][round - 1], costs[arm][round - 1])
        };
        let line: Vec<String> = ARMS.iter().enumerate().map(figure).collect();
        eprintln!("round {round}: {}", line.join(", "));
    }
    table("requests/s", &rates);
    table("ns of Redis's CPU per request", &costs);
    println!("\n| programs' run time | ns per request |\n|---|---|");
    for (name, probes) in [ARMS[PLAIN], ARMS[ATTRIBUTION]] {
        println!("| {name} | {:.0} |", programs(&agent, &redis, probes.unwrap_or_default(), options.requests)?);
    }
    Ok(())
}

/// Medians of a figure, and how it compares with the plain arm of the same round.
fn table(what: &str, figures: &[Vec<f64>; ARMS.len()]) {
    println!("\n| arm | median {what} | against plain | 95 % interval |\n|---|---|---|---|");
    for ((name, _), figure) in ARMS.iter().zip(figures) {
        let ratios: Vec<f64> = figure.iter().zip(&figures[PLAIN]).map(|(a, b)| a / b).collect();
        let (Some(ratio), Some(own)) = (Median::of(&ratios), Median::of(figure)) else { continue };
        let Median { low, middle, high, .. } = ratio.map(|ratio| (ratio - 1.0) * 100.0);
        println!("| {name} | {:.0} | {middle:+.2} % | {low:+.2} to {high:+.2} % |", own.middle);
    }
}

/// Run time of the kernel programs per request, as the kernel accounts it.
fn programs(agent: &Path, redis: &Redis, probes: &str, requests: u64) -> Result<f64> {
    let file = target().join("bench-attribution.json");
    let mut command = Command::new(agent);
    command.args([
        "record",
        "--measure-cost",
        "--service",
        &format!("redis=port:{}", redis.port()),
        "--probes",
        probes,
    ]);
    command.arg("--output").arg(&file).arg("--").args(redis::load(redis.port(), requests)).stdout(Stdio::null());
    if !command.stderr(Stdio::null()).status()?.success() {
        bail!("the recording failed");
    }
    let report: Value = serde_json::from_slice(&std::fs::read(&file)?)?;
    let programs = report.pointer("/cost/programs").and_then(Value::as_array).context("no programs in the report")?;
    let time: u64 = programs.iter().filter_map(|program| program["run_time_ns"].as_u64()).sum();
    let count = report.pointer("/services/0/requests/count").and_then(Value::as_u64).context("no requests")?;
    Ok(time as f64 / count.max(1) as f64)
}

/// One run: requests per second by the load generator's own figure, and Redis's CPU time per request in ns.
fn run(agent: &Path, redis: &Redis, probes: Option<&str>, requests: u64) -> Result<(f64, f64)> {
    let mut recording = match probes {
        Some(probes) => {
            let mut command = Command::new(agent);
            command.args(["record", "--service", &format!("redis=port:{}", redis.port()), "--probes", probes]);
            command.args(["--duration", "60s", "--output"]).arg(target().join("bench-attribution.json"));
            let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().context("start the agent")?;
            sleep(Duration::from_millis(1500));
            Some(child)
        }
        None => None,
    };
    let before = redis.cpu_time()?;
    let words = redis::load(redis.port(), requests);
    let output = Command::new(&words[0]).args(&words[1..]).output().context("start redis-benchmark")?;
    let cpu = redis.cpu_time()?.saturating_sub(before);
    if let Some(child) = &mut recording {
        signal::send(child, libc::SIGINT).context("end the agent")?;
        let status = child.wait()?;
        if !status.success() {
            bail!("the recording failed: {status}");
        }
    }
    Ok((redis::rate(&String::from_utf8_lossy(&output.stdout))?, cpu.as_nanos() as f64 / requests as f64))
}
