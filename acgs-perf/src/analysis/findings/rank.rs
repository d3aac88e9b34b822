//! The order of the findings.
//!
//! In: findings in the order of the rules. Out: most severe first, and of these what would gain most. A finding that says who or what makes
//! requests wait comes right before the one that only says what they wait for, and is as severe, if it would gain nearly as much: it is
//! the one that can be acted upon.

use std::cmp::Reverse;

use super::cpu_saturated::CPU_SATURATED;
use super::disk_saturated::DISK_SATURATED;
use super::downstream_calls::{MANY_CALLS, SEQUENTIAL_CALLS};
use super::fsync_bound::FSYNC_BOUND;
use super::held_replies::REPLIES_WAIT_FOR_ACK;
use super::noisy_neighbour::{NOISY_NEIGHBOUR, OWN_THREADS};
use super::tail::cause_of;
use crate::analysis::model::{Finding, Report};
use crate::analysis::tail::Cause;

/// Findings that say who or what makes requests wait, and for what. `idle_cpus` is none: it says what else there would be.
const WHY: [(&str, Cause); 8] = [
    (FSYNC_BOUND, Cause::Disk),
    (DISK_SATURATED, Cause::Disk),
    (NOISY_NEIGHBOUR, Cause::RunQueue),
    (OWN_THREADS, Cause::RunQueue),
    (CPU_SATURATED, Cause::RunQueue),
    (MANY_CALLS, Cause::Downstream),
    (SEQUENTIAL_CALLS, Cause::Downstream),
    (REPLIES_WAIT_FOR_ACK, Cause::Nagle),
];
/// Nearly as much, in percent.
const NEARLY: u64 = 75;

/// Puts them in order.
pub fn ranked(report: &Report, found: Vec<Finding>) -> Vec<Finding> {
    let mut all: Vec<_> = found.iter().map(|finding| placed(report, &found, finding)).collect();
    all.sort_by_key(|(finding, place)| (finding.severity, *place));
    all.into_iter().map(|(finding, _)| finding).collect()
}

/// Among findings that are as severe: what it would gain, or the one that it stands before; after it that one itself; and of several
/// before the same one which would gain most.
type Place = (Reverse<u64>, bool, Reverse<u64>);

fn placed(report: &Report, all: &[Finding], finding: &Finding) -> (Finding, Place) {
    let own = gain(report, finding);
    match before(all, finding).map(|what| (what, gain(report, what))) {
        Some((what, whole)) if whole > 0 && u128::from(own) * 100 >= u128::from(whole) * u128::from(NEARLY) => {
            let severity = finding.severity.min(what.severity);
            (Finding { severity, ..finding.clone() }, (Reverse(own.max(whole)), false, Reverse(own)))
        }
        _ => (finding.clone(), (Reverse(own), true, Reverse(own))),
    }
}

/// The finding that says for what the requests wait of which this one says why.
fn before<'a>(all: &'a [Finding], finding: &Finding) -> Option<&'a Finding> {
    let (_, cause) = WHY.iter().find(|(id, _)| *id == finding.id)?;
    all.iter().find(|what| what.service == finding.service && cause_of(&what.id) == Some(*cause))
}

/// How much shorter the P99 would be.
fn gain(report: &Report, finding: &Finding) -> u64 {
    let service = report.services.iter().find(|service| Some(&service.name) == finding.service.as_ref());
    let p99 = service.and_then(|service| service.requests.as_ref()?.latency.p99_ns);
    p99.zip(finding.would_fall_to_ns).map_or(0, |(now, then)| now.saturating_sub(then))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::model::Severity;
    use crate::analysis::sample::assessed;
    use crate::analysis::sample::planted::{api, run_queue, scheduler, sequence, synced};

    fn first_two(report: Report) -> Vec<(String, Severity)> {
        let found = assessed(report).findings.into_iter().take(2);
        found.map(|finding| (finding.id, finding.severity)).collect()
    }

    fn critical(ids: [&str; 2]) -> Vec<(String, Severity)> {
        ids.map(|id| (id.to_owned(), Severity::Critical)).into()
    }

    #[test]
    fn why_requests_wait_comes_before_what_they_wait_for() {
        assert_eq!(first_two(sequence(21)), critical([MANY_CALLS, "tail_downstream"]));
        assert_eq!(first_two(run_queue(0.8)), critical([NOISY_NEIGHBOUR, "tail_run_queue"]));
        assert_eq!(first_two(synced(0.9, 0.9)), critical([FSYNC_BOUND, "tail_disk"]));
    }

    #[test]
    fn what_would_gain_much_less_comes_after() {
        assert_eq!(first_two(sequence(2)), critical(["tail_downstream", "objective_missed"]));
        let mut report = run_queue(0.8);
        let ran = &mut scheduler(&mut report).ran_instead;
        let (one, own) = (ran[0].clone(), ran[0].wait_ns);
        ran.push(crate::analysis::model::RanInsteadReport { pid: 0, wait_ns: own, ..one });
        assert_eq!(first_two(report)[0].0, "tail_run_queue", "the neighbour has half of the waits");
    }

    #[test]
    fn where_the_objective_is_met_all_is_for_information() {
        let mut report = run_queue(0.8);
        report.services[0].objective.p99_ns = 1_000_000_000;
        let expected = [NOISY_NEIGHBOUR, "tail_run_queue"].map(|id| (id.to_owned(), Severity::Info));
        assert_eq!(first_two(report), expected);
        assert_eq!(first_two(api())[0].1, Severity::Critical);
    }
}
