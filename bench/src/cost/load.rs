//! Load tools: run to their end, and what they printed is taken apart.
//!
//! In: command lines. Out: how much was done and how fast; an error when anything failed.

use std::net::SocketAddr;
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

/// The tests' own generator in a closed loop; `message` is its flags for what is sent; and its rate by slices, each with the speed of the machine.
pub fn sliced(context: &Bench, target: SocketAddr, message: &[&str]) -> Result<(u64, Vec<Slice>)> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("log");
    let mut load = Command::new(&context.load);
    load.args(["--target", &target.to_string(), "--connections", "32", "--cpu", &LOAD_CPU.to_string()]).args(message);
    load.args(["--duration", &context.seconds.to_string(), "--limit", "20", "--log"]).arg(&file);
    let watch = Watch::start(&context.bystander, f64::from(context.seconds) + 0.2)?;
    check(&run_within(&mut load, Duration::from_secs(40))?)?;
    let watched = watch.finish()?;
    let log = log::read(&file).context("the load generator's log")?;
    let whole: Vec<u64> = log.iter().map(|entry| entry.done_ns).collect();
    Ok((log.len() as u64, speed::slices(&whole, &watched)))
}

/// No request may have failed, by what the tests' generator printed.
pub fn check(printed: &str) -> Result<()> {
    let value: Value = serde_json::from_str(printed).context("what the load generator printed")?;
    let errors = value["errors"].as_object().context("no errors in its outcome")?;
    let failed: u64 =
        errors.iter().filter(|(name, _)| *name != "statuses").filter_map(|(_, count)| count.as_u64()).sum();
    ensure!(failed == 0, "{failed} requests failed: {}", value["errors"]);
    Ok(())
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
    }

    #[test]
    fn a_missing_reply_is_an_error() {
        let text = |closed: u32| format!("{{\"completed\":10,\"errors\":{{\"closed\":{closed},\"statuses\":{{}}}}}}");
        assert!(check(&text(0)).is_ok());
        assert!(check(&text(1)).is_err());
    }
}
