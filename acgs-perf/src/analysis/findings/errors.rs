//! `requests_fail` and `errors_hide_latency`: replies that are errors, and errors that come faster than answers.

use super::context::Context;
use crate::analysis::model::{Confidence, Figure, Finding, Severity, Unit};
use crate::analysis::tables::EndpointRow;

/// Replies that the service calls its own fault.
pub const REQUESTS_FAIL: &str = "requests_fail";
/// An endpoint that fails fast, so that the latency looks better than it is.
pub const ERRORS_HIDE_LATENCY: &str = "errors_hide_latency";

/// At least one in so many, and so many.
const ONE_IN: u64 = 100;
const LEAST: u64 = 10;
/// From one in so many on, it is a warning.
const MANY_ONE_IN: u64 = 20;
/// Endpoints named.
const NAMED: usize = 3;

/// Both.
pub fn look(context: &Context) -> Vec<Finding> {
    // HTTP 4xx is the client's fault.
    let mut failing: Vec<_> = context
        .endpoints
        .iter()
        .map(|row| (row.name.as_str(), row.own_faults(), row.requests))
        .filter(|(_, failed, _)| *failed > 0)
        .collect();
    failing.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    let failed: u64 = failing.iter().map(|(_, failed, _)| failed).sum();
    let all: u64 = context.endpoints.iter().map(|row| row.requests).sum();
    if failed < LEAST || failed.saturating_mul(ONE_IN) < all {
        return Vec::new();
    }
    let mut figures = vec![Figure::new("failed", failed, Unit::Count).against(all)];
    let named = failing.iter().take(NAMED);
    figures
        .extend(named.map(|(name, failed, of)| Figure::new("failed_of", *failed, Unit::Count).of(*name).against(*of)));
    let severity = if failed.saturating_mul(MANY_ONE_IN) >= all { Severity::Warning } else { Severity::Info };
    let mut found = context.found(REQUESTS_FAIL, severity, Confidence::High, figures);
    found.endpoint = failing.first().filter(|(_, most, _)| most * 2 > failed).map(|(name, ..)| (*name).to_owned());
    [found].into_iter().chain(hiding(context)).collect()
}

/// The endpoint of which at least half fails, and whose median is less than half of that of the others.
fn hiding(context: &Context) -> Option<Finding> {
    let fails = |row: &&EndpointRow| {
        let failed = row.own_faults();
        failed >= LEAST && failed.saturating_mul(2) >= row.requests
    };
    let worst = context.endpoints.iter().filter(fails).max_by_key(|row| row.own_faults())?;
    let others = context.endpoints.iter().filter(|row| !fails(row));
    let slowest = others.filter_map(|row| Some((row.latency.p50_ns?, row.requests)));
    let (sum, requests) = slowest.fold((0u128, 0u128), |(sum, all), (ns, requests)| {
        (sum + u128::from(ns) * u128::from(requests), all + u128::from(requests))
    });
    let usual = u64::try_from(sum.checked_div(requests)?).ok()?;
    let own = worst.latency.p50_ns.filter(|own| own.saturating_mul(2) < usual)?;
    let name = worst.name.as_str();
    let figures = vec![
        Figure::new("failed_of", worst.own_faults(), Unit::Count).of(name).against(worst.requests),
        Figure::new("p50", own, Unit::Ns).of(name).against(usual),
    ];
    let found = context.found(ERRORS_HIDE_LATENCY, Severity::Info, Confidence::Medium, figures);
    Some(Finding { endpoint: Some(name.to_owned()), ..found })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::sample::planted::{endpoint, ids, with_endpoints};

    #[test]
    fn one_in_a_hundred_is_told_and_what_clients_did_wrong_is_not() {
        let is_found = |failed, refused| {
            ids(&with_endpoints(&[endpoint("GET /a", 1_000, failed, refused, 1_000_000)]))
                .contains(&REQUESTS_FAIL.to_owned())
        };
        assert!(is_found(10, 0) && !is_found(9, 0) && !is_found(500, 491));
    }

    #[test]
    fn an_endpoint_that_fails_fast_makes_the_service_look_fast() {
        let is_found = |failed, p50| {
            let report = with_endpoints(&[
                endpoint("GET /a", 1_000, 0, 0, 4_000_000),
                endpoint("GET /b", 1_000, failed, 0, p50),
            ]);
            ids(&report).contains(&ERRORS_HIDE_LATENCY.to_owned())
        };
        assert!(is_found(500, 1_900_000) && !is_found(499, 1_900_000) && !is_found(500, 2_100_000));
    }
}
