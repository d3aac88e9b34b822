//! The hooks that keep the service table right; no probe, because nothing works without them.

use acgs_perf_common::maps::Counter;

use crate::live::hooks::{Hook, chain};
use crate::live::maps::Maps;
use crate::sums::Sections;

/// Processes that joined and left; always read.
pub const SECTION: &str = "processes";

/// Where a process leaves its service.
pub const EXIT: &str = "sched_process_exit";

/// Keep the service table right.
pub const HOOKS: &[Hook] = &[
    Hook::new(&[chain!("sched_process_fork", "sched_process_fork_standby")]),
    Hook::new(&[chain!("sched_process_exit", "sched_process_exit_standby")]),
    Hook::new(&[chain!("sched_process_exec", "sched_process_exec_standby")]),
    Hook::new(&[chain!("inet_sock_set_state", "inet_sock_set_state_standby")]),
];

/// Reads them.
pub fn read(maps: &Maps, service: u32, sections: &mut Sections) {
    maps.read_counters(SECTION, service, [Counter::Forked as u32, Counter::Exited as u32], sections);
}
