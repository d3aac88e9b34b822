//! Which endpoints the slowest requests of a service are of.
//!
//! In: a service of the report, and a quantile. Out: endpoints by how many of the requests above it are theirs.
//!
//! The requests above the quantile q are (1 − q) · n, as in a cut of the attribution. Endpoints have buckets 3.1 % wide, and the quantile lies in
//! one of them. What lies in the buckets above is counted exactly. **Assumption:** of the one bucket each endpoint has the same share of its
//! requests above the quantile. Each number is rounded once.

use acgs_perf_common::endpoint::{BUCKETS, POWER};
use acgs_perf_common::histogram::{bucket_high, bucket_index_of_power};

use super::figures::{EndpointFigures, Latency, of_report};
use crate::analysis::distribution::ended_of;
use crate::analysis::model::{ServiceReport, TailEndpointReport};
use crate::analysis::number::share4;
use crate::analysis::tail::PARTS;
use crate::live::probes::endpoints::OTHERS;

/// So many endpoints are told.
const MOST: usize = 8;

/// The endpoints of the requests above a quantile, of which `tail` ÷ [`PARTS`] are above; none where they are not known.
#[must_use]
pub fn tail(service: &ServiceReport, tail: u128) -> Vec<TailEndpointReport> {
    let Some(latency) = service.requests.as_ref().and_then(|requests| ended_of(&requests.latency)) else {
        return Vec::new();
    };
    let filled = latency.buckets.iter().enumerate().filter(|(_, count)| **count > 0);
    let mut all = vec![0u64; BUCKETS as usize];
    for (fine, count) in filled {
        all[bucket_index_of_power(bucket_high(fine), POWER)] += count;
    }
    all.push(latency.over_range);
    let excluded = service.requests.as_ref().and_then(|requests| requests.by_rule.as_ref());
    let is_excluded = |name: &String| excluded.is_some_and(|rule| rule.endpoints.contains(name));
    let figures = of_report(service);
    let named = figures.iter().filter(|of| of.is_of_requests() && !is_excluded(&of.name));
    let Some(cut) = Cut::new(&all, tail) else { return Vec::new() };
    let mut found: Vec<(u128, &EndpointFigures)> =
        named.map(|of| (cut.above(&of.latency), of)).filter(|(above, _)| *above > 0).collect();
    if found.is_empty() {
        return Vec::new();
    }
    found.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| (&a.1.protocol, &a.1.name).cmp(&(&b.1.protocol, &b.1.name))));
    found.truncate(MOST);
    let told: u128 = found.iter().map(|(above, _)| above).sum();
    let one = |protocol: &str, name: &str, above: u128| TailEndpointReport {
        protocol: protocol.to_owned(),
        name: name.to_owned(),
        requests: u64::try_from((above + PARTS / 2) / PARTS).unwrap_or(u64::MAX),
        share: share4(above, cut.all),
    };
    let mut endpoints: Vec<_> = found.iter().map(|(above, of)| one(&of.protocol, &of.name, *above)).collect();
    let rest = one("", OTHERS, cut.all.saturating_sub(told));
    endpoints.extend((rest.requests > 0).then_some(rest));
    endpoints
}

/// Where the quantile divides the wide buckets.
struct Cut {
    bucket: usize,
    /// Of so many requests of that bucket ...
    whole: u128,
    /// ... so many, times `PARTS`, are above.
    part: u128,
    /// All that are above, times `PARTS`.
    all: u128,
}

impl Cut {
    fn new(buckets: &[u64], tail: u128) -> Option<Self> {
        let total: u128 = buckets.iter().map(|count| u128::from(*count)).sum();
        let all = total.saturating_mul(tail);
        let mut seen = 0u128;
        for (bucket, count) in buckets.iter().enumerate().rev().filter(|(_, count)| **count > 0) {
            let whole = u128::from(*count);
            if seen + whole * PARTS >= all {
                return Some(Self { bucket, whole, part: all - seen, all });
            }
            seen += whole * PARTS;
        }
        None
    }

    /// How many of these are above, times `PARTS`.
    fn above(&self, of: &Latency) -> u128 {
        let over_range = (BUCKETS, of.over_range as i64);
        of.buckets.iter().chain([over_range]).fold(0, |sum, (bucket, count)| {
            let count = u128::from(count.max(0) as u64);
            sum + match (bucket as usize).cmp(&self.bucket) {
                std::cmp::Ordering::Less => 0,
                std::cmp::Ordering::Equal => count * self.part / self.whole,
                std::cmp::Ordering::Greater => count * PARTS,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::endpoints::sample::with_endpoints;
    use crate::analysis::sample;

    fn of(endpoints: &[(&str, Vec<u64>)], more: &[u64], parts: u128) -> Vec<(String, u64, f64)> {
        let mut service = sample::small().services.remove(0);
        let all = endpoints.iter().flat_map(|(_, values)| values).chain(more).copied();
        service.requests.as_mut().unwrap().latency = sample::distribution(all);
        with_endpoints(&mut service, endpoints);
        tail(&service, parts).into_iter().map(|of| (of.name, of.requests, of.share)).collect()
    }

    #[test]
    fn who_is_above_the_quantile_is_counted_and_the_rest_is_summed_up() {
        let fast = vec![1_000; 9_900];
        let slow = vec![50_000_000; 84];
        let found = of(&[("GET /fast", fast.clone()), ("GET /slow", slow)], &[70_000_000; 16], 100);
        assert_eq!(found, [("GET /slow".into(), 84, 0.84), ("others".into(), 16, 0.16)]);
        // Of one bucket each has its share: 300 of 10,000 requests, of which 100 are above.
        let found = of(
            &[("GET /a", vec![9_000_000; 200]), ("GET /b", vec![9_000_000; 100]), ("GET /c", fast[..9_700].to_vec())],
            &[],
            100,
        );
        assert_eq!(found, [("GET /a".into(), 67, 0.6667), ("GET /b".into(), 33, 0.3333)]);
    }

    #[test]
    fn no_more_than_eight_have_a_name() {
        let names: Vec<String> = (b'a'..=b'l').map(|letter| format!("GET /{}", char::from(letter))).collect();
        let endpoints: Vec<(&str, Vec<u64>)> =
            names.iter().enumerate().map(|(at, name)| (name.as_str(), vec![1_000_000; 100 + at])).collect();
        let found = of(&endpoints, &[], 10_000);
        assert_eq!((found.len(), found[0].0.as_str(), found[8].0.as_str()), (9, "GET /l", "others"));
        assert_eq!(found.iter().map(|of| of.1).sum::<u64>(), 12 * 100 + 66);
        assert!((found.iter().map(|of| of.2).sum::<f64>() - 1.0).abs() < 0.001);
        assert_eq!(of(&[], &[5; 100], 100), []);
    }
}
