//! Hostile conditions: servers that behave as a profiler least likes, and worlds of their own for them.
//!
//! In: a kind of server, a number in each request. Out: what `tests/ledger.rs` and `tests/hostile*.rs` need to fill tables,
//! to refuse memory, to mix up calls.

pub mod calls;
pub mod churn;
pub mod kind;
pub mod memory;
pub mod network;
pub mod passing;
pub mod server;

use std::process::{Command, ExitStatus};
use std::time::Duration;

use acgs_perf_load::{Client, Plan};
use anyhow::Result;

use crate::harness::{self, Service, free_port};

pub use kind::Kind;

/// Bytes of each request and of each reply.
pub const MESSAGE: usize = 64;

/// Counters of the loss ledger that a test makes count: in `tests/ledger.rs` and `tests/ledger_rare.rs`, `probes_stopped` in
/// `tests/overhead.rs`. A counter that is missing here fails a test.
pub const PROVOKED: &[&str] = &[
    "socket_storage_refused",
    "thread_storage_refused",
    "arrival_unseen",
    "negative_difference",
    "errno_table_full",
    "syscall_slots_full",
    "service_table",
    "exec_queue_overrun",
    "request_table_full",
    "downstream_slots_full",
    "calls_multiplexed",
    "attribution_inconsistent",
    "recursion_misses",
    "probes_stopped",
    "counts_below_zero",
];

/// Whether this runs in a virtual machine of the tests, whose clock and CPUs are nobody else's.
pub fn in_vm() -> bool {
    std::env::var_os("ACGS_PERF_VM").is_some_and(|value| value == "1")
}

/// A request that brings a number.
pub fn request(number: u32) -> [u8; MESSAGE] {
    let mut bytes = [0; MESSAGE];
    bytes[..4].copy_from_slice(&number.to_le_bytes());
    bytes
}

/// The server program.
pub fn command(kind: Kind, port: u16) -> Command {
    let mut command = Command::new(harness::program("hostile-server"));
    command.args([kind.name(), "--port", &port.to_string()]);
    command
}

/// Starts a server of this kind.
pub fn start(kind: Kind, arguments: &[&str]) -> Result<Service> {
    let port = free_port()?;
    Ok(Service::start(command(kind, port).args(arguments), port)?.ends_on(libc::SIGKILL))
}

/// Sends `requests` with this number in each over some connections, and waits for all replies.
pub fn ask(service: &Service, connections: usize, requests: u64, number: u32) -> Result<()> {
    let mut client = Client::connect(service.address(), connections, &request(number), MESSAGE)?;
    // Emulation on a busy host is a hundred times as slow.
    let limit = Duration::from_secs(if in_vm() { 300 } else { 60 });
    client.run(Plan { rate: None, requests, limit })?;
    Ok(())
}

/// Ends a service at once.
pub fn kill(service: Service) -> Result<ExitStatus> {
    Ok(service.ends_on(libc::SIGKILL).stop()?.0)
}
