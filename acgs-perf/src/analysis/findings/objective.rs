//! What a missed objective is missed for.
//!
//! In: a service's figures and its objective. Out: whether it is its latency.

use crate::report::{ServiceReport, Verdict};

/// Whether the objective is missed, and not only for its rate: that may be a lack of load as well as of capacity.
pub fn missed_for_latency(service: &ServiceReport) -> bool {
    let fast = |p99| p99 < service.objective.p99_ns;
    service.objective.verdict == Some(Verdict::Missed)
        && !service.requests.as_ref().and_then(|requests| requests.latency.p99_ns).is_some_and(fast)
}
