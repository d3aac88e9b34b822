//! A Redis of our own for the benches, on loopback.
//!
//! In: `redis-server` from the set-up. Out: its port; it ends with the value.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::process::{is_root, which};
use crate::setup::Missing;

/// Says what is missing for a bench that records Redis.
pub fn check() -> Result<()> {
    if !is_root() {
        return Err(Missing(vec!["root: `record` loads programs into the kernel; run the bench as root".into()]).into());
    }
    for program in ["redis-server", "redis-benchmark"] {
        if which(program).is_none() {
            return Err(Missing(vec![format!("{program}: run `cargo xtask setup --tests`")]).into());
        }
    }
    Ok(())
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
        let child = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .stdout(Stdio::null())
            .spawn()
            .context("start redis-server")?;
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
