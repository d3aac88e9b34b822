//! Scheduler figures of a service.

use std::cmp::Reverse;

use acgs_perf_common::maps::{BLOCKED_HISTOGRAM, Counter, Histogram, OTHER_PROCESSES, STATE_COUNTER};
use acgs_perf_common::state::{BLOCKED_CLASSES, FIRST_BLOCKED, STATE_NAMES, State};

use crate::analysis::counts::counts;
use crate::analysis::distribution::distribution;
use crate::analysis::model::{Blocked, RanInsteadReport, SchedulerReport, Switches};
use crate::live::probes::sched;
use crate::snapshot::interval::{row, section};
use crate::sums::Sections;

/// Rows of the table of commands that ran instead.
const RAN_INSTEAD_ROWS: usize = 20;
/// Command that stands for the rest, with process 0.
pub const OTHERS: &str = "others";

/// Its scheduler figures.
pub fn scheduler(sections: Option<&Sections>) -> SchedulerReport {
    let counters = row(sections, sched::COUNTERS, &[]);
    let time = |state: usize| counters.sums.count(STATE_COUNTER + state as u32);
    let waits = |histogram: u32| distribution(&counts(row(sections, sched::WAITS, &[histogram]), None));
    let blocked = STATE_NAMES.iter().enumerate().skip(FIRST_BLOCKED).take(BLOCKED_CLASSES).map(|(state, name)| {
        let waits = waits(BLOCKED_HISTOGRAM + (state - FIRST_BLOCKED) as u32);
        ((*name).to_owned(), Blocked { time_ns: Some(time(state)), waits: Some(waits) })
    });
    SchedulerReport {
        on_cpu_ns: Some(time(State::OnCpu as usize)),
        run_queue_ns: Some(time(State::RunQueue as usize)),
        cpu_quota_ns: Some(time(State::CpuQuota as usize)),
        run_queue: waits(Histogram::RunQueue as u32),
        blocked: blocked.collect(),
        switches: Switches {
            voluntary: counters.sums.count(Counter::VoluntarySwitches as u32),
            involuntary: counters.sums.count(Counter::InvoluntarySwitches as u32),
        },
        ran_instead: ran_instead(sections),
    }
}

/// Who ran instead, longest first, and those beyond the first ones all together.
fn ran_instead(sections: Option<&Sections>) -> Vec<RanInsteadReport> {
    let mut all: Vec<RanInsteadReport> = section(sections, sched::RAN_INSTEAD)
        .iter()
        .map(|(pid, who)| RanInsteadReport {
            comm: who.label.clone(),
            pid: pid.first().copied().unwrap_or(0),
            waits: who.sums.count(0),
            wait_ns: who.sums.count(1),
        })
        .filter(|who| who.waits > 0)
        .collect();
    longest(&mut all, |who| who.pid == OTHER_PROCESSES);
    all
}

/// Leaves the first ones, longest first, and behind them all others together.
pub fn longest(all: &mut Vec<RanInsteadReport>, is_others: impl Fn(&RanInsteadReport) -> bool) {
    all.sort_by_key(|who| (is_others(who), Reverse(who.wait_ns), who.pid));
    let mut others = RanInsteadReport { comm: OTHERS.into(), pid: 0, waits: 0, wait_ns: 0 };
    while all.len() > RAN_INSTEAD_ROWS || all.last().is_some_and(&is_others) {
        let Some(who) = all.pop() else { break };
        others.waits += who.waits;
        others.wait_ns += who.wait_ns;
    }
    all.extend(Some(others).filter(|others| others.waits > 0));
}
