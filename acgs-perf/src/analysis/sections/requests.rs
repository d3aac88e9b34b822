//! Requests of a service.

use acgs_perf_common::attribution::{ATTRIBUTION_BUCKETS, ATTRIBUTION_POWER, ATTRIBUTION_ROWS};
use acgs_perf_common::delivery::{HELD, HELD_BUCKETS, HELD_SUMS, PUSH_BUCKETS, PUSHES, PUSHES_SUM};
use acgs_perf_common::histogram::{BUCKETS, bucket_index, bucket_low_of_power};
use acgs_perf_common::maps::{Counter, Histogram};

use crate::analysis::censored::with_ages;
use crate::analysis::counts::{Counts, counts};
use crate::analysis::distribution::distribution;
use crate::analysis::model::{Distribution, HeldReport, KindsReport, PushReport, RequestsReport};
use crate::analysis::number::rate;
use crate::live::probes::request;
use crate::snapshot::Fates;
use crate::snapshot::interval::row;
use crate::sums::{Sections, Sums};

use super::endpoints::Endpoints;
use super::fates;

/// Its requests in a window of `duration_ns`; `design_effect` says how much the number of slow ones varies over time, `of_fates` how old
/// those are that have no end, `endpoints` what of them the configuration has moved.
pub fn requests(
    sections: Option<&Sections>,
    duration_ns: u64,
    design_effect: Option<f64>,
    (of_fates, objective_ns): (&Fates, u64),
    endpoints: &Endpoints<'_>,
) -> RequestsReport {
    let counters = row(sections, request::COUNTERS, &[]);
    let counter = |counter: Counter| counters.sums.count(counter as u32);
    let timed =
        |section, histogram: Histogram, sum| counts(row(sections, section, &[histogram as u32]), Some(counter(sum)));
    let mut latency = Counts { design_effect, ..timed(request::LATENCY, Histogram::Latency, Counter::LatencySum) };
    let mut ages = fates::ages(of_fates);
    fates::take_undelivered(of_fates, &mut latency, &mut ages);
    let unmatched = endpoints.moved().map_or(0, |moved| moved.apply(&mut latency));
    let count = counter(Counter::Requests);
    let (delivery, held_ns) = delivery(sections).unzip();
    RequestsReport {
        count,
        rate_per_s: rate(count, duration_ns),
        latency: with_ages(&latency, &ages, objective_ns),
        queue_time: distribution(&timed(request::TIMES, Histogram::QueueTime, Counter::QueueTimeSum)),
        service_time: distribution(&timed(request::TIMES, Histogram::ServiceTime, Counter::ServiceTimeSum)),
        delivery,
        held_ns,
        by_rule: endpoints.by_rule(count, unmatched, duration_ns),
        unanswered: counter(Counter::Read).saturating_sub(count),
        unsolicited_sends: counter(Counter::UnsolicitedSends),
        bytes_in: counter(Counter::BytesIn),
        bytes_out: counter(Counter::BytesOut),
    }
}

/// How long replies were held that did not leave at once, and by what; `None` if all did.
fn delivery(sections: Option<&Sections>) -> Option<(Distribution, HeldReport)> {
    let sums = &row(sections, request::DELIVERY, &[]).sums;
    if sums.count(HELD) == 0 {
        return None;
    }
    let [nagle_ns, window_ns, network_ns] = [0, 1, 2].map(|part| sums.count(HELD_SUMS + part));
    let sum_ns = Some(nagle_ns.saturating_add(window_ns).saturating_add(network_ns));
    let held = coarse(sums, HELD_BUCKETS, sum_ns);
    Some((distribution(&held), HeldReport { nagle_ns, window_ns, network_ns }))
}

/// What was read or sent and is no request with a reply; `None` if there is no such thing.
pub fn kinds(sections: Option<&Sections>, of_fates: &Fates, endpoints: &Endpoints<'_>) -> Option<KindsReport> {
    let sums = &row(sections, request::DELIVERY, &[]).sums;
    let count = sums.count(PUSHES);
    let push = (count > 0).then(|| PushReport {
        count,
        latency_before: distribution(&coarse(sums, PUSH_BUCKETS, Some(sums.count(PUSHES_SUM)))),
    });
    let kinds = KindsReport {
        one_way: of_fates.one_way,
        farewell: of_fates.farewells,
        push,
        wait_by_design: endpoints.waits(),
        handshake: endpoints.handshakes(),
    };
    (kinds != KindsReport::default()).then_some(kinds)
}

/// Counts that begin at word `first`, in buckets of the attribution histogram; each goes into the middle of its own.
fn coarse(sums: &Sums, first: u32, sum_ns: Option<u64>) -> Counts {
    let mut counts = Counts { buckets: vec![0; BUCKETS], sum_ns, ..Counts::default() };
    let words = first..first + ATTRIBUTION_ROWS;
    for (word, count) in sums.iter().filter(|(word, count)| words.contains(word) && *count > 0) {
        let bucket = (word - first) as usize;
        if bucket >= ATTRIBUTION_BUCKETS {
            counts.over_range += count as u64;
            continue;
        }
        let [low, next] = [bucket, bucket + 1].map(|bucket| bucket_low_of_power(bucket, ATTRIBUTION_POWER));
        counts.buckets[bucket_index(low + (next - low) / 2)] += count as u64;
    }
    counts
}

#[cfg(test)]
mod tests {
    use acgs_perf_common::attribution::attribution_bucket;

    use super::*;
    use crate::sums::{Row, Section};

    #[test]
    fn held_replies_have_a_distribution_and_reasons() {
        assert_eq!(delivery(None), None);
        let bucket = HELD_BUCKETS + attribution_bucket(44_000_000) as u32;
        let words = [(HELD, 3), (HELD_SUMS, 88_000_000), (HELD_SUMS + 2, 44_000_000), (bucket, 3)];
        let row = Row { sums: Sums::sparse(words), ..Row::default() };
        let sections = Sections::from([(request::DELIVERY.into(), Section::from([(Vec::new(), row)]))]);
        let (held, by) = delivery(Some(&sections)).unwrap();
        assert_eq!((held.count, held.mean_ns), (3, Some(44_000_000)));
        let p50 = held.p50_ns.unwrap();
        assert!(p50.abs_diff(44_000_000) < 44_000_000 / 25, "{p50}");
        assert_eq!((by.nagle_ns, by.window_ns, by.network_ns), (88_000_000, 0, 44_000_000));
    }

    #[test]
    fn what_is_no_request_is_told_by_its_kind() {
        let context = crate::snapshot::ServiceContext::default();
        let none = Endpoints::new(&context, None);
        assert_eq!(kinds(None, &Fates::default(), &none), None);
        let of_fates = Fates { farewells: 4, one_way: 7, ..Fates::default() };
        let told = kinds(None, &of_fates, &none).unwrap();
        assert_eq!((told.farewell, told.one_way, told.push), (4, 7, None));
        let bucket = |first, ns| first + attribution_bucket(ns) as u32;
        // Those that were held stand in front, and do not count here.
        let words = [
            (bucket(HELD_BUCKETS, 44_000_000), 3),
            (PUSHES, 2),
            (PUSHES_SUM, 1_800_000),
            (bucket(PUSH_BUCKETS, 900_000), 2),
        ];
        let row = Row { sums: Sums::sparse(words), ..Row::default() };
        let sections = Sections::from([(request::DELIVERY.into(), Section::from([(Vec::new(), row)]))]);
        let push = kinds(Some(&sections), &Fates::default(), &none).unwrap().push.unwrap();
        assert_eq!((push.count, push.latency_before.count, push.latency_before.mean_ns), (2, 2, Some(900_000)));
    }
}
