//! `idle_cpus`: requests wait for a CPU while others have nothing to do.

use acgs_perf_common::attribution::Component::{QueueRunQueue, RunQueue};

use super::context::Context;
use super::start::share;
use crate::analysis::model::{Confidence, Figure, Finding, Report, Unit};
use crate::analysis::tables::{HostCpuRow, rows};

/// CPUs of the host are idle, and the service may not use them.
pub const IDLE_CPUS: &str = "idle_cpus";

/// Waiting for a CPU is at least this share of the time of the slowest requests.
const LEAST_SHARE: f64 = 0.2;
/// A CPU that had nothing to do for this share of its time could have run them.
const IDLE: f64 = 0.5;
/// With fewer CPUs, that one is idle now and then says little.
const LEAST_CPUS: usize = 2;

/// By the time of each CPU. A wait of a moment is normal while the scheduler looks for a free one; a fifth of a slow request is not.
pub fn look(context: &Context) -> Vec<Finding> {
    let Some((mean, rest, of_tail)) = context.of_tail(&[RunQueue, QueueRunQueue]) else { return Vec::new() };
    let all = cpus(context.report);
    let idle = all.iter().filter(|(idle, total)| *idle as f64 >= IDLE * *total as f64).count();
    if of_tail < LEAST_SHARE || all.len() < LEAST_CPUS || idle == 0 {
        return Vec::new();
    }
    let figures = vec![
        Figure::new("idle_cpus", idle as u64, Unit::Count).against(all.len() as u64),
        Figure::new("run_queue", mean, Unit::Ns).against(rest),
    ];
    let found = context.found(IDLE_CPUS, context.severity(), Confidence::Medium, figures);
    let found = Finding { share: Some(share(of_tail)), ..found };
    vec![context.with_gain_of(found, &[RunQueue, QueueRunQueue], 1.0)]
}

/// Idle and whole time of each CPU.
fn cpus(report: &Report) -> Vec<(u64, u64)> {
    let sum = |times: &[u64]| times.iter().copied().fold(0, u64::saturating_add);
    let rows: Vec<HostCpuRow> = rows(&report.recording).unwrap_or_default();
    let one = |row: &HostCpuRow| {
        let idle = sum(&[row.idle_ns, row.io_wait_ns]);
        (idle, sum(&[idle, row.user_ns, row.system_ns, row.steal_ns]))
    };
    rows.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::sample::planted::{ids, run_queue, with_cpus};

    #[test]
    fn a_cpu_that_is_half_idle_could_have_run_them() {
        let of = |idle: &[u64]| ids(&with_cpus(run_queue(0.8), idle)).contains(&IDLE_CPUS.to_owned());
        assert!(of(&[2, 50]) && of(&[50, 90]));
        assert!(!of(&[2, 49]) && !of(&[90]) && !of(&[]));
        assert!(!ids(&with_cpus(run_queue(0.1), &[90, 90])).contains(&IDLE_CPUS.to_owned()));
    }
}
