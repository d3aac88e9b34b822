//! A Redis of the tests' and the benches' own, on loopback, that keeps nothing.
//!
//! In: a port. Out: its command line, or the running service.

use std::process::Command;

use anyhow::Result;

use crate::harness::{Service, free_port};

/// The command that starts one on this port.
pub fn command(port: u16) -> Command {
    let mut command = Command::new("redis-server");
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
    command
}

/// Starts one.
pub fn start() -> Result<Service> {
    let port = free_port()?;
    Service::start(&mut command(port), port)
}
