//! The victims: services that are recorded, and bystanders that are not.
//!
//! In: a name. Out: something that runs and can be loaded. A victim that comes later joins by a file and a line here.

mod bystander;
mod nginx;
mod postgres;
mod redis;
mod uvicorn;

use std::time::Duration;

use anyhow::Result;

use super::Context;
use super::load::Done;
use super::open_loop::{self, OpenLoop, Steady};
use super::rivals::Target;

/// Something whose speed is measured.
pub trait Victim {
    /// What is recorded meanwhile.
    fn target(&self) -> Target;

    /// A closed loop of about so long.
    fn saturate(&mut self) -> Result<Done>;

    /// Begins an open loop at this rate; `None` for a bystander.
    fn begin(&self, _rate: f64, _seconds: f64) -> Result<Option<OpenLoop>> {
        Ok(None)
    }

    /// The same to its end.
    fn steady(&self, rate: f64, seconds: f64) -> Result<Option<Steady>> {
        let Some(load) = self.begin(rate, seconds)? else { return Ok(None) };
        open_loop::steady(&load.finish()?).map(Some)
    }

    /// Whether what is recorded is what is loaded.
    fn is_recorded(&self) -> bool {
        true
    }

    /// CPU time that it has used so far; `None` where nobody accounts it.
    fn cpu_time(&self) -> Option<Duration>;
}

/// How a victim is started.
type Start = fn(&Context) -> Result<Box<dyn Victim>>;

/// What is known of a victim before it runs.
pub struct Entry {
    /// Name on the command line and of its file.
    pub name: &'static str,
    /// Heading of its table.
    pub title: &'static str,
    /// What it does, in a sentence of the document.
    pub about: &'static str,
    /// What one iteration is; `None` where requests are counted.
    pub iteration: Option<&'static str>,
    /// Starts it.
    pub start: Start,
}

/// The victim on which the agent's own cost is taken.
pub const REDIS: &str = "redis";

/// All victims, in the order of the document.
pub const VICTIMS: &[Entry] = &[
    Entry {
        name: REDIS,
        title: "Redis",
        about: "`redis-benchmark -t get -c 50`, server and load on a CPU each; at 60 % of its rate GETs in equal intervals over 32 connections.",
        iteration: None,
        start: redis::start,
    },
    Entry {
        name: "nginx",
        title: "nginx",
        about: "one worker, a static file of 1 KiB, `wrk -t1 -c 32` with keep-alive; at 60 % of its rate GETs in equal intervals over 32 connections.",
        iteration: None,
        start: nginx::start,
    },
    Entry {
        name: "uvicorn",
        title: "uvicorn",
        about: "FastAPI on uvloop and httptools, one route that answers at once, `wrk -t1 -c 16`; at 60 % of its rate GETs in equal intervals over 32 connections.",
        iteration: None,
        start: uvicorn::start,
    },
    Entry {
        name: "postgres",
        title: "PostgreSQL",
        about: "`pgbench -S -n -c 4`, a process per connection; at 60 % of its rate `pgbench --rate`, whose own log has the latencies from the scheduled moment, in µs.",
        iteration: None,
        start: postgres::start,
    },
    Entry {
        name: "syscall-loop",
        title: "Bystander: system calls",
        about: "getppid over and over on one CPU, while the tools record a Redis that has nothing to do.",
        iteration: Some("getppid"),
        start: bystander::syscalls,
    },
    Entry {
        name: "switch-loop",
        title: "Bystander: context switches",
        about: "two threads on one CPU that hand a byte to and fro over pipes, while the tools record a Redis that has nothing to do.",
        iteration: Some("round trip of two switches"),
        start: bystander::switches,
    },
];

/// The victims that were asked for.
pub fn choose(list: Option<&str>) -> Result<Vec<&'static Entry>> {
    let Some(list) = list else { return Ok(VICTIMS.iter().collect()) };
    let names: Vec<&str> = list.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    if let Some(unknown) = names.iter().find(|name| !VICTIMS.iter().any(|victim| victim.name == **name)) {
        let known: Vec<&str> = VICTIMS.iter().map(|victim| victim.name).collect();
        anyhow::bail!("unknown victim \"{unknown}\"; use a comma-separated list of {}", known.join(", "));
    }
    Ok(VICTIMS.iter().filter(|victim| names.contains(&victim.name)).collect())
}
