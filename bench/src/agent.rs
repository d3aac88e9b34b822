//! `bench agent`: what the agent itself costs while it records a saturated Redis, CPU time and resident memory, and whether it
//! counts every request.
//!
//! In: the release build, `redis-server` and `redis-benchmark`. Out: a table, one line per round, from the reports'
//! own `cost` section, and the median; failure when a request was lost or invented. A round is one recording of a fixed number
//! of GETs over 50 connections.

use std::path::Path;
use std::process::{Command, Stdio};

use acgs_perf_setup::process::target;
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::redis::{self, Redis};
use crate::prepare;

/// `redis-benchmark` asks for the configuration first, in one write of two commands on one connection.
const HANDSHAKE: u64 = 2;

/// What is measured.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Recordings.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// GETs of each.
    #[arg(long, default_value_t = 500_000)]
    requests: u64,
}

/// What one round cost.
struct Round {
    requests: u64,
    lost: u64,
    rate: f64,
    cpu_percent: f64,
    ns_per_request: f64,
    rss_mb: f64,
}

/// The whole task.
pub fn agent(options: &Options) -> Result<()> {
    redis::check()?;
    let agent = prepare::agent(false)?;
    let redis = Redis::start()?;
    println!(
        "| round | requests | ledger | requests/s | agent CPU, % of a core | agent ns per request | peak RSS, MB |"
    );
    println!("|---|---|---|---|---|---|---|");
    let mut rounds = Vec::new();
    for number in 1..=options.rounds {
        let round = measure(&agent, redis.port(), options.requests)?;
        print(&number.to_string(), &round);
        rounds.push(round);
    }
    rounds.sort_by(|a, b| a.cpu_percent.total_cmp(&b.cpu_percent));
    print("median by CPU", &rounds[rounds.len() / 2]);
    let inexact =
        rounds.iter().filter(|round| round.lost > 0 || round.requests != options.requests + HANDSHAKE).count();
    ensure!(
        inexact == 0,
        "{inexact} rounds with another number of requests than {}, or losses",
        options.requests + HANDSHAKE
    );
    Ok(())
}

fn print(name: &str, round: &Round) {
    let Round { requests, lost, rate, cpu_percent, ns_per_request, rss_mb } = round;
    println!("| {name} | {requests} | {lost} | {rate:.0} | {cpu_percent:.2} | {ns_per_request:.0} | {rss_mb:.1} |");
}

fn measure(agent: &Path, port: u16, requests: u64) -> Result<Round> {
    let file = target().join("bench-agent.json");
    let port = port.to_string();
    let status = Command::new(agent)
        .args(["record", "--service", &format!("redis=port:{port}"), "--output"])
        .arg(&file)
        .args(["--", "redis-benchmark", "-p", &port, "-t", "get", "-c", "50", "-q", "-n", &requests.to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    if !status.success() {
        bail!("the recording failed: {status}");
    }
    let report: Value = serde_json::from_slice(&std::fs::read(&file)?)?;
    let number =
        |path: &str| report.pointer(path).and_then(Value::as_f64).with_context(|| format!("no {path} in the report"));
    let seconds = number("/window/duration_ns")? / 1e9;
    let cpu_ns = number("/cost/agent_cpu_ns")?;
    let requests = number("/services/0/requests/count")?;
    let ledger = report["ledger"].as_object().context("no ledger in the report")?;
    Ok(Round {
        requests: requests as u64,
        lost: ledger.values().filter_map(Value::as_u64).sum(),
        rate: requests / seconds,
        cpu_percent: cpu_ns / seconds / 1e7,
        ns_per_request: cpu_ns / requests,
        rss_mb: number("/cost/agent_max_rss_bytes")? / 1e6,
    })
}
