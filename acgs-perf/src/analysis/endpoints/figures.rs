//! Endpoints as types: whoever needs their figures reads them here, and no table's fields.
//!
//! In: the rows of a section, of an interval or of a whole recording, or the report's table. Out: [`EndpointFigures`], most requests first.

use std::cmp::Reverse;

use acgs_perf_common::endpoint::{
    BUCKETS, FAILED, LATENCY, LATENCY_SUM, OVER_RANGE, POWER, REFUSED, REQUESTS, STREAMED,
};
use acgs_perf_common::histogram::{
    BUCKETS as FINE, bucket_high, bucket_index, bucket_index_of_power, bucket_low_of_power,
};
use acgs_perf_protocol::{Kind, Protocol};

use crate::analysis::counts::Counts;
use crate::analysis::distribution::ended_of;
use crate::analysis::model::{Distribution, ServiceReport};
use crate::analysis::tables::{EndpointRow, rows};
use crate::live::probes::endpoints::{BEFORE, OTHERS, kind_named, kind_of};
use crate::sums::{Difference as _, Key, Row, Section, Sums};

/// What was counted of one endpoint.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EndpointFigures {
    /// Its protocol; empty in the row of those without figures of their own.
    pub protocol: String,
    /// What its requests are; `None` in that row.
    pub kind: Option<Kind>,
    /// Its name.
    pub name: String,
    /// Requests answered.
    pub requests: u64,
    /// Those whose reply is an error.
    pub failed: u64,
    /// Of these, those that the reply calls the client's fault.
    pub refused: u64,
    /// Those whose reply went on as a stream.
    pub streamed: u64,
    /// Latencies.
    pub latency: Latency,
}

/// Latencies in buckets 3.1 % wide.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Latency {
    /// By bucket, with 2^[`POWER`] for each power of two.
    pub buckets: Sums,
    /// What has none.
    pub over_range: u64,
    /// The sum of all.
    pub sum_ns: u64,
}

impl Latency {
    /// Of a row of the section.
    #[must_use]
    pub fn of_words(sums: &Sums) -> Self {
        let words = sums.iter().filter(|(word, count)| (LATENCY..LATENCY + BUCKETS).contains(word) && *count > 0);
        Self {
            buckets: Sums::sparse(words.map(|(word, count)| (word - LATENCY, count))),
            over_range: sums.count(OVER_RANGE),
            sum_ns: sums.count(LATENCY_SUM),
        }
    }

    /// Of a report, which has each bucket's upper bound; nothing where it cannot be read.
    fn of_distribution(of: &Distribution) -> Self {
        let Some(counts) = ended_of(of) else { return Self::default() };
        let filled = counts.buckets.iter().enumerate().filter(|(_, count)| **count > 0);
        let mut buckets = std::collections::BTreeMap::<u32, i64>::new();
        for (fine, count) in filled {
            let bucket = bucket_index_of_power(bucket_high(fine), POWER) as u32;
            *buckets.entry(bucket).or_default() += *count as i64;
        }
        Self { buckets: Sums::sparse(buckets), over_range: counts.over_range, sum_ns: counts.sum_ns.unwrap_or(0) }
    }

    /// Adds others.
    pub fn add(&mut self, other: &Self) {
        self.buckets.add(&other.buckets);
        self.over_range = self.over_range.saturating_add(other.over_range);
        self.sum_ns = self.sum_ns.saturating_add(other.sum_ns);
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().fold(self.over_range, |sum, (_, count)| sum.saturating_add(count as u64))
    }

    /// In the report's buckets: each in the one that holds the upper bound of its own.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = Counts { buckets: vec![0; FINE], sum_ns: Some(self.sum_ns), ..Counts::default() };
        counts.over_range = self.over_range;
        for (bucket, count) in self.buckets.iter() {
            match counts.buckets.get_mut(upper(bucket)) {
                Some(fine) => *fine += count as u64,
                None => counts.over_range += count as u64,
            }
        }
        counts
    }
}

/// The report's bucket that holds the upper bound of this one.
#[must_use]
pub fn upper(bucket: u32) -> usize {
    bucket_index(bucket_low_of_power(bucket as usize + 1, POWER) - 1)
}

/// The report's bucket that holds the lower bound of this one.
#[must_use]
pub fn lower(bucket: u32) -> usize {
    bucket_index(bucket_low_of_power(bucket as usize, POWER))
}

impl EndpointFigures {
    /// Whether it is one that has a name.
    #[must_use]
    pub fn is_named(&self) -> bool {
        self.kind.is_some()
    }

    /// Whether its requests are those that somebody waits for.
    #[must_use]
    pub fn is_of_requests(&self) -> bool {
        self.kind == Some(Kind::Request)
    }
}

/// What a row is called.
#[must_use]
pub fn shown<'a>(key: &Key, row: &'a Row) -> &'a str {
    match key.len() {
        0 => OTHERS,
        1 => BEFORE,
        _ => &row.label,
    }
}

/// Of the rows of a section.
#[must_use]
pub fn of_section(section: &Section) -> Vec<EndpointFigures> {
    let one = |(key, row): (&Key, &Row)| {
        let kind = kind_of(key);
        let protocol = key.first().filter(|_| kind.is_some());
        EndpointFigures {
            protocol: protocol.map_or("", |number| Protocol::from_number(*number as u8).name()).to_owned(),
            kind,
            name: shown(key, row).to_owned(),
            requests: row.sums.count(REQUESTS),
            failed: row.sums.count(FAILED),
            refused: row.sums.count(REFUSED),
            streamed: row.sums.count(STREAMED),
            latency: Latency::of_words(&row.sums),
        }
    };
    in_order(section.iter().map(one).collect())
}

/// Of a report; none where it has none.
#[must_use]
pub fn of_report(service: &ServiceReport) -> Vec<EndpointFigures> {
    let one = |row: EndpointRow| EndpointFigures {
        kind: kind_named(&row.kind),
        latency: Latency::of_distribution(&row.latency),
        protocol: row.protocol,
        name: row.name,
        requests: row.requests,
        failed: row.failed,
        refused: row.refused,
        streamed: row.streamed,
    };
    in_order(rows(&service.tables).unwrap_or_default().into_iter().map(one).collect())
}

fn in_order(mut all: Vec<EndpointFigures>) -> Vec<EndpointFigures> {
    all.sort_by(|a, b| (Reverse(a.requests), &a.protocol, &a.name).cmp(&(Reverse(b.requests), &b.protocol, &b.name)));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::distribution::of_wide;
    use crate::analysis::sections::tables;
    use crate::live::probes::endpoints::{LATENCY_HISTOGRAM, SECTION, key_of};
    use crate::live::status::{ProbeState, ProbeStatus};
    use crate::live::table::Scope;
    use crate::sums::Sections;

    fn row(name: &str, values: &[u64]) -> Row {
        let mut words = vec![0i64; (LATENCY + BUCKETS) as usize];
        for ns in values {
            words[LATENCY as usize + bucket_index_of_power(*ns, POWER)] += 1;
            words[LATENCY_SUM as usize] += *ns as i64;
        }
        words[REQUESTS as usize] = values.len() as i64 + 2;
        words[OVER_RANGE as usize] = 2;
        words[FAILED as usize] = 1;
        Row { sums: Sums::dense(words), label: name.into(), ..Row::default() }
    }

    #[test]
    fn a_report_says_what_the_section_did() {
        let values: Vec<u64> = (0..500u64).map(|at| at * at * 7_919).chain([0, 63, 64, 255, (1 << 36) - 1]).collect();
        let http = Protocol::Http1 as u32;
        let section = Section::from([
            (key_of(http, Kind::Request as u32, "GET /a"), row("GET /a", &values)),
            (key_of(http, Kind::WaitByDesign as u32, "GET /b"), row("GET /b", &values[..9])),
            (Key::new(), row("", &values[..3])),
        ]);
        let found = of_section(&section);
        let names: Vec<_> = found.iter().map(|of| (of.protocol.as_str(), of.kind, of.name.as_str())).collect();
        assert_eq!(
            names,
            [
                ("http", Some(Kind::Request), "GET /a"),
                ("http", Some(Kind::WaitByDesign), "GET /b"),
                ("", None, "others")
            ]
        );
        assert_eq!((found[0].requests, found[0].latency.count(), found[0].failed), (507, 507, 1));
        let sections = Sections::from([(SECTION.into(), section.clone())]);
        let status = ProbeStatus { name: "endpoints".into(), state: ProbeState::Active, ..Default::default() };
        let mut service = crate::analysis::sample::small().services.remove(0);
        service.tables = tables::tables(Some(&sections), Scope::Service, &[status], None);
        assert_eq!(of_report(&service), found);
        let counts = found[0].latency.counts();
        let of_table = tables::of_histogram(LATENCY_HISTOGRAM, &section[&key_of(http, Kind::Request as u32, "GET /a")]);
        assert_eq!(of_wide(&counts, POWER), of_table);
    }
}
