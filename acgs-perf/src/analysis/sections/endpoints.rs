//! What the endpoints of a service say of it as a whole: what was no request, how many requests have a name, and what the configuration makes
//! of them.

use acgs_perf_common::endpoint::{BUCKETS, LATENCY, OVER_RANGE, REQUESTS};
use acgs_perf_protocol::{Kind, Protocol};

use super::{series, tables};
use crate::analysis::endpoints::{Moved, Naming, moved};
use crate::analysis::model::{ByRuleReport, CoverageReport, EndpointObjectiveReport, WaitByDesignReport};
use crate::analysis::number::{nanos, rate, round3};
use crate::live::probes::endpoints::{LATENCY_HISTOGRAM, SECTION, kind_of};
use crate::snapshot::interval::{bucket_of_p99, section};
use crate::snapshot::{Capture, ServiceContext, Subject};
use crate::sums::{Difference as _, Key, Row, Section, Sections, Sums};

/// The endpoints of a service over the whole recording.
#[derive(Debug)]
pub struct Endpoints<'a> {
    raw: &'a Section,
    naming: Naming<'a>,
    /// As the configuration names them.
    pub rows: Section,
    moved: Moved,
}

impl<'a> Endpoints<'a> {
    /// Those of a service with these figures.
    pub fn new(of: &'a ServiceContext, sections: Option<&'a Sections>) -> Self {
        let raw = section(sections, SECTION);
        let naming = Naming::of(&of.endpoints, raw);
        Self { raw, rows: naming.recut(raw), moved: moved(&naming, raw), naming }
    }

    /// What is moved out of the service's latency, or into it.
    pub fn moved(&self) -> Option<&Moved> {
        (!self.moved.is_nothing()).then_some(&self.moved)
    }

    /// What is said of that, of `count` requests answered.
    pub fn by_rule(&self, count: u64, unmatched: u64, duration_ns: u64) -> Option<ByRuleReport> {
        let moved = self.moved()?;
        let (excluded, included) = (moved.excluded(), moved.included());
        let mut endpoints: Vec<String> =
            self.rows.values().map(|row| &row.label).filter(|name| self.naming.is_excluded(name)).cloned().collect();
        endpoints.sort();
        endpoints.dedup();
        let counted = count.saturating_sub(excluded).saturating_add(included);
        Some(ByRuleReport { excluded, included, unmatched, endpoints, rate_per_s: rate(counted, duration_ns) })
    }

    /// Requests whose answer comes when something happens.
    pub fn waits(&self) -> Option<WaitByDesignReport> {
        let all = of_kind(&self.rows, Kind::WaitByDesign)?;
        let latency = tables::of_histogram(LATENCY_HISTOGRAM, &all);
        Some(WaitByDesignReport { count: all.sums.count(REQUESTS), latency })
    }

    /// Messages with which connections were opened.
    pub fn handshakes(&self) -> u64 {
        of_kind(self.raw, Kind::Handshake).map_or(0, |all| all.sums.count(REQUESTS))
    }

    /// How many of `counted` requests are counted by name. That it is encrypted is none.
    pub fn coverage(&self, counted: u64) -> CoverageReport {
        let is_named = |key: &Key| kind_of(key) == Some(Kind::Request) && key.first() != Some(&(Protocol::Tls as u32));
        let rows = self.raw.iter().filter(|(key, _)| is_named(key));
        let named = rows.map(|(_, row)| row.sums.count(REQUESTS)).sum::<u64>();
        CoverageReport { named: named.min(counted), counted }
    }

    /// What endpoints are held against, and by how much more the numbers of their slow requests vary than chance has it.
    pub fn objectives(
        &self,
        of: &ServiceContext,
        capture: &Capture,
        subject: &Subject,
    ) -> Vec<EndpointObjectiveReport> {
        let mut all: Vec<(EndpointObjectiveReport, Blocks)> = of
            .endpoints
            .with_objective()
            .map(|(name, rule)| {
                let objective = EndpointObjectiveReport {
                    name: name.clone(),
                    p99_ns: nanos(rule.p99.unwrap_or(of.objective.p99)),
                    min_rps: round3(rule.min_rps.unwrap_or(0.0)),
                    ..EndpointObjectiveReport::default()
                };
                (objective, Blocks::new(self, name))
            })
            .collect();
        if all.is_empty() {
            return Vec::new();
        }
        for interval in capture.intervals.iter() {
            let Some(rows) = interval.of(subject).and_then(|of| of.get(SECTION)) else { continue };
            let is_block = interval.end_ns().saturating_sub(interval.rest_start_ns) >= series::MIN_BLOCK_NS;
            all.iter_mut().filter(|_| is_block).for_each(|(_, blocks)| blocks.add(rows));
        }
        let with_effect = |(objective, blocks): (EndpointObjectiveReport, Blocks)| EndpointObjectiveReport {
            design_effect: series::design_effect(&blocks.counts).map(round3),
            ..objective
        };
        all.into_iter().map(with_effect).collect()
    }
}

/// How many requests of an endpoint came in each interval that knows, and how many of them were slow.
struct Blocks {
    keys: Vec<Key>,
    p99: Option<u32>,
    counts: Vec<(f64, f64)>,
}

impl Blocks {
    fn new(of: &Endpoints<'_>, name: &str) -> Self {
        let is_it = |key: &&Key| {
            let row = &of.raw[*key];
            let called = of.naming.name(key, &row.label);
            called == name && kind_of(key).is_some_and(|kind| of.naming.kind(&called, kind) == Kind::Request)
        };
        let keys: Vec<_> = of.raw.keys().filter(is_it).cloned().collect();
        let mut all = Sums::default();
        keys.iter().for_each(|key| all.add(&latency(&of.raw[key].sums)));
        Self { keys, p99: bucket_of_p99(&all), counts: Vec::new() }
    }

    fn add(&mut self, rows: &Section) {
        let Some(p99) = self.p99 else { return };
        let mut block = (0.0, 0.0);
        for row in self.keys.iter().filter_map(|key| rows.get(key)) {
            for (at, count) in latency(&row.sums).iter() {
                block.0 += count as f64;
                block.1 += if at > p99 { count as f64 } else { 0.0 };
            }
        }
        self.counts.push(block);
    }
}

/// The latencies of a row by bucket; behind them what is over range.
fn latency(sums: &Sums) -> Sums {
    let buckets = sums.iter().filter(|(word, _)| (LATENCY..LATENCY + BUCKETS).contains(word));
    Sums::sparse(buckets.map(|(word, count)| (word - LATENCY, count)).chain([(BUCKETS, sums.get(OVER_RANGE))]))
}

/// The sum of all rows of a kind; `None` without any.
fn of_kind(rows: &Section, kind: Kind) -> Option<Row> {
    let rows = rows.iter().filter(|(key, _)| kind_of(key) == Some(kind));
    rows.map(|(_, row)| row.clone()).reduce(|mut all, row| {
        all.sums.add(&row.sums);
        all
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::analyse;
    use crate::analysis::endpoints::sample;
    use crate::analysis::model::{ServiceReport, Verdict};
    use crate::analysis::sample::capture;
    use crate::discover::{EndpointKind, EndpointRule, EndpointRules};
    use crate::snapshot::{Interval, Timeline};

    /// 300,000 requests of the sample's latency, a third of them of a health check.
    fn recorded(rules: EndpointRules) -> ServiceReport {
        let mut capture = capture();
        capture.context.probes.push(sample::status());
        capture.context.services[0].endpoints = rules;
        let mut interval: Interval = capture.intervals.iter().next().unwrap();
        let sections = interval.subjects.values_mut().next().unwrap();
        let of_latency = sections["latency"].values().next().unwrap().sums.iter().next().unwrap().0;
        let ns = acgs_perf_common::histogram::bucket_low(of_latency as usize);
        let names: Vec<String> = (b'a'..=b't').map(|letter| format!("GET /p/{}", char::from(letter))).collect();
        let some = vec![ns; 10_000];
        let mut rows: Vec<_> = names.iter().map(|name| (Kind::Request, name.as_str(), &some[..])).collect();
        let health = vec![ns; 100_000];
        rows.push((Kind::Request, "GET /health", &health));
        sections.insert(SECTION.into(), sample::section(&rows));
        capture.intervals = Timeline::of([interval]);
        analyse(&capture).services.remove(0)
    }

    fn names(service: &ServiceReport) -> Vec<(String, u64)> {
        let rows = crate::analysis::endpoints::of_report(service);
        rows.into_iter().map(|of| (of.name, of.requests)).collect()
    }

    #[test]
    fn a_recording_is_cut_by_the_rules_of_its_service() {
        let plain = recorded(EndpointRules::default());
        assert_eq!(names(&plain), [("GET /p/{name}".into(), 200_000), ("GET /health".into(), 100_000)]);
        assert_eq!(plain.coverage.clone().unwrap(), CoverageReport { named: 300_000, counted: 300_000 });
        assert_eq!(plain.requests.as_ref().unwrap().by_rule, None);
        let mut rules = EndpointRules { routes: vec!["/p/{id}".into()], ..EndpointRules::default() };
        let exclude = EndpointRule { exclude: true, ..EndpointRule::default() };
        rules.endpoints.insert("GET /health".into(), exclude);
        let p99 = Some(std::time::Duration::from_millis(5));
        rules.endpoints.insert("GET /p/{id}".into(), EndpointRule { p99, ..EndpointRule::default() });
        let cut = recorded(rules);
        assert_eq!(names(&cut), [("GET /p/{id}".into(), 200_000), ("GET /health".into(), 100_000)]);
        let requests = cut.requests.unwrap();
        assert_eq!((requests.count, requests.latency.count, requests.rate_per_s), (300_000, 200_000, Some(30_000.0)));
        let by_rule = requests.by_rule.unwrap();
        assert_eq!((by_rule.excluded, by_rule.unmatched, by_rule.rate_per_s), (100_000, 0, Some(20_000.0)));
        assert_eq!(by_rule.endpoints, ["GET /health"]);
        assert_eq!(cut.endpoint_objectives[0].verdict, Some(Verdict::Met));
        assert_eq!(cut.coverage, plain.coverage);
    }

    #[test]
    fn what_waits_by_design_by_rule_is_among_its_kind() {
        let mut rules = EndpointRules::default();
        let kind = Some(EndpointKind::WaitByDesign);
        rules.endpoints.insert("GET /health".into(), EndpointRule { kind, ..EndpointRule::default() });
        let cut = recorded(rules);
        assert_eq!(cut.kinds.unwrap().wait_by_design.unwrap().count, 100_000);
        let requests = cut.requests.unwrap();
        assert_eq!((requests.latency.count, requests.by_rule.unwrap().endpoints), (200_000, Vec::<String>::new()));
    }
}
