//! What a rule looks at, and how it begins a finding.
//!
//! In: a report, one of its services. Out: the questions that most rules ask of them.

use acgs_perf_common::attribution::{COMPONENT_NAMES, Component};

use super::start::of_service;
use crate::analysis::model::{Confidence, Figure, Finding, Report, ServiceReport, Severity};
use crate::analysis::tables::{CallRow, EndpointRow, TableRow, rows};
use crate::analysis::tail::{Explanation, Named, cpu_wait_after, explain, main_cut, p99_without};
use crate::analysis::verdict::missed_for_latency;

/// A gain of less than this share of the P99 is none that could be told from chance.
const LEAST_GAIN: f64 = 0.05;

/// A service, and the report that it is in.
pub struct Context<'a> {
    /// The report.
    pub report: &'a Report,
    /// The service.
    pub service: &'a ServiceReport,
    /// Why its slowest requests are slow, if that is known.
    pub explanation: Option<Explanation<'a>>,
    /// Its endpoints that have a name and were asked for.
    pub endpoints: Vec<EndpointRow>,
    /// What it asks its peers for, by name.
    pub calls: Vec<CallRow>,
}

impl<'a> Context<'a> {
    /// About a service.
    pub fn new(report: &'a Report, service: &'a ServiceReport) -> Self {
        let cut = service.tail.as_ref().and_then(|tail| main_cut(&tail.cuts));
        let mut found =
            Self { report, service, explanation: cut.map(explain), endpoints: Vec::new(), calls: Vec::new() };
        found.endpoints = found.rows();
        found.endpoints.retain(|row| row.is_request() && row.requests > 0);
        found.calls = found.rows();
        found.calls.retain(CallRow::is_request);
        found
    }

    /// The rows of a table; none if the probe was not active.
    pub fn rows<T: TableRow>(&self) -> Vec<T> {
        rows(&self.service.tables).unwrap_or_default()
    }

    /// Requests answered.
    pub fn answered(&self) -> u64 {
        self.service.requests.as_ref().map_or(0, |requests| requests.count)
    }

    /// Whether requests are too slow.
    pub fn is_missed(&self) -> bool {
        missed_for_latency(self.service)
    }

    /// What a reason for slow requests is if they are too slow, and if they are not.
    pub fn severity(&self) -> Severity {
        if self.is_missed() { Severity::Warning } else { Severity::Info }
    }

    /// What these components are of the time of the slowest requests: their mean, that of the other requests, and their share.
    pub fn of_tail(&self, components: &[Component]) -> Option<(u64, u64, f64)> {
        let cut = self.explanation.as_ref()?.cut;
        let of = cut.components.iter().filter(|of| is_one_of(&of.name, components));
        let (mean, rest) = of.fold((0u64, 0u64), |(mean, rest), of| {
            (mean.saturating_add(of.mean_ns), rest.saturating_add(of.body_mean_ns))
        });
        (cut.mean_ns > 0).then(|| (mean, rest, mean as f64 / cut.mean_ns as f64))
    }

    /// The share of these components alone; 0 where it is not known.
    pub fn share_of_tail(&self, components: &[Component]) -> f64 {
        self.of_tail(components).map_or(0.0, |(_, _, share)| share)
    }

    /// A finding about the service.
    pub fn found(&self, id: &str, severity: Severity, confidence: Confidence, figures: Vec<Figure>) -> Finding {
        Finding { confidence: Some(confidence), ..of_service(id, severity, self.service, figures) }
    }

    /// The finding with what the P99 would be without the part of the time that `part` takes of components and of peers.
    pub fn with_gain(&self, finding: Finding, part: impl Fn(&Named, &Named) -> f64) -> Finding {
        let would_fall_to_ns = self.without(part).filter(|(now, then)| {
            let gain = now.saturating_sub(*then) as f64;
            gain >= LEAST_GAIN * *now as f64
        });
        Finding { would_fall_to_ns: would_fall_to_ns.map(|(_, then)| then), ..finding }
    }

    /// The same for a part of some components.
    pub fn with_gain_of(&self, finding: Finding, components: &[Component], part: f64) -> Finding {
        let after = self.cpu_wait_after(components);
        self.with_gain(finding, |named, _| {
            let gone = part * sum(named, components);
            gone + (after * gone).min(sum(named, &[Component::RunQueue]))
        })
    }

    /// Time waiting for a CPU that would go with these components, per ns of them.
    pub fn cpu_wait_after(&self, components: &[Component]) -> f64 {
        cpu_wait_after(self.service.exemplars.as_deref().unwrap_or_default(), components)
    }

    /// The P99, and what it would be. Where it lies among requests without an end, nobody knows.
    fn without(&self, part: impl Fn(&Named, &Named) -> f64) -> Option<(u64, u64)> {
        let p99 = self.service.requests.as_ref()?.latency.p99_ns?;
        let rows = &self.service.attribution.as_ref()?.rows;
        Some((p99, p99_without(p99, rows, self.service.exemplars.as_deref().unwrap_or_default(), part)?))
    }
}

fn is_one_of(name: &str, components: &[Component]) -> bool {
    components.iter().any(|component| COMPONENT_NAMES[*component as usize].0 == name)
}

/// The sum of some components.
pub fn sum(named: &Named, components: &[Component]) -> f64 {
    components
        .iter()
        .filter_map(|component| named.get(COMPONENT_NAMES[*component as usize].0))
        .map(|ns| *ns as f64)
        .sum()
}
