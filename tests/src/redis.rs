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

/// Starts one on a port of its choice.
pub fn start() -> Result<Service> {
    start_on(free_port()?)
}

/// Starts one on this port.
pub fn start_on(port: u16) -> Result<Service> {
    Service::start(&mut command(port), port)
}
