//! Endpoints of two recordings: which of them both have, and by what they are compared.
//!
//! In: intervals, or a report. Out: latencies and shares of endpoints, whole and by block: a block is as long as endpoints were not read, ten
//! intervals. Of a path whose words one of the recordings has put together, the other's are put together too.

use std::collections::{BTreeMap, BTreeSet};

use acgs_perf_common::endpoint::{BUCKETS, LATENCY, OVER_RANGE, REQUESTS};
use acgs_perf_common::histogram::BUCKETS as FINE;
use acgs_perf_protocol::{Kind, Protocol};

use super::model::EndpointOnly;
use crate::analysis::endpoints::{Naming, Paths, of_report as figures_of, upper};
use crate::analysis::model::ServiceReport;
use crate::discover::EndpointRules;
use crate::live::probes::endpoints::{SECTION, kind_of};
use crate::snapshot::interval::section;
use crate::snapshot::{Interval, Subject};
use crate::sums::{Difference as _, Section, Sums};

/// With fewer requests on either side, or a smaller share on both, an endpoint is not compared.
const LEAST_REQUESTS: u64 = 1_000;
const LEAST_SHARE: f64 = 0.01;
/// So many endpoints of a service are compared, those with the most requests.
const MOST: usize = 20;
/// So many requests of an endpoint that the other side has not are told.
const LEAST_ONLY: u64 = 100;

type Endpoints = BTreeMap<String, EndpointSide>;

/// An endpoint of a recording.
#[derive(Clone, Debug, Default)]
pub struct EndpointSide {
    /// Requests that were answered.
    pub requests: u64,
    /// Latencies by bucket of a service; the last one is over range.
    pub latency: Vec<u64>,
    /// The same by block.
    pub latencies: Vec<Sums>,
    /// Requests of all endpoints, and its own, by block.
    pub share: Vec<(f64, f64)>,
}

/// Those of a recording, by name.
pub fn of_intervals(intervals: &[Interval], whole: &Interval, subject: &Subject, rules: &EndpointRules) -> Endpoints {
    let rows = section(whole.of(subject), SECTION);
    let naming = Naming::of(rules, rows);
    let mut all = Endpoints::new();
    for (name, sums) in by_name(&naming, rows) {
        let side = all.entry(name).or_default();
        side.requests = sums.count(REQUESTS);
        side.latency = dense(&fine(&sums));
    }
    let blocks =
        intervals.iter().map(|interval| section(interval.of(subject), SECTION)).filter(|rows| !rows.is_empty());
    for rows in blocks {
        let block = by_name(&naming, rows);
        let requests: f64 = block.values().map(|sums| sums.get(REQUESTS) as f64).sum();
        for (name, side) in &mut all {
            let sums = block.get(name);
            side.latencies.push(sums.map(fine).unwrap_or_default());
            side.share.push((requests, sums.map_or(0.0, |sums| sums.get(REQUESTS) as f64)));
        }
    }
    all
}

/// Those of a report, which has no blocks.
pub fn of_report(service: &ServiceReport) -> Endpoints {
    let mut all = Endpoints::new();
    let figures: Vec<_> = figures_of(service).into_iter().filter(|of| of.is_of_requests()).collect();
    let requests: f64 = figures.iter().map(|of| of.requests as f64).sum();
    for of in figures {
        let side = all.entry(of.name.clone()).or_default();
        let counts = of.latency.counts();
        let mut latency = counts.buckets;
        latency.push(counts.over_range);
        (side.requests, side.latency) = (of.requests, latency);
        side.share = vec![(requests, of.requests as f64)];
    }
    all
}

/// Requests by name; of a name in several protocols all.
fn by_name(naming: &Naming<'_>, rows: &Section) -> BTreeMap<String, Sums> {
    let mut all = BTreeMap::<String, Sums>::new();
    for (key, row) in rows {
        let name = naming.name(key, &row.label);
        if kind_of(key).is_some_and(|kind| naming.kind(&name, kind) == Kind::Request) {
            all.entry(name.into_owned()).or_default().add(&row.sums);
        }
    }
    all
}

/// The latencies in the service's buckets; what is over range behind them.
fn fine(sums: &Sums) -> Sums {
    let own = sums.iter().filter(|(word, _)| (LATENCY..LATENCY + BUCKETS).contains(word));
    let own = own.map(|(word, count)| (upper(word - LATENCY) as u32, count));
    let mut all = BTreeMap::<u32, i64>::new();
    own.chain([(FINE as u32, sums.get(OVER_RANGE))]).for_each(|(at, count)| *all.entry(at).or_default() += count);
    Sums::sparse(all)
}

fn dense(sums: &Sums) -> Vec<u64> {
    let mut latency = vec![0; FINE + 1];
    sums.iter().for_each(|(at, count)| latency[(at as usize).min(FINE)] += u64::try_from(count).unwrap_or(0));
    latency
}

/// Endpoints of both sides under the same names.
pub fn matched(old: &Endpoints, new: &Endpoints) -> [Endpoints; 2] {
    let http = Protocol::Http1 as u32;
    let mut paths = Paths::new(usize::MAX);
    let parts = |name: &str| {
        name.split_once(' ').filter(|(_, path)| path.starts_with('/')).map(|(a, b)| (a.to_owned(), b.to_owned()))
    };
    let differ: BTreeSet<&String> = old
        .keys()
        .filter(|name| !new.contains_key(*name))
        .chain(new.keys().filter(|name| !old.contains_key(*name)))
        .collect();
    for (method, path) in differ.iter().filter_map(|name| parts(name)) {
        paths.add(http, &method, &path);
    }
    [old, new].map(|side| {
        let mut all = Endpoints::new();
        for (name, of) in side {
            let renamed = parts(name).filter(|_| differ.contains(name));
            let name = renamed.map_or_else(
                || name.clone(),
                |(method, path)| format!("{method} {}", paths.name(http, &method, &path)),
            );
            all.entry(name).or_default().add(of);
        }
        all
    })
}

impl EndpointSide {
    /// Adds another endpoint of the same recording.
    fn add(&mut self, other: &Self) {
        let blocks = self.latencies.len();
        if blocks == 0 && self.latency.is_empty() {
            *self = other.clone();
            return;
        }
        self.requests += other.requests;
        self.latency.iter_mut().zip(&other.latency).for_each(|(sum, count)| *sum += count);
        self.latencies.iter_mut().zip(&other.latencies).for_each(|(sum, of)| sum.add(of));
        self.share.iter_mut().zip(&other.share).for_each(|(sum, of)| sum.1 += of.1);
    }

    /// Adds what another recording has of it.
    pub fn join(&mut self, later: Self) {
        match self.latency.is_empty() {
            true => self.latency = later.latency,
            false => self.latency.iter_mut().zip(&later.latency).for_each(|(sum, count)| *sum += count),
        }
        self.requests += later.requests;
        self.latencies.extend(later.latencies);
        self.share.extend(later.share);
    }

    fn share(&self) -> f64 {
        let (all, own) = self.share.iter().fold((0.0, 0.0), |sum, block| (sum.0 + block.0, sum.1 + block.1));
        if all > 0.0 { own / all } else { 0.0 }
    }
}

/// The names that are compared.
pub fn compared(old: &Endpoints, new: &Endpoints) -> Vec<String> {
    let both = old.iter().filter_map(|(name, of)| Some((name, of, new.get(name)?)));
    let mut both: Vec<_> = both
        .filter(|(_, old, new)| old.requests.min(new.requests) >= LEAST_REQUESTS)
        .filter(|(_, old, new)| old.share().max(new.share()) >= LEAST_SHARE)
        .collect();
    both.sort_by_key(|(name, old, new)| (std::cmp::Reverse(old.requests.max(new.requests)), (*name).clone()));
    both.into_iter().take(MOST).map(|(name, ..)| name.clone()).collect()
}

/// Endpoints of one side that the other has not, most requests first.
pub fn only(own: &Endpoints, other: &Endpoints) -> Vec<EndpointOnly> {
    // Of a recording that did not know endpoints nothing has vanished.
    let gone = own.iter().filter(|(name, of)| of.requests >= LEAST_ONLY && !other.contains_key(*name));
    let mut all: Vec<EndpointOnly> = gone
        .filter(|_| !other.is_empty())
        .map(|(name, of)| EndpointOnly { name: name.clone(), requests: of.requests })
        .collect();
    all.sort_by(|a, b| b.requests.cmp(&a.requests).then_with(|| a.name.cmp(&b.name)));
    all.truncate(MOST);
    all
}

#[cfg(test)]
mod tests {
    use super::super::model::{Figure, Told};
    use super::super::side::Side;
    use super::super::{Limits, compare};
    use super::*;
    use crate::analysis::endpoints::sample::{section as endpoints, status};
    use crate::analysis::sample::capture;
    use crate::snapshot::Timeline;

    /// Forty blocks, in each of which these endpoints are asked for; the latencies vary a little.
    fn side(of: &[(&str, usize, u64)]) -> Side {
        let mut capture = capture();
        capture.context.probes.push(status());
        let first = capture.intervals.iter().next().unwrap();
        let mut intervals = Vec::new();
        for at in 0..40u64 {
            let values: Vec<(&str, Vec<u64>)> = of
                .iter()
                .map(|(name, count, ns)| {
                    // One in twenty is slow, by five amounts.
                    let slow = |n: usize| if n.is_multiple_of(20) { ns * (n as u64 / 20 % 5 + 1) / 3 } else { 0 };
                    let one = |n: usize| ns + (n as u64 * 7_919 + at * 31) % (ns / 4) + slow(n);
                    (*name, (0..*count).map(one).collect())
                })
                .collect();
            let rows: Vec<_> = values.iter().map(|(name, values)| (Kind::Request, *name, &values[..])).collect();
            let mut interval = first.clone();
            interval.start_ns = at * first.len_ns;
            interval.rest_start_ns = interval.start_ns;
            interval.subjects.values_mut().next().unwrap().insert(SECTION.into(), endpoints(&rows));
            intervals.push(interval);
        }
        capture.intervals = Timeline::of(intervals);
        Side::of_capture("x", &capture, None)
    }

    #[test]
    fn a_slower_endpoint_is_told_and_the_other_is_not() {
        let old = side(&[("GET /a", 200, 1_000_000), ("GET /b", 200, 1_000_000), ("GET /gone", 20, 1_000_000)]);
        let new = side(&[("GET /a", 200, 1_000_000), ("GET /b", 200, 2_000_000), ("GET /new", 20, 1_000_000)]);
        let found = compare(&old, &new, &Limits::default());
        let service = &found.services[0];
        let told = |endpoint: &str| {
            let figure = Figure::EndpointLatency { endpoint: endpoint.into(), quantile: 9_900 };
            service.figures.iter().find(|shift| shift.figure == figure).map(|shift| shift.told)
        };
        assert_eq!((told("GET /a"), told("GET /b"), told("GET /gone")), (Some(Told::Nothing), Some(Told::Up), None));
        let names = |of: &[EndpointOnly]| of.iter().map(|of| (of.name.clone(), of.requests)).collect::<Vec<_>>();
        assert_eq!(names(&service.endpoints_only_old), [("GET /gone".to_owned(), 800)]);
        assert_eq!(names(&service.endpoints_only_new), [("GET /new".to_owned(), 800)]);
    }

    #[test]
    fn another_mix_of_requests_is_told_as_that() {
        let old = side(&[("GET /a", 200, 1_000_000), ("GET /b", 200, 1_000_000)]);
        let new = side(&[("GET /a", 100, 1_000_000), ("GET /b", 300, 1_000_000)]);
        let found = compare(&old, &new, &Limits::default());
        let figures = &found.services[0].figures;
        let share = |endpoint: &str| {
            let figure = Figure::EndpointShare { endpoint: endpoint.into() };
            figures.iter().find(|shift| shift.figure == figure).map(|shift| (shift.old, shift.new, shift.told))
        };
        assert_eq!(share("GET /a"), Some((0.5, 0.25, Told::Down)));
        assert_eq!(share("GET /b"), Some((0.5, 0.75, Told::Up)));
        assert!(figures.iter().all(|shift| !shift.is_worse()));
    }

    #[test]
    fn words_that_one_side_has_put_together_are_put_together_on_the_other() {
        let names: Vec<String> = (b'a'..=b'z').map(|letter| format!("GET /p/{}", char::from(letter))).collect();
        let many: Vec<_> = names.iter().map(|name| (name.as_str(), 10, 1_000_000)).collect();
        let (old, new) = (side(&many), side(&many[..3]));
        let [old, new] = matched(&old.services[0].endpoints, &new.services[0].endpoints);
        assert_eq!(old.keys().collect::<Vec<_>>(), ["GET /p/{name}"]);
        assert_eq!(new.keys().collect::<Vec<_>>(), ["GET /p/{name}"]);
        assert_eq!((new["GET /p/{name}"].requests, new["GET /p/{name}"].latencies.len()), (1_200, 40));
    }
}
