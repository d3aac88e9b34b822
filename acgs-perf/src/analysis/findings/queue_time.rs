//! `queue_time_dominates`: requests wait before they are read, and nothing else says why.

use super::context::Context;
use super::start::of_service;
use super::tail;
use crate::analysis::model::{Figure, Finding, Severity, Unit, Verdict};

/// Its id.
pub const QUEUE_TIME_DOMINATES: &str = "queue_time_dominates";

/// With fewer requests, a P99 is little more than the slowest request, and says nothing about queueing.
const MIN_REQUESTS: u64 = 100;

/// At most one.
pub fn look(context: &Context) -> Vec<Finding> {
    dominates(context).into_iter().collect()
}

fn dominates(context: &Context) -> Option<Finding> {
    let service = context.service;
    let requests = service.requests.as_ref().filter(|r| r.latency.count >= MIN_REQUESTS)?;
    let (queue, latency) = (requests.queue_time.p99_ns?, requests.latency.p99_ns?);
    if u128::from(queue) * 2 <= u128::from(latency)
        || context.explanation.as_ref().is_some_and(|found| tail::explains_queue(context, found))
    {
        return None;
    }
    let severity = match service.objective.verdict {
        Some(Verdict::Met) => Severity::Info,
        _ => Severity::Warning,
    };
    let figure = Figure::new("queue_time_p99", queue, Unit::Ns).against(latency);
    Some(of_service(QUEUE_TIME_DOMINATES, severity, service, vec![figure]))
}
