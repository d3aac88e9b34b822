//! What an interval says of each service's objective: how many requests came, and how many missed it.
//!
//! In: a context and its intervals. Out: counts by service. A request is slow if it took longer than the objective, to the end of the
//! bucket that holds it, or was abandoned or cut off, and so is a connection that was refused. What is still open and older than that is
//! slow already, so that a service that hangs is seen although nothing ends; when such a request ends, it is not counted again.

use acgs_perf_common::endpoint::{BUCKETS as BUCKETS_OF_ENDPOINT, LATENCY as LATENCY_OF_ENDPOINT, OVER_RANGE};
use acgs_perf_common::fates::{ABANDONED, CUT_OFF};
use acgs_perf_common::histogram::{BUCKETS, bucket_index};
use acgs_perf_common::maps::Histogram;

use super::super::endpoint_metrics::bucket;
use super::super::endpoints::named;
use super::history::Counts;
use crate::analysis::endpoints::Naming;
use crate::discover::EndpointRules;
use crate::live::probes::endpoints::SECTION;
use crate::live::probes::request::{FATES, LATENCY};
use crate::snapshot::fates::REFUSED;
use crate::snapshot::interval::{row, section};
use crate::snapshot::open::OpenRequests;
use crate::snapshot::{Context, Interval, Subject};
use crate::sums::Sums;

/// Counts intervals.
#[derive(Debug, Default)]
pub struct Counter {
    services: Vec<Service>,
    endpoints: Vec<Endpoint>,
}

/// An endpoint with an objective of its own.
#[derive(Clone, Debug)]
struct Endpoint {
    /// The service's name, a blank, and its own.
    name: String,
    /// Which service's it is.
    index: usize,
    rules: EndpointRules,
    /// The last bucket of what keeps to the objective.
    bound: u32,
}

#[derive(Clone, Debug)]
struct Service {
    name: String,
    /// The last bucket of what keeps to the objective.
    bound: u32,
    /// Open requests that were late at the last look.
    late: i64,
}

impl Counter {
    /// Takes what is recorded now; the names, if they are others than before.
    pub fn set_context(&mut self, context: &Context) -> Option<Vec<String>> {
        let before = std::mem::take(&mut self.services);
        let service = |service: &crate::snapshot::ServiceContext| Service {
            name: service.name.clone(),
            bound: bucket_index(service.objective.p99.as_nanos() as u64).min(BUCKETS - 1) as u32,
            late: before.iter().find(|old| old.name == service.name).map_or(0, |old| old.late),
        };
        self.services = context.services.iter().map(service).collect();
        let endpoints = context.services.iter().enumerate().flat_map(|(index, service)| {
            let limits = service.endpoints.endpoints.iter().filter_map(|(name, rule)| Some((name, rule.p99?)));
            limits.map(move |(name, p99)| Endpoint {
                name: format!("{} {name}", service.name),
                index,
                rules: service.endpoints.clone(),
                bound: bucket(p99),
            })
        });
        let endpoints_before = std::mem::replace(&mut self.endpoints, endpoints.collect());
        let names = |services: &[Service], endpoints: &[Endpoint]| -> Vec<String> {
            let of_endpoints = endpoints.iter().map(|endpoint| endpoint.name.clone());
            services.iter().map(|service| service.name.clone()).chain(of_endpoints).collect()
        };
        let now = names(&self.services, &self.endpoints);
        (now != names(&before, &endpoints_before)).then_some(now)
    }

    /// The counts of an interval, by service as in the context, and behind them by endpoint.
    pub fn count(&mut self, interval: &Interval) -> Vec<Counts> {
        let services = self.services.iter_mut().enumerate();
        let services = services.map(|(index, service)| service.count(interval, &Subject::service(index)));
        services.chain(self.endpoints.iter().map(|endpoint| endpoint.count(interval))).collect()
    }
}

impl Endpoint {
    /// Endpoints are read every tenth interval, and then count what came since.
    fn count(&self, interval: &Interval) -> Counts {
        let rows = section(interval.of(&Subject::service(self.index)), SECTION);
        let mut counts = Counts::default();
        if rows.is_empty() {
            return counts;
        }
        let naming = Naming::new(&self.rules);
        let wanted = self.name.split_once(' ').map_or("", |(_, name)| name);
        for (key, row) in rows {
            if named(&naming, key, row).is_none_or(|(_, name)| name != wanted) {
                continue;
            }
            for (word, count) in row
                .sums
                .iter()
                .filter(|(word, _)| (LATENCY_OF_ENDPOINT..LATENCY_OF_ENDPOINT + BUCKETS_OF_ENDPOINT).contains(word))
            {
                counts.requests += count;
                counts.slow += if word > LATENCY_OF_ENDPOINT + self.bound { count } else { 0 };
            }
            counts.requests += row.sums.get(OVER_RANGE);
            counts.slow += row.sums.get(OVER_RANGE);
        }
        counts
    }
}

impl Service {
    fn count(&mut self, interval: &Interval, subject: &Subject) -> Counts {
        let of = interval.of(subject);
        let latency = &row(of, LATENCY, &[Histogram::Latency as u32]).sums;
        let (mut requests, mut slow) = (0, above(latency, self.bound));
        latency.iter().for_each(|(_, count)| requests += count);
        let fates = &row(of, FATES, &[]).sums;
        let mut missed = fates.get(ABANDONED) + fates.get(CUT_OFF);
        missed += section(of, REFUSED).values().map(|row| row.sums.get(0)).sum::<i64>();
        if let Some(look) = &interval.look {
            let late = look.open.get(subject).map_or(0, |open| self.late(open));
            missed += late - self.late;
            self.late = late;
        }
        requests += missed;
        slow += missed;
        Counts { requests, slow }
    }

    /// Of replies under way, which are the third stage, the latency so far is in the histogram.
    fn late(&self, open: &OpenRequests) -> i64 {
        [&open.unread, &open.in_service].iter().map(|open| above(&open.ages, self.bound)).sum()
    }
}

fn above(sums: &Sums, bound: u32) -> i64 {
    sums.iter().rev().take_while(|(bucket, _)| *bucket > bound).map(|(_, count)| count).sum()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::discover::Objective;
    use crate::snapshot::{Look, ServiceContext};
    use crate::sums::{Row, Section, Sections};

    const MS: u64 = 1_000_000;

    fn at(ms: u64) -> u32 {
        bucket_index(ms * MS) as u32
    }

    fn context() -> Context {
        let objective = Objective { p99: Duration::from_millis(5), ..Objective::default() };
        let service = |name: &str| ServiceContext { name: name.into(), objective, ..ServiceContext::default() };
        Context { services: vec![service("a"), service("b")], ..Context::default() }
    }

    fn interval(latency: Sums, abandoned: i64, late: Option<u64>) -> Interval {
        let rows = |key, sums| Section::from([(key, Row { sums, ..Row::default() })]);
        let sections = Sections::from([
            (LATENCY.into(), rows(vec![Histogram::Latency as u32], latency)),
            (FATES.into(), rows(vec![], Sums::sparse([(ABANDONED, abandoned)]))),
        ]);
        let look = late.map(|late| {
            let mut open = OpenRequests::default();
            (0..late).for_each(|_| open.in_service.add(1, 9 * MS, false, Default::default));
            open.in_service.add(1, MS, false, Default::default);
            Look { open: [(Subject::service(1), open)].into(), ..Look::default() }
        });
        Interval { subjects: [(Subject::service(1), sections)].into(), look, ..Interval::default() }
    }

    #[test]
    fn an_endpoint_with_an_objective_is_counted_by_itself() {
        use crate::analysis::endpoints::sample::section;
        let mut context = context();
        let rule = crate::discover::EndpointRule { p99: Some(Duration::from_millis(2)), ..Default::default() };
        context.services[1].endpoints.endpoints.insert("GET /a".into(), rule);
        let mut counter = Counter::default();
        assert_eq!(counter.set_context(&context).unwrap(), ["a", "b", "b GET /a"]);
        assert_eq!(counter.set_context(&context), None);
        let rows = section(&[
            (acgs_perf_protocol::Kind::Request, "GET /a", &[MS, MS, 3 * MS]),
            (acgs_perf_protocol::Kind::Request, "GET /b", &[9 * MS]),
        ]);
        let sections = Sections::from([(SECTION.into(), rows)]);
        let interval = Interval { subjects: [(Subject::service(1), sections)].into(), ..Interval::default() };
        assert_eq!(counter.count(&interval)[2], Counts { requests: 3, slow: 1 });
        assert_eq!(counter.count(&Interval::default())[2], Counts::default());
    }

    #[test]
    fn each_request_is_counted_once_whatever_becomes_of_it() {
        let mut counter = Counter::default();
        assert_eq!(counter.set_context(&context()).unwrap(), ["a", "b"]);
        assert_eq!(counter.set_context(&context()), None);
        let mut b = |interval| counter.count(&interval)[1];
        let counts = |requests, slow| Counts { requests, slow };
        assert_eq!(b(interval(Sums::sparse([(at(1), 90), (at(5), 5), (at(7), 5)]), 2, None)), counts(102, 7));
        // Four are late; then one is answered, one is given up, and two are late still.
        assert_eq!(b(interval(Sums::default(), 0, Some(4))), counts(4, 4));
        assert_eq!(b(interval(Sums::sparse([(at(20), 1)]), 1, Some(2))), counts(0, 0));
        // A reply that goes on becomes a slow one.
        assert_eq!(b(interval(Sums::sparse([(at(1), -1), (at(20), 1)]), 0, None)), counts(0, 1));
        assert_eq!(b(interval(Sums::default(), 0, Some(0))), counts(-2, -2));
    }
}
