//! A Redis of the benches' own, and redis-benchmark as its load.
//!
//! In: `redis-server` and `redis-benchmark` from the set-up. Out: its port and CPU time; it ends with the value.

use std::process::{Command, Stdio};
use std::time::Duration;

use acgs_perf_tests::harness::Service;
use acgs_perf_tests::redis;
use anyhow::{Context, Result, bail};

use crate::placement::LOAD_CPU;
use crate::prepare;

/// Fails when something is missing for a bench that records Redis.
pub fn check() -> Result<()> {
    prepare::need_root()?;
    prepare::need_programs(&["redis-server", "redis-benchmark"])
}

/// Requests per second, from what redis-benchmark printed.
pub fn rate(text: &str) -> Result<f64> {
    let figures = text.lines().find(|line| line.starts_with("\"GET\"")).context("no figure for GET")?;
    let rate = figures.split(',').nth(1).context("no rate")?.trim_matches('"');
    rate.parse().with_context(|| format!("rate {rate:?}"))
}

/// The load generator's command line: so many GETs over 50 connections.
pub fn load(port: u16, requests: u64) -> Vec<String> {
    let words = format!("taskset -c {LOAD_CPU} redis-benchmark -p {port} -t get -c 50 --csv -n {requests}");
    words.split(' ').map(str::to_owned).collect()
}

/// A Redis of our own, ended with this value.
pub struct Redis(Service);

impl Redis {
    /// Starts it on a free loopback port.
    pub fn start() -> Result<Self> {
        redis::start().map(Self)
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.0.port
    }

    /// Keeps it on one CPU.
    pub fn bind(&self, cpu: usize) -> Result<()> {
        let pid = self.0.pid().to_string();
        let mut command = Command::new("taskset");
        command.args(["-a", "-p", "-c", &cpu.to_string(), &pid]).stdout(Stdio::null());
        if !command.status().context("start taskset")?.success() {
            bail!("taskset failed");
        }
        Ok(())
    }

    /// CPU time that it has used so far, on a CPU's own clock.
    pub fn cpu_time(&self) -> Result<Duration> {
        let text = std::fs::read_to_string(format!("/proc/{}/schedstat", self.0.pid()))?;
        let ns = text.split_whitespace().next().and_then(|word| word.parse().ok()).context("no CPU time")?;
        Ok(Duration::from_nanos(ns))
    }
}

#[cfg(test)]
mod tests {
    use super::rate;

    #[test]
    fn the_rate_is_read() {
        let text = "\"test\",\"rps\",\"avg_latency_ms\"\n\"GET\",\"45871.56\",\"0.126\"\n";
        assert_eq!(rate(text).unwrap(), 45871.56);
        assert!(rate("Could not connect").is_err());
    }
}
