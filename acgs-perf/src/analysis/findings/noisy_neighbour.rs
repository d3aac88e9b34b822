//! `noisy_neighbour` and `own_threads`: who had the CPU for which slow requests waited.

use acgs_perf_common::attribution::Component::{QueueRunQueue, RunQueue};

use super::context::Context;
use super::start::share;
use crate::analysis::model::{Confidence, Figure, Finding, Unit};

/// Another process had the CPU.
pub const NOISY_NEIGHBOUR: &str = "noisy_neighbour";
/// The service's own threads had it: more of them want to run than there are CPUs.
pub const OWN_THREADS: &str = "own_threads";

/// Waiting for a CPU is at least this share of the time of the slowest requests.
const LEAST_SHARE: f64 = 0.2;
/// One process, or the service itself, makes at least this share of the waits.
const LEAST_PART: f64 = 0.4;

/// Who ran instead: by the waits of single slow requests, or by all waits of the service where these do not tell.
pub fn look(context: &Context) -> Vec<Finding> {
    let Some((mean, rest, of_tail)) = context.of_tail(&[RunQueue, QueueRunQueue]) else { return Vec::new() };
    let waits = waits(context);
    let total: u64 = waits.iter().map(|(_, _, ns)| ns).sum();
    if of_tail < LEAST_SHARE || total == 0 {
        return Vec::new();
    }
    let is_own = |pid: u32| context.service.processes.iter().any(|process| process.pid == pid);
    let (own, others): (Vec<_>, Vec<_>) = waits.into_iter().partition(|(_, pid, _)| is_own(*pid));
    let own_ns: u64 = own.iter().map(|(_, _, ns)| ns).sum();
    // Process 0 stands for several.
    let other = others.into_iter().filter(|(_, pid, _)| *pid != 0).max_by_key(|(_, _, ns)| *ns);
    let by = other.map(|(comm, pid, ns)| (NOISY_NEIGHBOUR, format!("{comm} {pid}"), ns));
    let by = by.into_iter().chain([(OWN_THREADS, context.service.name.clone(), own_ns)]);
    let Some((id, who, ns)) = by.max_by_key(|(_, _, ns)| *ns) else { return Vec::new() };
    let part = ns as f64 / total as f64;
    if part < LEAST_PART {
        return Vec::new();
    }
    let figures = vec![
        Figure::new("ran_instead", ns, Unit::Ns).of(who).against(total),
        Figure::new("run_queue", mean, Unit::Ns).against(rest),
    ];
    let found = context.found(id, context.severity(), Confidence::High, figures);
    let found = Finding { share: Some(share(of_tail)), ..found };
    vec![context.with_gain_of(found, &[RunQueue, QueueRunQueue], part)]
}

/// Command, process, time.
fn waits<'a>(context: &'a Context) -> Vec<(&'a str, u32, u64)> {
    let of_slow = context.explanation.iter().flat_map(|found| &found.cut.preemptors);
    let of_slow: Vec<_> = of_slow.map(|who| (who.comm.as_str(), who.pid, who.wait_ns)).collect();
    if !of_slow.is_empty() {
        return of_slow;
    }
    let all = context.service.scheduler.iter().flat_map(|scheduler| &scheduler.ran_instead);
    all.map(|who| (who.comm.as_str(), who.pid, who.wait_ns)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::sample::planted::{self, found, ids};

    #[test]
    fn who_ran_instead_is_named() {
        let report = planted::run_queue(0.5);
        let neighbour = found(&report, NOISY_NEIGHBOUR).expect("a finding");
        assert_eq!(neighbour.figures[0].of.as_deref(), Some("stress-ng 99"));
        assert!(neighbour.would_fall_to_ns.is_some(), "{neighbour:?}");
        assert!(!ids(&report).contains(&OWN_THREADS.to_owned()));
    }

    #[test]
    fn a_small_part_of_the_time_or_of_the_waits_is_nobodys_fault() {
        assert!(!ids(&planted::run_queue(0.19)).contains(&NOISY_NEIGHBOUR.to_owned()));
        let mut report = planted::run_queue(0.5);
        let ran = &mut planted::scheduler(&mut report).ran_instead;
        let one = ran[0].clone();
        ran.extend((1..3).map(|pid| crate::analysis::model::RanInsteadReport { pid, ..one.clone() }));
        assert!(!ids(&report).contains(&NOISY_NEIGHBOUR.to_owned()), "each a third");
    }

    #[test]
    fn a_service_that_is_its_own_neighbour_has_too_many_threads() {
        let mut report = planted::run_queue(0.5);
        let own = report.services[0].processes[0].pid;
        planted::scheduler(&mut report).ran_instead[0].pid = own;
        assert!(ids(&report).contains(&OWN_THREADS.to_owned()));
        assert!(!ids(&report).contains(&NOISY_NEIGHBOUR.to_owned()));
    }
}
