//! Metrics of endpoints, as OTLP has them.
//!
//! In: the rows of an interval. Out: data points with the attributes that the semantic conventions have for such names. At most 200 names of a
//! service are sent, the others as one.

use std::collections::BTreeMap;

use acgs_perf_common::endpoint::{BUCKETS, FAILED, LATENCY, LATENCY_SUM, OVER_RANGE, REQUESTS};

use super::super::endpoints::{Name, named};
use super::super::protobuf::Message;
use super::points::Metrics;
use crate::analysis::endpoints::{Naming, lower, upper};
use crate::live::probes::endpoints::SECTION;
use crate::snapshot::ServiceContext;
use crate::snapshot::interval::section;
use crate::sums::{Difference as _, Sections, Sums};

/// The endpoints of a service.
pub fn of_service(all: &mut Metrics<'_>, service: &ServiceContext, of: Option<&Sections>) {
    let naming = Naming::new(&service.endpoints);
    let mut rows = BTreeMap::<Name, Sums>::new();
    for (key, row) in section(of, SECTION) {
        let Some(name) = named(&naming, key, row) else { continue };
        let name = all.owed.endpoint(&service.name, name);
        rows.entry(name).or_default().add(&row.sums);
    }
    let (mut requests, mut failed, mut latencies) = (Vec::new(), Vec::new(), Vec::new());
    let names = ["acgs_perf.endpoint.requests", "acgs_perf.endpoint.requests.failed", "acgs_perf.endpoint.latency"];
    for ((protocol, name), sums) in &rows {
        let labels = attributes(protocol, name);
        requests.push(all.count(names[0], &labels, sums.get(REQUESTS)));
        failed.push(all.count(names[1], &labels, sums.get(FAILED)));
        latencies.push(all.distribution(names[2], &labels, &fine(sums), sums.get(LATENCY_SUM)));
    }
    let of_requests: [(&str, &str, Vec<Message>); 2] = [
        (names[0], "Requests answered, by endpoint.", requests),
        (names[1], "Those of them whose reply is an error.", failed),
    ];
    of_requests.into_iter().for_each(|(name, what, points)| all.sum(name, what, "{request}", points));
    let what = "Time from the arrival of a request to the last byte of its reply, by endpoint.";
    all.histograms(names[2], what, &latencies);
}

/// The service's buckets, each count in the middle of its own. Some may be below 0, where a reply that went on has left a bucket.
fn fine(sums: &Sums) -> Sums {
    let own = sums.iter().filter(|(word, _)| (LATENCY..LATENCY + BUCKETS).contains(word));
    let own = own.map(|(word, count)| (word - LATENCY, count)).chain([(BUCKETS, sums.get(OVER_RANGE))]);
    let mut all = BTreeMap::<u32, i64>::new();
    for (bucket, count) in own {
        *all.entry(((lower(bucket) + upper(bucket)) / 2) as u32).or_default() += count;
    }
    Sums::sparse(all)
}

/// What a name is in the semantic conventions.
fn attributes<'a>(protocol: &'a str, name: &'a str) -> Vec<(&'static str, &'a str)> {
    let mut all = vec![("acgs_perf.endpoint", name)];
    all.extend((!protocol.is_empty()).then_some(("acgs_perf.protocol", protocol)));
    match (protocol, name.split_once(' ')) {
        ("http" | "fastcgi", Some((method, route))) => {
            all.extend([("http.request.method", method), ("http.route", route)])
        }
        ("mysql", _) => all.extend([("db.system.name", "mysql"), ("db.query.summary", name)]),
        ("postgres", _) => all.extend([("db.system.name", "postgresql"), ("db.query.summary", name)]),
        ("redis" | "memcached", _) => all.extend([("db.system.name", protocol), ("db.operation.name", name)]),
        _ => {}
    }
    all
}

#[cfg(test)]
mod tests {
    use acgs_perf_protocol::Kind;

    use super::super::delta::Owed;
    use super::super::points::Time;
    use super::*;
    use crate::analysis::endpoints::sample::section;

    #[test]
    fn names_are_attributes_of_the_conventions() {
        let of = |protocol, name| attributes(protocol, name).into_iter().skip(2).collect::<Vec<_>>();
        assert_eq!(of("http", "GET /a/{id}"), [("http.request.method", "GET"), ("http.route", "/a/{id}")]);
        assert_eq!(of("postgres", "select 1"), [("db.system.name", "postgresql"), ("db.query.summary", "select 1")]);
        assert_eq!(of("redis", "GET"), [("db.system.name", "redis"), ("db.operation.name", "GET")]);
        assert_eq!(attributes("", "others"), [("acgs_perf.endpoint", "others")]);
    }

    #[test]
    fn each_endpoint_is_three_points_and_there_are_at_most_201() {
        let names: Vec<String> = (0..300).map(|at| format!("GET /{}", "a".repeat(at + 1))).collect();
        let rows: Vec<_> = names.iter().map(|name| (Kind::Request, name.as_str(), &[5u64, 7_000][..])).collect();
        let sections = Sections::from([(SECTION.into(), section(&rows))]);
        let mut owed = Owed::default();
        let service = ServiceContext { name: "api".into(), ..ServiceContext::default() };
        for _ in 0..2 {
            let mut all = Metrics::new(Time { start_ns: 1, end_ns: 2 }, &mut owed);
            of_service(&mut all, &service, Some(&sections));
            assert_eq!(all.points, 3 * 201);
        }
        let sums = section(&[(Kind::Request, "GET /a", &[5, 7_000])]).into_values().next().unwrap().sums;
        assert_eq!(fine(&sums).iter().map(|(_, count)| count).sum::<i64>(), 2);
    }
}
