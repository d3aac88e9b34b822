//! Endpoints in sentences: which of them the slowest requests are of, and why one has its verdict.
//!
//! In: what the report says of them. Out: a sentence, and a reason without its end.

use crate::analysis::P99_MIN_COUNT;
use crate::report::{Because, EndpointObjectiveReport, TailEndpointReport};
use crate::units::{duration, grouped, percent, rate};

/// The first endpoint is told if it has this share of the slowest requests, the second if it has this.
const FIRST: f64 = 0.4;
const SECOND: f64 = 0.25;
/// Letters of a name.
const LONGEST: usize = 100;

/// Which endpoints the slowest requests are of, as a sentence behind another one about them; `None` if nothing is to be said.
pub fn of_tail(endpoints: &[TailEndpointReport]) -> Option<String> {
    let named = |at: usize, least: f64| endpoints.get(at).filter(|of| of.share >= least && !of.protocol.is_empty());
    let first = named(0, FIRST)?;
    let share = |of: &TailEndpointReport| percent((of.share * 10_000.0).round() as u64, 10_000);
    if endpoints.len() == 1 {
        return Some(format!(" All of them are {}.", called(&first.name)));
    }
    let second = named(1, SECOND).map(|of| format!(", {} {}", share(of), called(&of.name)));
    Some(format!(" {} of them are {}{}.", share(first), called(&first.name), second.unwrap_or_default()))
}

/// A name in a sentence.
pub fn called(name: &str) -> String {
    if name.chars().count() <= LONGEST {
        return name.to_owned();
    }
    format!("{}…", name.chars().take(LONGEST - 1).collect::<String>())
}

/// Why an endpoint has its verdict.
pub fn reason(of: &EndpointObjectiveReport) -> String {
    let goal = duration(of.p99_ns);
    let count = format!("{} request{}", grouped(of.requests), if of.requests == 1 { "" } else { "s" });
    let [low, high] = of.found_p99_ci95_ns.unwrap_or([of.found_p99_ci95_low_ns.unwrap_or(0), u64::MAX]);
    let confidence = match of.design_effect {
        Some(_) => format!("97.5 % confidence, {count}"),
        None => format!("97.5 % confidence if they are independent, {count}"),
    };
    match of.because {
        None => "not measured: the probe endpoints was not active".into(),
        Some(Because::NothingAnswered) => "no request was answered".into(),
        Some(Because::P99AtLeast) => format!("the P99 is at least {}, not below {goal} ({confidence})", duration(low)),
        Some(Because::P99AtMost) => format!("the P99 is at most {}, below {goal} ({confidence})", duration(high)),
        Some(Because::IntervalHoldsObjective) => format!(
            "the 95 % interval of the P99, {} to {}, holds the objective of {goal} ({count})",
            duration(low),
            duration(high)
        ),
        Some(Because::FewRequests) => match of.design_effect.filter(|_| of.requests >= P99_MIN_COUNT) {
            Some(effect) => format!(
                "an upper bound of the P99 needs {P99_MIN_COUNT} independent requests, there were {}, which tell as much as {}",
                grouped(of.requests),
                grouped((of.requests as f64 / effect.max(1.0)) as u64)
            ),
            None => {
                format!("an upper bound of the P99 needs {P99_MIN_COUNT} requests, there were {}", grouped(of.requests))
            }
        },
        Some(Because::OverRange) => format!("the upper bound of the P99 is over range, at 68.7 s or more ({count})"),
        Some(Because::LowRate) => {
            format!("{} of {} requests/s were offered", rate(of.rate_per_s.unwrap_or(0.0)), rate(of.min_rps))
        }
        Some(Because::NoRate) => "the window has no length, so there is no rate".into(),
        // Nobody knows of which endpoint a request without a reply would have been.
        Some(other) => format!("{other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tail(of: &[(&str, &str, f64)]) -> Option<String> {
        let one = |(protocol, name, share): &(&str, &str, f64)| TailEndpointReport {
            protocol: (*protocol).into(),
            name: (*name).into(),
            requests: 1,
            share: *share,
        };
        of_tail(&of.iter().map(one).collect::<Vec<_>>())
    }

    #[test]
    fn the_tail_names_who_makes_most_of_it() {
        let report = ("http", "GET /report/{id}", 0.84);
        assert_eq!(tail(&[report, ("", "others", 0.16)]).unwrap(), " 84 % of them are GET /report/{id}.");
        assert_eq!(
            tail(&[("http", "GET /a", 0.6), ("http", "GET /b", 0.3), ("", "others", 0.1)]).unwrap(),
            " 60 % of them are GET /a, 30 % GET /b."
        );
        assert_eq!(tail(&[("redis", "GET", 1.0)]).unwrap(), " All of them are GET.");
        assert_eq!(tail(&[("http", "GET /a", 0.39), ("", "others", 0.61)]), None);
        assert_eq!(tail(&[("", "others", 1.0)]), None);
        let long = "x".repeat(300);
        assert!(tail(&[("postgres", &long, 0.9), ("", "others", 0.1)]).unwrap().chars().count() < 130);
        assert_eq!(tail(&[]), None);
    }

    #[test]
    fn each_reason_has_its_numbers() {
        let of = |because, effect| {
            reason(&EndpointObjectiveReport {
                p99_ns: 2_000_000,
                min_rps: 50.0,
                requests: 1_000,
                rate_per_s: Some(40.0),
                found_p99_ci95_ns: Some([1_000_000, 3_000_000]),
                design_effect: effect,
                because: Some(because),
                ..EndpointObjectiveReport::default()
            })
        };
        let told = of(Because::P99AtLeast, None);
        assert_eq!(
            told,
            "the P99 is at least 1 ms, not below 2 ms (97.5 % confidence if they are independent, 1,000 requests)"
        );
        assert!(
            of(Because::P99AtMost, Some(2.0)).ends_with("at most 3 ms, below 2 ms (97.5 % confidence, 1,000 requests)")
        );
        assert!(of(Because::IntervalHoldsObjective, None).contains("1 ms to 3 ms, holds the objective of 2 ms"));
        assert!(of(Because::FewRequests, Some(10.0)).ends_with("which tell as much as 100"));
        assert_eq!(of(Because::LowRate, None), "40 of 50 requests/s were offered");
    }
}
