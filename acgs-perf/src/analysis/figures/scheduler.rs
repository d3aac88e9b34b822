//! Scheduler figures of a service.

use acgs_perf_common::maps::{BLOCKED_HISTOGRAM, Counter, HISTOGRAMS, Histogram, OTHER_PROCESSES, STATE_COUNTER};
use acgs_perf_common::state::STATES;

use super::counts::counts;
use super::{RanInstead, Scheduler};
use crate::live::probes::sched;
use crate::snapshot::interval::{row, section};
use crate::sums::Sections;

/// Rows of the table of commands that ran instead.
const RAN_INSTEAD_ROWS: usize = 20;

/// Its scheduler figures.
pub fn scheduler(sections: Option<&Sections>) -> Scheduler {
    let counters = row(sections, sched::COUNTERS, &[]);
    let waits = |histogram: u32| counts(row(sections, sched::WAITS, &[histogram]), None);
    let mut ran_instead: Vec<RanInstead> = section(sections, sched::RAN_INSTEAD)
        .iter()
        .map(|(pid, who)| RanInstead {
            comm: who.label.clone(),
            pid: pid.first().copied().unwrap_or(0),
            waits: who.sums.count(0),
            wait_ns: who.sums.count(1),
        })
        .filter(|who| who.waits > 0)
        .collect();
    ran_instead.sort_by_key(|who| (who.pid == OTHER_PROCESSES, std::cmp::Reverse(who.wait_ns)));
    // All together beyond those that are shown one by one.
    let mut others = RanInstead { comm: "others".into(), ..RanInstead::default() };
    while ran_instead.len() > RAN_INSTEAD_ROWS || ran_instead.last().is_some_and(|who| who.pid == OTHER_PROCESSES) {
        let Some(who) = ran_instead.pop() else { break };
        others.waits += who.waits;
        others.wait_ns += who.wait_ns;
    }
    ran_instead.extend(Some(others).filter(|others| others.waits > 0));
    Scheduler {
        state_ns: (0..STATES as u32).map(|state| counters.sums.count(STATE_COUNTER + state)).collect(),
        run_queue: waits(Histogram::RunQueue as u32),
        blocked: (BLOCKED_HISTOGRAM..HISTOGRAMS).map(waits).collect(),
        voluntary_switches: counters.sums.count(Counter::VoluntarySwitches as u32),
        involuntary_switches: counters.sums.count(Counter::InvoluntarySwitches as u32),
        ran_instead,
    }
}
