//! Whether a service holds its objective, and why we say so.
//!
//! In: the objective, the latency, the rate. Out: a verdict and its reason. In this order:
//!
//! 1. nothing answered: too few requests to tell;
//! 2. the lower end of the P99's 95 % interval is at or above the objective: missed (also with fewer requests than a
//!    two-sided interval needs, because the lower end exists from the first request on);
//! 3. the rate is not above `min_rps`: missed;
//! 4. the interval has an upper end and that is below the objective: met;
//! 5. else: too few requests to tell, either because there is no upper end or because the interval holds the objective.

use super::distribution::Ranked;
use super::number::{grouped, round3};
use crate::analysis::figures::Counts;
use crate::analysis::model::{ObjectiveReport, ServiceReport, Verdict};
use crate::discover::Objective;
use crate::units::{duration, rate as rate_text};

use super::confidence::P99_MIN_COUNT;

/// Judges a service; `requests` is (latency, requests answered per second) or `None` when not measured.
pub fn judge(objective: &Objective, requests: Option<(&Counts, Option<f64>)>) -> ObjectiveReport {
    let p99_ns = u64::try_from(objective.p99.as_nanos()).unwrap_or(u64::MAX);
    let min_rps = round3(objective.min_rps);
    let (verdict, reason) = match requests {
        None => (None, "not measured: the request probe was not active".into()),
        Some((latency, rate)) => {
            let (verdict, reason) = decide(p99_ns, min_rps, &Ranked::new(latency), rate);
            (Some(verdict), reason)
        }
    };
    ObjectiveReport { p99_ns, min_rps, verdict, reason }
}

fn decide(p99_ns: u64, min_rps: f64, latency: &Ranked, rate: Option<f64>) -> (Verdict, String) {
    let goal = duration(p99_ns);
    if latency.total == 0 {
        return (Verdict::TooFew, "no request was answered".into());
    }
    let count = format!("{} request{}", grouped(latency.total), if latency.total == 1 { "" } else { "s" });
    let requests = match latency.design_effect {
        Some(_) => format!("97.5 % confidence, {count}"),
        // Nobody knows how much they depend on each other.
        None => format!("97.5 % confidence if they are independent, {count}"),
    };
    let low = latency.p99_low().unwrap_or(0);
    if low >= p99_ns {
        let reason = format!("the P99 is at least {}, not below {goal} ({requests})", duration(low));
        return (Verdict::Missed, reason);
    }
    match rate {
        None => return (Verdict::TooFew, "the window has no length, so there is no rate".into()),
        Some(rate) if rate <= min_rps => {
            let reason =
                format!("the rate of {} requests/s is not above {} requests/s", rate_text(rate), rate_text(min_rps));
            return (Verdict::Missed, reason);
        }
        Some(_) => {}
    }
    match latency.p99_high() {
        Some(high) if high < p99_ns => {
            (Verdict::Met, format!("the P99 is at most {}, below {goal} ({requests})", duration(high)))
        }
        Some(high) => {
            let interval = format!("{} to {}", duration(low), duration(high));
            (
                Verdict::TooFew,
                format!("the 95 % interval of the P99, {interval}, holds the objective of {goal} ({count})"),
            )
        }
        None if latency.total < P99_MIN_COUNT => (
            Verdict::TooFew,
            format!("an upper bound of the P99 needs {P99_MIN_COUNT} requests, there were {}", grouped(latency.total)),
        ),
        None => (Verdict::TooFew, format!("the upper bound of the P99 is over range, at 68.7 s or more ({count})")),
    }
}

/// Whether the objective is missed, and not only for its rate: that may be a lack of load as well as of capacity.
pub fn missed_for_latency(service: &ServiceReport) -> bool {
    let fast = |p99| p99 < service.objective.p99_ns;
    service.objective.verdict == Some(Verdict::Missed)
        && !service.requests.as_ref().and_then(|requests| requests.latency.p99_ns).is_some_and(fast)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::analysis::sample::counts;

    fn verdict(values: impl IntoIterator<Item = u64>, rate: f64) -> (Verdict, String) {
        let counts = counts(values);
        let report = judge(&Objective::default(), Some((&counts, Some(rate))));
        (report.verdict.unwrap(), report.reason)
    }

    fn micros(range: std::ops::Range<u64>) -> impl Iterator<Item = u64> {
        range.map(|v| v * 1000)
    }

    #[test]
    fn met_needs_the_whole_interval_below_and_the_rate_above() {
        let (verdict, reason) = verdict(micros(0..4000), 101.0);
        assert_eq!(verdict, Verdict::Met, "{reason}");
        assert!(reason.contains("at most 3.9") && reason.contains("4,000 requests"), "{reason}");
    }

    #[test]
    fn a_low_rate_is_a_miss_that_says_so() {
        for rate in [0.5, 99.999, 100.0] {
            let (verdict, reason) = verdict(micros(0..4000), rate);
            assert_eq!(verdict, Verdict::Missed);
            assert!(reason.contains("is not above 100 requests/s"), "{reason}");
        }
        assert_eq!(verdict(micros(0..4000), 100.001).0, Verdict::Met);
    }

    #[test]
    fn missed_needs_the_whole_interval_at_or_above() {
        let (verdict, reason) = verdict(micros(1000..9000), 500.0);
        assert_eq!(verdict, Verdict::Missed);
        assert!(reason.contains("at least 8.8"), "{reason}");
    }

    #[test]
    fn an_interval_around_the_objective_cannot_tell() {
        let (verdict, reason) = verdict((0..1000).map(|i| if i < 989 { 1_000_000 } else { 9_000_000 }), 500.0);
        assert_eq!(verdict, Verdict::TooFew);
        assert!(reason.contains("holds the objective of 5 ms"), "{reason}");
    }

    #[test]
    fn few_requests_can_miss_but_not_meet() {
        assert_eq!(verdict(micros(0..367), 500.0).0, Verdict::TooFew);
        assert!(verdict(micros(0..367), 500.0).1.contains("needs 368 requests, there were 367"));
        assert_eq!(verdict(micros(0..368), 500.0).0, Verdict::Met);
        assert_eq!(verdict(micros(50_000..50_010), 500.0).0, Verdict::Missed);
        // One slow request of ten may be the one in a hundred that an objective allows.
        assert_eq!(verdict((0..10).map(|i| if i < 9 { 1_000 } else { 50_000_000 }), 500.0).0, Verdict::TooFew);
    }

    #[test]
    fn nothing_answered_cannot_tell() {
        assert_eq!(verdict([], 0.0), (Verdict::TooFew, "no request was answered".into()));
    }

    #[test]
    fn values_over_range_count_as_slow() {
        let c = Counts { over_range: 50, ..counts(micros(0..950)) };
        assert_eq!(judge(&Objective::default(), Some((&c, Some(500.0)))).verdict, Some(Verdict::Missed));
        let c = Counts { over_range: 10, ..counts(micros(0..990)) };
        assert_eq!(judge(&Objective::default(), Some((&c, Some(500.0)))).verdict, Some(Verdict::TooFew));
    }

    #[test]
    fn not_measured_has_no_verdict() {
        let report = judge(&Objective { p99: Duration::from_millis(1), min_rps: f64::NAN }, None);
        assert_eq!((report.verdict, report.p99_ns, report.min_rps), (None, 1_000_000, 0.0));
        assert!(report.reason.contains("not measured"));
    }
}
