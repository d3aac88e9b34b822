//! Requests of a service.

use acgs_perf_common::maps::{Counter, Histogram};

use crate::analysis::censored::{Ages, with_ages};
use crate::analysis::counts::{Counts, counts};
use crate::analysis::distribution::distribution;
use crate::analysis::model::RequestsReport;
use crate::analysis::number::rate;
use crate::live::probes::request;
use crate::snapshot::interval::row;
use crate::sums::Sections;

/// Its requests in a window of `duration_ns`; `design_effect` says how much the number of slow ones varies over time, `ages` how old
/// those are that have no end.
pub fn requests(
    sections: Option<&Sections>,
    duration_ns: u64,
    design_effect: Option<f64>,
    (ages, objective_ns): (&Ages, u64),
) -> RequestsReport {
    let counters = row(sections, request::COUNTERS, &[]);
    let counter = |counter: Counter| counters.sums.count(counter as u32);
    let timed =
        |section, histogram: Histogram, sum| counts(row(sections, section, &[histogram as u32]), Some(counter(sum)));
    let latency = Counts { design_effect, ..timed(request::LATENCY, Histogram::Latency, Counter::LatencySum) };
    let count = counter(Counter::Requests);
    RequestsReport {
        count,
        rate_per_s: rate(count, duration_ns),
        latency: with_ages(&latency, ages, objective_ns),
        queue_time: distribution(&timed(request::TIMES, Histogram::QueueTime, Counter::QueueTimeSum)),
        service_time: distribution(&timed(request::TIMES, Histogram::ServiceTime, Counter::ServiceTimeSum)),
        unanswered: counter(Counter::Read).saturating_sub(count),
        unsolicited_sends: counter(Counter::UnsolicitedSends),
        bytes_in: counter(Counter::BytesIn),
        bytes_out: counter(Counter::BytesOut),
    }
}
