//! `slow_fork`: the service stands still while the kernel copies its page tables for a new process.
//!
//! In: the longest call that starts a process, and the slowest request. Out: a finding if the one is long enough to be the other's reason.
//! A fork takes a few ms for each gigabyte that the process has, in which the thread that calls it does nothing else.

use acgs_perf_common::attribution::Component::{OnCpu, QueueOnCpu};

use super::context::Context;
use crate::analysis::model::{Confidence, Figure, Finding, Severity, SyscallReport, Unit};

/// Its id.
pub const SLOW_FORK: &str = "slow_fork";

/// The calls that start a process, or a thread, which takes some 20 µs.
const CALLS: [&str; 4] = ["clone", "clone3", "fork", "vfork"];
/// A shorter one is none that anybody has to know of, and may be that of a process that answers nobody.
const LEAST_NS: u64 = 5_000_000;
/// What a fork costs is computing, and waiting for one who computes. For a warning it is this share of the time of the slowest requests.
const WARN_SHARE: f64 = 0.5;

/// The longest call takes at least half as long as the slowest request.
pub fn look(context: &Context) -> Vec<Finding> {
    let calls = context.service.syscalls.iter().flatten().filter(|call| CALLS.contains(&call.name.as_str()));
    let Some((call, longest)) = calls.filter_map(|call| Some((call, longest(call)?))).max_by_key(|(_, ns)| *ns) else {
        return Vec::new();
    };
    let latency = context.service.requests.as_ref().map(|requests| &requests.latency);
    let Some(slowest) = latency.and_then(|latency| latency.max_ns.or(latency.max_at_least_ns)) else {
        return Vec::new();
    };
    if longest < LEAST_NS || longest < slowest / 2 {
        return Vec::new();
    }
    let figures = vec![
        Figure::new("longest_call", longest, Unit::Ns).of(call.name.as_str()).against(slowest),
        Figure::new("calls", call.count, Unit::Count).of(call.name.as_str()),
    ];
    let is_the_tail = context.share_of_tail(&[OnCpu, QueueOnCpu]) >= WARN_SHARE;
    let severity = if is_the_tail { context.severity() } else { Severity::Info };
    vec![context.found(SLOW_FORK, severity, Confidence::Medium, figures)]
}

fn longest(call: &SyscallReport) -> Option<u64> {
    call.latency.max_ns.or(call.latency.max_at_least_ns)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::sample::planted::{forked, found, ids, tail_of};

    #[test]
    fn a_call_as_long_as_half_of_the_slowest_request_is_named() {
        let is_found = |longest_ns, slowest_ns| {
            let mut report = forked(longest_ns);
            report.services[0].requests.as_mut().unwrap().latency.max_ns = Some(slowest_ns);
            ids(&report).contains(&SLOW_FORK.to_owned())
        };
        assert!(is_found(60_000_000, 100_000_000));
        assert!(!is_found(60_000_000, 140_000_000), "something else has taken longer");
        assert!(!is_found(4_900_000, 5_000_000), "not worth a word");
    }

    #[test]
    fn it_warns_where_the_slow_requests_compute_and_are_too_slow() {
        let severity = |share| {
            let mut report = tail_of(&[(acgs_perf_common::attribution::Component::Disk, share)]);
            report.services[0].syscalls = forked(60_000_000).services[0].syscalls.clone();
            found(&report, SLOW_FORK).unwrap().severity
        };
        assert_eq!((severity(0.1), severity(0.9)), (Severity::Warning, Severity::Info));
    }
}
