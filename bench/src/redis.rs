//! A Redis of our own for the benches, on loopback.
//!
//! In: `redis-server` from the set-up. Out: its port; it ends with the value.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, bail};

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
pub fn load(port: u16, cpu: usize, requests: u64) -> Vec<String> {
    let words = format!("taskset -c {cpu} redis-benchmark -p {port} -t get -c 50 --csv -n {requests}");
    words.split(' ').map(str::to_owned).collect()
}

/// A server that keeps nothing.
pub fn server(port: u16) -> Command {
    let mut command = Command::new("redis-server");
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
    command
}

/// A Redis of our own, ended with this value.
pub struct Redis {
    child: Child,
    /// Where it listens.
    pub port: u16,
}

impl Drop for Redis {
    fn drop(&mut self) {
        // It may have ended by itself, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Redis {
    /// Starts it on a free loopback port.
    pub fn start() -> Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let child = server(port).stdout(Stdio::null()).spawn().context("start redis-server")?;
        sleep(Duration::from_millis(500));
        Ok(Self { child, port })
    }

    /// Keeps it on one CPU.
    pub fn bind(&self, cpu: usize) -> Result<()> {
        let pid = self.child.id().to_string();
        let mut command = Command::new("taskset");
        command.args(["-a", "-p", "-c", &cpu.to_string(), &pid]).stdout(Stdio::null());
        if !command.status().context("start taskset")?.success() {
            bail!("taskset failed");
        }
        Ok(())
    }

    /// CPU time that it has used so far, on a CPU's own clock.
    pub fn cpu_time(&self) -> Result<Duration> {
        let text = std::fs::read_to_string(format!("/proc/{}/schedstat", self.child.id()))?;
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
