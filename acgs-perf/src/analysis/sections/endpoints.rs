//! What the endpoints of a service say of it as a whole: what was no request, and how many requests have a name.

use acgs_perf_common::endpoint::REQUESTS;
use acgs_perf_protocol::{Kind, Protocol};

use super::tables;
use crate::analysis::model::{CoverageReport, WaitByDesignReport};
use crate::live::probes::endpoints::{LATENCY_HISTOGRAM, SECTION, kind_of};
use crate::snapshot::interval::section;
use crate::sums::{Difference as _, Key, Row, Sections};

/// The sum of all rows of a kind; `None` without any.
fn of_kind(sections: Option<&Sections>, kind: Kind) -> Option<Row> {
    let rows = section(sections, SECTION).iter().filter(|(key, _)| kind_of(key) == Some(kind));
    rows.map(|(_, row)| row.clone()).reduce(|mut all, row| {
        all.sums.add(&row.sums);
        all
    })
}

/// Requests whose answer comes when something happens.
pub fn waits(sections: Option<&Sections>) -> Option<WaitByDesignReport> {
    let all = of_kind(sections, Kind::WaitByDesign)?;
    Some(WaitByDesignReport { count: all.sums.count(REQUESTS), latency: tables::of_histogram(LATENCY_HISTOGRAM, &all) })
}

/// Messages with which connections were opened.
pub fn handshakes(sections: Option<&Sections>) -> u64 {
    of_kind(sections, Kind::Handshake).map_or(0, |all| all.sums.count(REQUESTS))
}

/// How many of `counted` requests are counted by name. That it is encrypted is none.
pub fn coverage(sections: Option<&Sections>, counted: u64) -> CoverageReport {
    let rows = section(sections, SECTION).iter();
    let is_named = |key: &Key| kind_of(key) == Some(Kind::Request) && key.first() != Some(&(Protocol::Tls as u32));
    let named = rows.filter(|(key, _)| is_named(key)).map(|(_, row)| row.sums.count(REQUESTS));
    CoverageReport { named: named.sum::<u64>().min(counted), counted }
}
