//! Endpoints for tests.

use acgs_perf_common::endpoint::{BUCKETS, LATENCY, LATENCY_SUM, POWER, REQUESTS};
use acgs_perf_common::histogram::bucket_index_of_power;
use acgs_perf_protocol::{Kind, Protocol};

use crate::analysis::model::ServiceReport;
use crate::analysis::sections::tables;
use crate::live::probes::endpoints::{SECTION, key_of};
use crate::live::status::{ProbeState, ProbeStatus};
use crate::live::table::Scope;
use crate::sums::{Row, Section, Sections, Sums};

/// A row of an endpoint with these latencies.
pub fn row(name: &str, values: impl IntoIterator<Item = u64>) -> Row {
    let mut words = vec![0i64; (LATENCY + BUCKETS) as usize];
    for ns in values {
        words[LATENCY as usize + bucket_index_of_power(ns, POWER)] += 1;
        words[LATENCY_SUM as usize] += ns as i64;
        words[REQUESTS as usize] += 1;
    }
    Row { sums: Sums::dense(words), label: name.into(), ..Row::default() }
}

/// Endpoints of HTTP with these latencies.
pub fn section(rows: &[(Kind, &str, &[u64])]) -> Section {
    let http = Protocol::Http1 as u32;
    let one = |(kind, name, values): &(Kind, &str, &[u64])| {
        (key_of(http, *kind as u32, name), row(name, values.iter().copied()))
    };
    rows.iter().map(one).collect()
}

/// The probe, counting.
pub fn status() -> ProbeStatus {
    ProbeStatus { name: "endpoints".into(), state: ProbeState::Active, ..ProbeStatus::default() }
}

/// Gives a report of a service these endpoints.
pub fn with_endpoints(service: &mut ServiceReport, endpoints: &[(&str, Vec<u64>)]) {
    let rows: Vec<_> = endpoints.iter().map(|(name, values)| (Kind::Request, *name, &values[..])).collect();
    let sections = Sections::from([(SECTION.into(), section(&rows))]);
    service.tables.extend(tables::tables(Some(&sections), Scope::Service, &[status()], None));
}
