//! The load of a healthy workload: a closed loop that finds how much the service can do, then an open loop at a part of that.
//!
//! In: an address and messages, or a load tool of the service's own. Out: how much was done per second; an error when anything failed.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use acgs_perf_load::{Arrivals, Client, Load, Messages};
use acgs_perf_tests::harness::run_within;
use anyhow::{Context, Result, ensure};

/// Connections of an open loop.
const CONNECTIONS: usize = 16;
/// Connections, or threads, of a closed loop: as many keep each of these services busy on a machine of a few CPUs.
const CLOSED: usize = 4;
/// What is still under way at the end may take so long.
const AFTER: Duration = Duration::from_secs(10);

/// Who sends.
pub enum Drive {
    /// Our own generator, with connections that are kept or one for each request.
    Messages { target: SocketAddr, messages: Messages, is_closing: bool },
    /// pgbench.
    Pgbench(fn(u16) -> Result<Command>, u16),
    /// sysbench.
    Sysbench(fn(u16) -> Command, u16),
}

impl Drive {
    /// Requests per second of a closed loop.
    pub fn saturate(&self, seconds: u32) -> Result<f64> {
        match self {
            Self::Messages { .. } => self.send(Arrivals::Closed, CLOSED, seconds),
            Self::Pgbench(command, port) => pgbench(&mut command(*port)?, None, seconds),
            Self::Sysbench(command, port) => sysbench(&mut command(*port), None, seconds),
        }
    }

    /// An open loop at so many requests per second.
    pub fn steady(&self, rate: f64, seconds: u32) -> Result<f64> {
        match self {
            Self::Messages { .. } => self.send(Arrivals::Poisson(rate), CONNECTIONS, seconds),
            Self::Pgbench(command, port) => pgbench(&mut command(*port)?, Some(rate), seconds),
            Self::Sysbench(command, port) => sysbench(&mut command(*port), Some(rate), seconds),
        }
    }

    fn send(&self, arrivals: Arrivals, connections: usize, seconds: u32) -> Result<f64> {
        let Self::Messages { target, messages, is_closing } = self else { return Ok(0.0) };
        let mut client = Client::new(*target, connections, messages.clone(), *is_closing)?;
        client.open()?;
        let duration = Duration::from_secs(seconds.into());
        let load = Load {
            arrivals,
            requests: u64::MAX,
            duration: Some(duration),
            limit: duration + AFTER,
            seed: 1,
            log: false,
        };
        let outcome = client.load(&load)?;
        let failed = outcome.errors() + outcome.unanswered();
        ensure!(failed == 0, "{failed} requests failed: {}", outcome.first_error.unwrap_or_default());
        let refused = outcome.statuses.keys().find(|status| **status >= 400);
        ensure!(refused.is_none() && outcome.error_codes.is_empty(), "replies are errors: {refused:?}");
        Ok(outcome.completed as f64 / duration.as_secs_f64())
    }
}

fn limit(seconds: u32) -> Duration {
    Duration::from_secs(seconds.into()) + AFTER
}

fn pgbench(command: &mut Command, rate: Option<f64>, seconds: u32) -> Result<f64> {
    command.args(["-n", "-c", &CLOSED.to_string(), "-T", &seconds.to_string()]);
    if let Some(rate) = rate {
        command.args(["--rate", &format!("{rate:.0}")]);
    }
    per_second(&run_within(command.arg("postgres"), limit(seconds))?, "tps = ")
}

fn sysbench(command: &mut Command, rate: Option<f64>, seconds: u32) -> Result<f64> {
    command.args([&format!("--threads={CLOSED}"), &format!("--time={seconds}")]);
    if let Some(rate) = rate {
        command.arg(format!("--rate={rate:.0}"));
    }
    per_second(&run_within(command.arg("run"), limit(seconds))?, "transactions:")
}

/// The number after these words: before the next space, or in brackets.
fn per_second(text: &str, after: &str) -> Result<f64> {
    let line =
        text.lines().find_map(|line| line.trim().strip_prefix(after)).context("the load tool printed no rate")?;
    let number = line.split_once('(').filter(|_| line.contains("per sec")).map_or(line, |(_, within)| within);
    let number = number.trim().split(' ').next().unwrap_or_default();
    number.parse().with_context(|| format!("no rate: {line}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read() {
        let pgbench = "number of failed transactions: 0 (0.000%)\ntps = 2510.5 (without initial connection time)\n";
        assert_eq!(per_second(pgbench, "tps = ").unwrap(), 2510.5);
        let sysbench = "SQL statistics:\n    transactions:                        20000  (9471.53 per sec.)\n";
        assert_eq!(per_second(sysbench, "transactions:").unwrap(), 9471.53);
        assert!(per_second("nothing", "tps = ").is_err());
    }
}
