//! What measuring cost.

use crate::analysis::model::{CostReport, OverheadReport, ProgramCostReport};
use crate::analysis::number::{measured, nanos};
use crate::snapshot::Cost;

/// The cost. No agent runs without CPU time, memory, maps and a load: 0 means that it was not measured.
pub fn cost(cost: &Cost) -> CostReport {
    let programs = cost.programs.as_ref().map(|programs| {
        programs
            .iter()
            .map(|p| ProgramCostReport { name: p.name.clone(), runs: p.runs, run_time_ns: nanos(p.run_time) })
            .collect()
    });
    let ppm = |share: f64| (share * 1e6).round() as u64;
    CostReport {
        overhead: cost.overhead.as_ref().map(|overhead| OverheadReport {
            limit_ppm: ppm(overhead.limit),
            intervals: overhead.intervals,
            last_ppm: overhead.last.map(ppm),
            highest_ppm: overhead.highest.map(ppm),
            account_ppm: overhead.account.map(ppm),
        }),
        agent_cpu_ns: measured(cost.agent_cpu_ns),
        agent_max_rss_bytes: measured(cost.agent_max_rss_bytes),
        map_bytes: measured(cost.map_bytes),
        attach_ns: measured(cost.attach_ns),
        programs_unmeasured: match &cost.programs {
            Some(_) => None,
            None => Some(cost.programs_unmeasured.clone().unwrap_or_else(|| "needs --measure-cost".into())),
        },
        programs,
    }
}
