//! Load tools: run to their end, and what they printed is taken apart.
//!
//! In: command lines. Out: how much was done and how fast; an error when anything failed.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use acgs_perf_load::log;
use acgs_perf_tests::harness::run_within;
use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::Context as Bench;
use super::speed::{self, Slice, Watch};
use crate::placement::LOAD_CPU;

/// What a closed loop did.
#[derive(Clone, Debug, PartialEq)]
pub struct Done {
    /// Requests or iterations, those of a short run before included.
    pub count: u64,
    /// Per second.
    pub rate: f64,
    /// The rate by slices, of the tests' own load generator or of a bystander; nothing where nobody tells.
    pub slices: Vec<Slice>,
}

/// What an open loop saw.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Steady {
    /// Requests.
    pub count: u64,
    /// Per second.
    pub rate: f64,
    /// From the intended moment.
    pub p99_ns: f64,
}

/// A command on the CPU of the load.
pub fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", &LOAD_CPU.to_string()]).arg(program);
    command
}

/// wrk: one thread, a closed loop on each connection.
pub fn wrk(url: &str, connections: u32, seconds: u32) -> Result<Done> {
    let mut wrk = command("wrk");
    wrk.args(["-t1", "-c", &connections.to_string(), "-d", &format!("{seconds}s"), url]);
    parse_wrk(&run_within(&mut wrk, Duration::from_secs(u64::from(seconds) + 20))?)
}

fn parse_wrk(text: &str) -> Result<Done> {
    for complaint in ["Socket errors", "Non-2xx"] {
        ensure!(!text.contains(complaint), "wrk: {}", text.trim());
    }
    let rate = text.lines().find_map(|line| line.strip_prefix("Requests/sec:")).context("wrk printed no rate")?;
    let count =
        text.lines().find_map(|line| line.trim().split_once(" requests in ")).context("wrk printed no count")?;
    let (count, rate) = (count.0.parse().context("wrk's count")?, rate.trim().parse().context("wrk's rate")?);
    let done = Done { count, rate, slices: Vec::new() };
    ensure!(done.count > 0, "wrk completed nothing");
    Ok(done)
}

/// The tests' open-loop generator; `message` is its flags for what is sent.
pub fn open_loop(program: &Path, target: &str, message: &[&str], rate: f64, seconds: f64) -> Result<Steady> {
    let mut load = Command::new(program);
    load.args(["--target", target, "--connections", "32", "--cpu", &LOAD_CPU.to_string()]).args(message);
    load.args([
        "--rate",
        &format!("{rate:.0}"),
        "--duration",
        &seconds.to_string(),
        "--limit",
        &(seconds + 10.0).to_string(),
    ]);
    parse_open_loop(&run_within(&mut load, Duration::from_secs_f64(seconds + 20.0))?)
}

/// The same generator in a closed loop, and its rate by slices, each with the speed of the machine.
pub fn sliced(context: &Bench, target: SocketAddr, message: &[&str]) -> Result<(u64, Vec<Slice>)> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("log");
    let mut load = Command::new(&context.load);
    load.args(["--target", &target.to_string(), "--connections", "32", "--cpu", &LOAD_CPU.to_string()]).args(message);
    load.args(["--duration", &context.seconds.to_string(), "--limit", "20", "--log"]).arg(&file);
    let watch = Watch::start(&context.bystander, f64::from(context.seconds) + 0.2)?;
    let done = parse_open_loop(&run_within(&mut load, Duration::from_secs(40))?)?;
    let watched = watch.finish()?;
    let log = log::read(&file).context("the load generator's log")?;
    let whole: Vec<u64> = log.iter().map(|entry| entry.done_ns).collect();
    Ok((done.count, speed::slices(&whole, &watched)))
}

fn parse_open_loop(text: &str) -> Result<Steady> {
    let value: Value = serde_json::from_str(text).context("what the load generator printed")?;
    let errors = value["errors"].as_object().context("no errors in its outcome")?;
    let failed: u64 =
        errors.iter().filter(|(name, _)| *name != "statuses").filter_map(|(_, count)| count.as_u64()).sum();
    ensure!(failed == 0, "{failed} requests failed: {}", value["errors"]);
    let number = |path: &str| value.pointer(path).and_then(Value::as_f64).with_context(|| format!("no {path}"));
    let count = value["completed"].as_u64().context("no count")?;
    Ok(Steady { count, rate: number("/rate_per_s")?, p99_ns: number("/latency/p99_ns")? })
}

/// What pgbench did, by its own account.
pub fn parse_pgbench(text: &str) -> Result<Done> {
    let after = |start: &str| text.lines().find_map(|line| line.strip_prefix(start)).map(str::trim);
    let failed = after("number of failed transactions:").unwrap_or("0");
    ensure!(failed.split(' ').next() == Some("0"), "pgbench: {failed} transactions failed");
    let count = after("number of transactions actually processed:").context("pgbench printed no count")?;
    let rate = after("tps =").and_then(|text| text.split(' ').next()).context("pgbench printed no rate")?;
    Ok(Done { count: count.split('/').next().unwrap_or(count).parse()?, rate: rate.parse()?, slices: Vec::new() })
}

/// P99 of the transactions that pgbench logged, in ns; the log has µs in its third column.
pub fn pgbench_p99(log: &str) -> Result<f64> {
    let column = |line: &str| line.split(' ').nth(2).and_then(|word| word.parse::<u64>().ok());
    let mut times: Vec<u64> = log.lines().map(|line| column(line).context("pgbench's log")).collect::<Result<_>>()?;
    times.sort_unstable();
    let rank = (times.len() as f64 * 0.99).ceil() as usize;
    let time = times.get(rank.saturating_sub(1)).context("pgbench logged nothing")?;
    Ok(*time as f64 * 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrk_is_read_and_its_complaints_are_errors() {
        let text = "Running 2s test @ http://x/\n  1 threads and 8 connections\n  9120 requests in 2.00s, 1.2MB read\nRequests/sec:   4560.12\nTransfer/sec:  1MB\n";
        assert_eq!(parse_wrk(text).unwrap(), Done { count: 9120, rate: 4560.12, slices: Vec::new() });
        assert!(parse_wrk(&format!("{text}  Non-2xx or 3xx responses: 4\n")).is_err());
        assert!(parse_wrk("unable to connect").is_err());
    }

    #[test]
    fn pgbench_is_read() {
        let text = "number of transactions actually processed: 5021\nnumber of failed transactions: 0 (0.000%)\ntps = 2510.5 (without initial connection time)\n";
        assert_eq!(parse_pgbench(text).unwrap(), Done { count: 5021, rate: 2510.5, slices: Vec::new() });
        assert!(parse_pgbench(&text.replace(": 0 (", ": 3 (")).is_err());
        let log: String = (1..=200).rev().map(|us| format!("0 {us} {us} 0 1700000000 5 3\n")).collect();
        assert_eq!(pgbench_p99(&log).unwrap(), 198_000.0);
        assert!(pgbench_p99("").is_err());
    }

    #[test]
    fn an_open_loop_with_a_missing_reply_is_an_error() {
        let text = |closed: u32| {
            format!(
                "{{\"completed\":10,\"rate_per_s\":5.0,\"latency\":{{\"p99_ns\":70}},\"errors\":{{\"closed\":{closed},\"statuses\":{{}}}}}}"
            )
        };
        assert_eq!(parse_open_loop(&text(0)).unwrap(), Steady { count: 10, rate: 5.0, p99_ns: 70.0 });
        assert!(parse_open_loop(&text(1)).is_err());
    }
}
