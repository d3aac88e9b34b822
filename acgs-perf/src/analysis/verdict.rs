//! Whether a service holds its objective.
//!
//! In: a service's objective, latency and rate. Out: a verdict, and what decided it; `output::words` says it in a sentence. In this
//! order:
//!
//! 1. nothing answered: too few requests to tell;
//! 2. the lower end of the P99's 95 % interval is at or above the objective: missed (also with fewer requests than a
//!    two-sided interval needs, because the lower end exists from the first request on);
//! 3. the rate is not above `min_rps`: missed if more than one request in a hundred was left unanswered, otherwise not tested,
//!    because fewer requests came than the objective asks for;
//! 4. the interval has an upper end and that is below the objective: met;
//! 5. else: too few requests to tell, either because there is no upper end or because the interval holds the objective.

use crate::analysis::model::{Because, RequestsReport, ServiceReport, Verdict};

/// One request in this many may be without an answer at any moment.
const UNANSWERED: u64 = 100;

/// Judges a service.
pub fn judge(service: &mut ServiceReport) {
    let objective = &mut service.objective;
    let (verdict, because) = match &service.requests {
        None => (None, Because::NotMeasured),
        Some(requests) => {
            let (verdict, because) = decide(objective.p99_ns, objective.min_rps, requests);
            (Some(verdict), because)
        }
    };
    (objective.verdict, objective.because) = (verdict, Some(because));
}

fn decide(p99_ns: u64, min_rps: f64, requests: &RequestsReport) -> (Verdict, Because) {
    let latency = &requests.latency;
    if latency.count == 0 {
        return (Verdict::TooFew, Because::NothingAnswered);
    }
    let interval = latency.p99_ci95_ns;
    let low = interval.map(|[low, _]| low).or(latency.p99_ci95_low_ns);
    if low.is_some_and(|low| low >= p99_ns) {
        return (Verdict::Missed, Because::P99AtLeast);
    }
    match requests.rate_per_s {
        None => return (Verdict::TooFew, Because::NoRate),
        Some(rate) if rate <= min_rps => {
            let is_left = requests.unanswered.saturating_mul(UNANSWERED) > requests.count;
            return (if is_left { Verdict::Missed } else { Verdict::NotTested }, Because::LowRate);
        }
        Some(_) => {}
    }
    match interval {
        Some([_, high]) if high < p99_ns => (Verdict::Met, Because::P99AtMost),
        Some(_) => (Verdict::TooFew, Because::IntervalHoldsObjective),
        None if latency.over_range == 0 => (Verdict::TooFew, Because::FewRequests),
        None => (Verdict::TooFew, Because::OverRange),
    }
}

/// Whether the objective is missed, and not only for its rate: that may be a lack of load as well as of capacity.
#[must_use]
pub fn missed_for_latency(service: &ServiceReport) -> bool {
    let fast = |p99| p99 < service.objective.p99_ns;
    service.objective.verdict == Some(Verdict::Missed)
        && !service.requests.as_ref().and_then(|requests| requests.latency.p99_ns).is_some_and(fast)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::counts::Counts;
    use crate::analysis::distribution::distribution;
    use crate::analysis::sample::counts;

    /// The objective of ours: 5 ms, 100 requests/s.
    fn of(counts: &Counts, rate: f64, unanswered: u64) -> (Verdict, Because) {
        let latency = distribution(counts);
        let count = latency.count;
        decide(
            5_000_000,
            100.0,
            &RequestsReport { count, rate_per_s: Some(rate), latency, unanswered, ..RequestsReport::default() },
        )
    }

    fn verdict(values: impl IntoIterator<Item = u64>, rate: f64) -> (Verdict, Because) {
        of(&counts(values), rate, 0)
    }

    fn micros(range: std::ops::Range<u64>) -> impl Iterator<Item = u64> {
        range.map(|v| v * 1000)
    }

    #[test]
    fn met_needs_the_whole_interval_below_and_the_rate_above() {
        assert_eq!(verdict(micros(0..4000), 101.0), (Verdict::Met, Because::P99AtMost));
    }

    #[test]
    fn a_low_rate_is_no_test_unless_requests_were_left() {
        for rate in [0.5, 99.999, 100.0] {
            assert_eq!(verdict(micros(0..4000), rate), (Verdict::NotTested, Because::LowRate));
            assert_eq!(of(&counts(micros(0..4000)), rate, 40), (Verdict::NotTested, Because::LowRate));
            assert_eq!(of(&counts(micros(0..4000)), rate, 41), (Verdict::Missed, Because::LowRate));
        }
        assert_eq!(verdict(micros(0..4000), 100.001).0, Verdict::Met);
    }

    #[test]
    fn missed_needs_the_whole_interval_at_or_above() {
        assert_eq!(verdict(micros(1000..9000), 500.0), (Verdict::Missed, Because::P99AtLeast));
        assert_eq!(verdict(micros(1000..9000), 5.0), (Verdict::Missed, Because::P99AtLeast));
    }

    #[test]
    fn an_interval_around_the_objective_cannot_tell() {
        let verdict = verdict((0..1000).map(|i| if i < 989 { 1_000_000 } else { 9_000_000 }), 500.0);
        assert_eq!(verdict, (Verdict::TooFew, Because::IntervalHoldsObjective));
    }

    #[test]
    fn few_requests_can_miss_but_not_meet() {
        assert_eq!(verdict(micros(0..367), 500.0), (Verdict::TooFew, Because::FewRequests));
        assert_eq!(verdict(micros(0..368), 500.0).0, Verdict::Met);
        assert_eq!(verdict(micros(50_000..50_010), 500.0).0, Verdict::Missed);
        // One slow request of ten may be the one in a hundred that an objective allows.
        assert_eq!(verdict((0..10).map(|i| if i < 9 { 1_000 } else { 50_000_000 }), 500.0).0, Verdict::TooFew);
    }

    #[test]
    fn nothing_answered_cannot_tell() {
        assert_eq!(verdict([], 0.0), (Verdict::TooFew, Because::NothingAnswered));
    }

    #[test]
    fn values_over_range_count_as_slow() {
        let c = Counts { over_range: 50, ..counts(micros(0..950)) };
        assert_eq!(of(&c, 500.0, 0).0, Verdict::Missed);
        let c = Counts { over_range: 10, ..counts(micros(0..990)) };
        assert_eq!(of(&c, 500.0, 0), (Verdict::TooFew, Because::OverRange));
    }

    #[test]
    fn not_measured_has_no_verdict() {
        let mut service = crate::analysis::sample::small().services.remove(0);
        service.requests = None;
        judge(&mut service);
        assert_eq!((service.objective.verdict, service.objective.because), (None, Some(Because::NotMeasured)));
    }
}
