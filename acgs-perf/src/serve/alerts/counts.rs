//! What an interval says of each service's objective: how many requests came, and how many missed it.
//!
//! In: a context and its intervals. Out: counts by service. A request is slow if it took longer than the objective, to the end of the
//! bucket that holds it, or was abandoned or cut off, and so is a connection that was refused. What is still open and older than that is
//! slow already, so that a service that hangs is seen although nothing ends; when such a request ends, it is not counted again.

use acgs_perf_common::fates::{ABANDONED, CUT_OFF};
use acgs_perf_common::histogram::{BUCKETS, bucket_index};
use acgs_perf_common::maps::Histogram;

use super::history::Counts;
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
        let names = || self.services.iter().map(|service| &service.name);
        (!names().eq(before.iter().map(|service| &service.name))).then(|| names().cloned().collect())
    }

    /// The counts of an interval, by service as in the context.
    pub fn count(&mut self, interval: &Interval) -> Vec<Counts> {
        let services = self.services.iter_mut().enumerate();
        services.map(|(index, service)| service.count(interval, &Subject::service(index))).collect()
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
            (0..late).for_each(|_| open.in_service.add(9 * MS, false, Default::default));
            open.in_service.add(MS, false, Default::default);
            Look { open: [(Subject::service(1), open)].into(), ..Look::default() }
        });
        Interval { subjects: [(Subject::service(1), sections)].into(), look, ..Interval::default() }
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
