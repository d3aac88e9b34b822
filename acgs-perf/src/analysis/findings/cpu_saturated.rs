//! `cpu_saturated`: the services together use all CPUs, and requests wait for one.

use acgs_perf_common::attribution::Component::{QueueRunQueue, RunQueue};

use super::context::Context;
use super::start::share as rounded;
use crate::analysis::model::{Confidence, Figure, Finding, Unit};

/// Its id.
pub const CPU_SATURATED: &str = "cpu_saturated";

/// The services recorded use at least this much of all CPUs.
const BUSY_PERCENT: u128 = 85;
/// Waiting for a CPU is at least this share of the time of the slowest requests.
const LEAST_SHARE: f64 = 0.1;

/// Others on the host may use CPUs too: so this finds no less than what the services use.
pub fn look(context: &Context) -> Vec<Finding> {
    let report = context.report;
    let cpus = u128::from(report.host.cpus.unwrap_or(0));
    let all = cpus * u128::from(report.window.duration_ns);
    let used: u128 = report.services.iter().filter_map(|of| of.scheduler.as_ref()?.on_cpu_ns).map(u128::from).sum();
    let Some((mean, rest, share)) = context.of_tail(&[RunQueue, QueueRunQueue]) else { return Vec::new() };
    if all == 0 || used * 100 < all * BUSY_PERCENT || share < LEAST_SHARE {
        return Vec::new();
    }
    let ns = |value: u128| u64::try_from(value).unwrap_or(u64::MAX);
    let figures = vec![
        Figure::new("cpu_time", ns(used), Unit::Ns).against(ns(all)),
        Figure::new("cpus", ns(cpus), Unit::Count),
        Figure::new("run_queue", mean, Unit::Ns).against(rest),
    ];
    let found = context.found(CPU_SATURATED, context.severity(), Confidence::High, figures);
    vec![context.with_gain_of(Finding { share: Some(rounded(share)), ..found }, &[RunQueue, QueueRunQueue], 1.0)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::sample::planted::{self, ids};

    #[test]
    fn it_needs_busy_cpus_and_requests_that_wait_for_one() {
        let used = |percent: u64| {
            let mut report = planted::run_queue(0.5);
            planted::scheduler(&mut report).on_cpu_ns = Some(report.window.duration_ns * 8 / 100 * percent);
            report
        };
        assert!(ids(&used(85)).contains(&CPU_SATURATED.to_owned()));
        assert!(!ids(&used(84)).contains(&CPU_SATURATED.to_owned()));
        let mut report = used(85);
        report.services[0].attribution = None;
        assert!(!ids(&report).contains(&CPU_SATURATED.to_owned()));
    }
}
