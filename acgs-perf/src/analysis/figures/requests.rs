//! Requests of a service.

use acgs_perf_common::maps::{Counter, Histogram};

use super::Requests;
use super::counts::{Counts, counts};
use crate::live::probes::request;
use crate::snapshot::interval::row;
use crate::sums::Sections;

/// Its requests; how much the number of slow ones varies from interval to interval is found out elsewhere.
pub fn requests(sections: Option<&Sections>, design_effect: Option<f64>) -> Requests {
    let counters = row(sections, request::COUNTERS, &[]);
    let counter = |counter: Counter| counters.sums.count(counter as u32);
    let timed =
        |section, histogram: Histogram, sum| counts(row(sections, section, &[histogram as u32]), Some(counter(sum)));
    let count = counter(Counter::Requests);
    Requests {
        count,
        unanswered: counter(Counter::Read).saturating_sub(count),
        unsolicited_sends: counter(Counter::UnsolicitedSends),
        bytes_in: counter(Counter::BytesIn),
        bytes_out: counter(Counter::BytesOut),
        latency: Counts { design_effect, ..timed(request::LATENCY, Histogram::Latency, Counter::LatencySum) },
        queue_time: timed(request::TIMES, Histogram::QueueTime, Counter::QueueTimeSum),
        service_time: timed(request::TIMES, Histogram::ServiceTime, Counter::ServiceTimeSum),
    }
}
