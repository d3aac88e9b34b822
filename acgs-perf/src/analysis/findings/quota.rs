//! The finding about the CPU quota of a service's control group.
//!
//! In: one service of the report. Out: `cpu_quota`, where its threads could have run for a good part of the time, and were held back.

use acgs_perf_common::attribution::Component::{CpuQuota, QueueCpuQuota};

use super::context::Context;
use super::start::of_service;
use crate::analysis::model::{Figure, Finding, ServiceReport, Severity, Unit};
use crate::analysis::number::share4;
use crate::analysis::verdict::missed_for_latency;

/// Threads of a service were held back by the CPU quota of their control group.
pub const CPU_QUOTA: &str = "cpu_quota";

/// Less than one part in this many of the time that the threads wanted to run is no finding.
const LEAST_PART: u64 = 20;

/// At most one.
pub fn look(context: &Context) -> Vec<Finding> {
    let found = cpu_quota(context.service);
    found.map(|found| context.with_gain_of(found, &[CpuQuota, QueueCpuQuota], 1.0)).into_iter().collect()
}

/// The time held back, against the time on a CPU.
fn cpu_quota(service: &ServiceReport) -> Option<Finding> {
    let scheduler = service.scheduler.as_ref()?;
    let (held_back, ran) = (scheduler.cpu_quota_ns?, scheduler.on_cpu_ns?);
    let wanted = ran.saturating_add(held_back);
    if held_back == 0 || held_back < wanted / LEAST_PART {
        return None;
    }
    let severity = if missed_for_latency(service) { Severity::Critical } else { Severity::Warning };
    let figures = vec![Figure::new("held_back", held_back, Unit::Ns).against(ran)];
    let share = share4(held_back.into(), wanted.into());
    Some(Finding { share: Some(share), ..of_service(CPU_QUOTA, severity, service, figures) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::sample;

    fn held_back(ns: u64) -> Option<Finding> {
        let mut service = sample::whole().services.remove(0);
        let scheduler = service.scheduler.as_mut()?;
        (scheduler.on_cpu_ns, scheduler.cpu_quota_ns) = (Some(950_000_000), Some(ns));
        cpu_quota(&service)
    }

    #[test]
    fn a_good_part_of_the_time_is_a_finding() {
        assert_eq!((held_back(0), held_back(49_000_000)), (None, None));
        let found = held_back(50_000_000).expect("a finding");
        assert_eq!((found.id.as_str(), found.share), (CPU_QUOTA, Some(0.05)));
        assert_eq!(found.figures[0].against, Some(950_000_000.into()));
    }

    #[test]
    fn a_kernel_that_does_not_say_gives_none() {
        let mut service = sample::whole().services.remove(0);
        if let Some(scheduler) = service.scheduler.as_mut() {
            scheduler.cpu_quota_ns = None;
        }
        assert_eq!(cpu_quota(&service), None);
    }
}
