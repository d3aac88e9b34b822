//! The result of a load: from what the generator counted to JSON.
//!
//! In: an outcome for each slice. Out: a run as it is handed to `record`; the JSON of `load` itself.

use std::collections::BTreeMap;

use acgs_perf_common::CONSTITUTIONAL_HASH;
use acgs_perf_common::histogram::bucket_index;
use acgs_perf_load::{Outcome, Segment};
use hdrhistogram::Histogram;
use serde::Serialize;

use super::url::Scheme;
use crate::report::{ClientReport, Tool};
use crate::snapshot::client::ClientSlice;
use crate::sums::Sums;

/// Version of the JSON.
const SCHEMA_VERSION: u32 = 1;
/// From this status on an answer is an error.
const HTTP_ERROR: u16 = 400;

/// How to show a result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For the terminal
    #[default]
    Text,
    /// Everything, with whole histograms
    Json,
}

#[derive(Serialize)]
struct Result<'a> {
    schema_version: u32,
    constitutional_hash: &'static str,
    tool: Tool,
    client: &'a ClientReport,
    /// The conditions of `--fail-on` that hold.
    failed: &'a [String],
}

/// The JSON of a result.
///
/// # Errors
/// Never in practice: all of it is JSON.
pub fn json(client: &ClientReport, failed: &[String]) -> serde_json::Result<String> {
    let tool = Tool { name: "acgs-perf".into(), version: env!("CARGO_PKG_VERSION").into() };
    let result =
        Result { schema_version: SCHEMA_VERSION, constitutional_hash: CONSTITUTIONAL_HASH, tool, client, failed };
    let mut text = serde_json::to_string_pretty(&result)?;
    text.push('\n');
    Ok(text)
}

/// A slice of a run; `segments` are those that are counted in it, none in a closed loop.
pub fn slice(outcome: &Outcome, segments: &[Segment], duration_ns: u64, scheme: Scheme) -> ClientSlice {
    let replayed = || {
        let requests: f64 = segments.iter().map(Segment::requests).sum();
        let rate = requests * 1e9 / duration_ns.max(1) as f64;
        (rate, rate)
    };
    let (from_per_s, to_per_s) = match segments {
        [] => (0.0, 0.0),
        [segment] => (segment.from, segment.to),
        _ => replayed(),
    };
    ClientSlice {
        duration_ns,
        from_per_s,
        to_per_s,
        sent: outcome.sent,
        answered: outcome.completed,
        waited: outcome.waited,
        not_sent: outcome.not_sent,
        latency: sums(&outcome.latency),
        from_sending: sums(&outcome.from_sending),
        lateness: sums(&outcome.lateness),
        without_end: sums(&outcome.without_end),
        latency_sum_ns: outcome.sums.latency_ns,
        waited_sum_ns: outcome.sums.waited_ns,
        late_sum_ns: outcome.sums.late_ns,
        from_sending_sum_ns: outcome.sums.from_sending_ns,
        errors: errors(outcome, scheme),
    }
}

/// The same counts in our buckets, which are as wide as several of its.
fn sums(histogram: &Histogram<u64>) -> Sums {
    let mut counts: BTreeMap<u32, i64> = BTreeMap::new();
    for value in histogram.iter_recorded() {
        let bucket = bucket_index(histogram.lowest_equivalent(value.value_iterated_to()));
        *counts.entry(bucket as u32).or_default() += value.count_at_value() as i64;
    }
    Sums::sparse(counts)
}

fn errors(outcome: &Outcome, scheme: Scheme) -> BTreeMap<String, u64> {
    let name = scheme.name();
    let mut errors: BTreeMap<String, u64> = BTreeMap::new();
    errors.extend(outcome.failures.iter().map(|(kind, count)| (kind.name().to_owned(), *count)));
    let statuses = outcome.statuses.iter().filter(|(status, _)| **status >= HTTP_ERROR);
    errors.extend(statuses.map(|(status, count)| (format!("{name}_{status}"), *count)));
    errors.extend(outcome.error_codes.iter().map(|(code, count)| (format!("{name}_{code}"), *count)));
    let unanswered = outcome.unanswered();
    if unanswered > 0 {
        errors.insert("unanswered".into(), unanswered);
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_keeps_its_counts_in_our_buckets() {
        let mut outcome = Outcome::new().unwrap();
        for ns in [1, 255, 256, 100_000, 100_001, 5_000_000_000] {
            outcome.latency.record(ns).unwrap();
        }
        let sums = sums(&outcome.latency);
        assert_eq!(sums.iter().map(|(_, count)| count).sum::<i64>(), 6);
        for ns in [1, 255, 256, 5_000_000_000] {
            assert_eq!(sums.count(bucket_index(ns) as u32), 1, "{ns}");
        }
        assert_eq!(sums.count(bucket_index(100_000) as u32), 2);
    }

    #[test]
    fn errors_have_their_kind_and_good_statuses_are_none() {
        let mut outcome = Outcome::new().unwrap();
        outcome.sent = 3;
        outcome.statuses = [(204, 5), (404, 2), (503, 1)].into();
        outcome.fail(acgs_perf_load::Failure::ConnectRefused, "refused".into());
        let errors = errors(&outcome, Scheme::Http);
        let expected = [("connect_refused", 1), ("http_404", 2), ("http_503", 1), ("unanswered", 2)];
        assert_eq!(errors, expected.map(|(kind, count)| (kind.to_owned(), count)).into());
    }
}
