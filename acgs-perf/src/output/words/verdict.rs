//! Why a service has its verdict.
//!
//! In: the service's objective and requests. Out: a sentence without its end.

use super::endpoints::called;
use crate::analysis::{P99_MIN_COUNT, left};
use crate::report::{Because, Distribution, ServiceReport};
use crate::units::{duration, grouped, rate};

/// The reason.
pub fn reason(service: &ServiceReport) -> String {
    let mut reason = decided(service);
    if let Some(client) = &service.objective.client_time {
        let (own, without) = (duration(client.mean_ns), duration(client.p99_without_ns));
        reason += &format!(
            "; above the P99 {own} of the mean are the clients' own, who send or read slowly; without that the P99 is about {without}"
        );
        if is_turned(service) {
            reason += ", which meets the objective";
        }
    }
    reason
}

/// Whether the objective is missed for the clients' own time alone.
fn is_turned(service: &ServiceReport) -> bool {
    let objective = &service.objective;
    let without = objective.client_time.as_ref().map(|client| client.p99_without_ns);
    objective.because == Some(Because::P99AtLeast) && without.is_some_and(|without| without < objective.p99_ns)
}

/// What decided.
fn decided(service: &ServiceReport) -> String {
    let objective = &service.objective;
    let goal = duration(objective.p99_ns);
    let (Some(because), Some(requests)) = (objective.because, &service.requests) else {
        return "not measured: the request probe was not active".into();
    };
    let latency = &requests.latency;
    let [low, high] = latency.p99_ci95_ns.unwrap_or([latency.p99_ci95_low_ns.unwrap_or(0), u64::MAX]);
    let count = count(latency.count);
    let per_second = requests.rate_per_s.unwrap_or(0.0);
    match because {
        Because::NotMeasured => "not measured: the request probe was not active".into(),
        Because::NothingAnswered => "no request was answered".into(),
        Because::Unanswered => {
            format!("no request was answered, and {} were left without an answer", grouped(left(service)))
        }
        Because::P99AtLeast => {
            format!("the P99 is at least {}, not below {goal} ({})", duration(low), confidence(latency))
        }
        Because::P99AtMost => format!("the P99 is at most {}, below {goal} ({})", duration(high), confidence(latency)),
        Because::IntervalHoldsObjective => format!(
            "the 95 % interval of the P99, {} to {}, holds the objective of {goal} ({count})",
            duration(low),
            duration(high)
        ),
        Because::FewRequests => few(latency),
        Because::OverRange => format!("the upper bound of the P99 is over range, at 68.7 s or more ({count})"),
        Because::WithoutEnd => format!(
            "the upper end of the P99's interval lies among {} that have no end ({count})",
            grouped(latency.without_end.unwrap_or(0))
        ),
        Because::LowRate => {
            format!("{} of {} requests/s were offered", rate(per_second), rate(objective.min_rps))
        }
        Because::LeftAtLowRate => format!(
            "{} requests were left without an answer, at {} requests/s, not above {} requests/s",
            grouped(left(service)),
            rate(per_second),
            rate(objective.min_rps)
        ),
        Because::Refused => {
            let refused = service.refused.as_ref().map_or(0, |refused| refused.drops);
            format!(
                "a full queue dropped {} connections, whose clients try again after a second or more ({count})",
                grouped(refused)
            )
        }
        Because::NoRate => "the window has no length, so there is no rate".into(),
        Because::WorstEndpoint => match &objective.worst_endpoint {
            Some(worst) => format!("of its endpoints {} is the worst: {}", called(&worst.name), worst.reason),
            None => "its worst endpoint decides".into(),
        },
    }
}

/// Why there is no upper end.
fn few(latency: &Distribution) -> String {
    let needs = format!("an upper bound of the P99 needs {P99_MIN_COUNT}");
    match latency.design_effect {
        Some(effect) if latency.count >= P99_MIN_COUNT => format!(
            "{needs} independent requests, there were {}, which tell as much as {}",
            grouped(latency.count),
            grouped((latency.count as f64 / effect.max(1.0)) as u64)
        ),
        _ => format!("{needs} requests, there were {}", grouped(latency.count)),
    }
}

fn count(requests: u64) -> String {
    format!("{} request{}", grouped(requests), if requests == 1 { "" } else { "s" })
}

fn confidence(latency: &Distribution) -> String {
    match latency.design_effect {
        Some(_) => format!("97.5 % confidence, {}", count(latency.count)),
        // Nobody knows how much they depend on each other.
        None => format!("97.5 % confidence if they are independent, {}", count(latency.count)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::sample::{self, assessed};
    use crate::report::ClientTimeReport;

    fn of(values: impl IntoIterator<Item = u64>, rate_per_s: f64, abandoned: u64) -> String {
        let mut report = sample::small();
        report.services[0].fates.as_mut().unwrap().abandoned.beyond_objective = abandoned;
        let requests = report.services[0].requests.as_mut().unwrap();
        requests.latency = sample::distribution(values);
        (requests.count, requests.rate_per_s) = (requests.latency.count, Some(rate_per_s));
        reason(&assessed(report).services[0])
    }

    #[test]
    fn the_clients_own_time_is_told_and_whether_it_turns_the_verdict() {
        let mut report = sample::small();
        let requests = report.services[0].requests.as_mut().unwrap();
        requests.latency = sample::distribution(micros(1000..9000));
        (requests.count, requests.rate_per_s) = (8000, Some(500.0));
        let mut service = assessed(report).services.remove(0);
        let client = |p99_without_ns| ClientTimeReport { mean_ns: 6_000_000, p99_without_ns };
        service.objective.client_time = Some(client(2_000_000));
        let turned = reason(&service);
        assert!(turned.contains("6 ms of the mean are the clients' own"), "{turned}");
        assert!(turned.ends_with("without that the P99 is about 2 ms, which meets the objective"), "{turned}");
        service.objective.client_time = Some(client(7_000_000));
        assert!(reason(&service).ends_with("about 7 ms"), "{}", reason(&service));
    }

    fn micros(range: std::ops::Range<u64>) -> impl Iterator<Item = u64> {
        range.map(|v| v * 1000)
    }

    #[test]
    fn each_reason_has_its_numbers() {
        let met = of(micros(0..4000), 101.0, 0);
        assert!(met.starts_with("the P99 is at most 3.9") && met.contains("4,000 requests"), "{met}");
        let missed = of(micros(1000..9000), 500.0, 0);
        assert!(missed.starts_with("the P99 is at least 8.8"), "{missed}");
        let holds = of((0..1000).map(|i| if i < 989 { 1_000_000 } else { 9_000_000 }), 500.0, 0);
        assert!(holds.contains("holds the objective of 5 ms"), "{holds}");
        assert_eq!(of(micros(0..4000), 62.0, 0), "62 of 100 requests/s were offered");
        assert_eq!(
            of(micros(0..4000), 62.0, 400),
            "400 requests were left without an answer, at 62 requests/s, not above 100 requests/s"
        );
        assert_eq!(of(micros(0..367), 500.0, 0), "an upper bound of the P99 needs 368 requests, there were 367");
        assert_eq!(of([], 0.0, 0), "no request was answered");
        assert_eq!(of([], 0.0, 5), "no request was answered, and 5 were left without an answer");
    }

    #[test]
    fn requests_that_depend_on_each_other_tell_as_much_as_fewer() {
        let mut report = sample::small();
        let requests = report.services[0].requests.as_mut().unwrap();
        let mut counts = sample::counts(micros(0..1000));
        counts.design_effect = Some(10.0);
        requests.latency = sample::distribution_of(&counts);
        requests.rate_per_s = Some(500.0);
        assert_eq!(
            reason(&assessed(report).services[0]),
            "an upper bound of the P99 needs 368 independent requests, there were 1,000, which tell as much as 100"
        );
    }
}
