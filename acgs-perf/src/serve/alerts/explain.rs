//! Looks up what the ring says about the cause of an alert.
//!
//! In: the ring, a service, a time. Out: what takes the time of its slow requests, the findings about it, and the keys by which alerts
//! with the same cause know each other.

use std::collections::BTreeMap;
use std::path::Path;

use acgs_perf_common::attribution::COMPONENT_NAMES;

use super::event::Cause;
use crate::analysis::findings::OBJECTIVE_MISSED;
use crate::analysis::model::{AttributionRowReport, Finding, ServiceReport, Severity};
use crate::output::words;
use crate::report::Report;
use crate::store::{self, Wanted};
use crate::{analysis, units};

/// With less of the time, a component is not the cause.
const CAUSE: f64 = 0.3;
/// So many findings are told.
const FINDINGS: usize = 3;

/// What is known of the cause.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Explanation {
    /// What it may share with other alerts.
    pub keys: Vec<String>,
    /// What takes the time.
    pub cause: Option<Cause>,
    /// What a report finds.
    pub findings: Vec<Finding>,
    /// The objective.
    pub p99_ns: Option<u64>,
}

/// What a service's alerts always have in common.
#[must_use]
pub fn of_service(service: &str) -> String {
    format!("service {service}")
}

/// What the ring says in this time about a service, or about the one whose endpoint it is.
#[must_use]
pub fn explain(directory: &Path, alert: &str, from_unix_ns: u64, to_unix_ns: u64) -> Explanation {
    // No service has a blank in its name; what comes behind one is an endpoint.
    let (service, endpoint) = alert.split_once(' ').map_or((alert, None), |(service, name)| (service, Some(name)));
    let wanted = Wanted { from_unix_ns, to_unix_ns, service: Some(service.to_owned()) };
    match store::capture(directory, &wanted) {
        Ok(found) => {
            let report = words::said(analysis::analyse(&found.capture));
            let mut explanation = of_report(&report, service);
            let of = report.services.iter().find(|of| of.name == service);
            if let (Some(endpoint), Some(of)) = (endpoint, of) {
                let objective = of.endpoint_objectives.iter().find(|of| of.name == endpoint);
                explanation.p99_ns = objective.map(|of| of.p99_ns);
            }
            explanation
        }
        // The alert is due all the same.
        Err(_) => Explanation { keys: vec![of_service(service)], ..Explanation::default() },
    }
}

/// What a report says about a service.
#[must_use]
pub fn of_report(report: &Report, service: &str) -> Explanation {
    let mut explanation = Explanation { keys: vec![of_service(service)], ..Explanation::default() };
    let Some(of) = report.services.iter().find(|of| of.name == service) else { return explanation };
    explanation.p99_ns = Some(of.objective.p99_ns);
    let mut findings: Vec<_> =
        report.findings.iter().filter(|finding| finding.service.as_deref() == Some(service)).cloned().collect();
    // What says why, what says that, and what is worth knowing.
    findings.sort_by_key(|finding| match (finding.id.as_str(), finding.severity) {
        (OBJECTIVE_MISSED, _) => 1,
        (_, Severity::Info) => 2,
        _ => 0,
    });
    findings.truncate(FINDINGS);
    explanation.findings = findings;
    let Some(cause) = cause(of) else { return explanation };
    match (cause.component.as_str(), &cause.peer) {
        ("downstream" | "queue_downstream", Some(peer)) => explanation.keys.push(of_peer(of, peer)),
        // The CPUs are everybody's.
        ("run_queue" | "queue_run_queue", _) => explanation.keys.push("host cpu".to_owned()),
        _ => {}
    }
    explanation.cause = Some(cause);
    explanation
}

fn of_peer(of: &ServiceReport, peer: &str) -> String {
    let is_service = of.downstream.iter().flatten().any(|known| known.service.as_deref() == Some(peer));
    if is_service { of_service(peer) } else { format!("peer {peer}") }
}

/// What the requests that missed the objective spend more time on than the others do, if that is a good part of their time. It is not
/// the cut at the P99: when many are slow, the slowest of them differ from the rest in something else.
fn cause(of: &ServiceReport) -> Option<Cause> {
    let rows = &of.attribution.as_ref()?.rows;
    let (slow, fast): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row.low_ns > of.objective.p99_ns);
    let sum = |rows: &[&AttributionRowReport], value: &dyn Fn(&AttributionRowReport) -> u64| {
        rows.iter().map(|row| value(row) as f64).sum::<f64>()
    };
    let time =
        |rows: &[&AttributionRowReport], name: &str| sum(rows, &|row| row.component_ns.get(name).copied().unwrap_or(0));
    let (count, others) = (sum(&slow, &|row| row.count), sum(&fast, &|row| row.count).max(1.0));
    let latency = sum(&slow, &|row| row.latency_ns);
    let excess = |name: &str| time(&slow, name) / count - time(&fast, name) / others;
    let all = COMPONENT_NAMES.iter().map(|(name, text)| (*name, *text, excess(name)));
    let (name, text, _) = all.max_by(|a, b| a.2.total_cmp(&b.2))?;
    // Without slow requests this is no number, and no cause.
    let share = time(&slow, name) / latency;
    if share.is_nan() || share < CAUSE {
        return None;
    }
    let mut peers: BTreeMap<&str, u64> = BTreeMap::new();
    for (peer, ns) in slow.iter().flat_map(|row| &row.downstream_ns) {
        *peers.entry(peer).or_default() += ns;
    }
    let peer = peers.into_iter().max_by_key(|(_, ns)| *ns).filter(|_| name.ends_with("downstream"));
    let peer = peer.map(|(address, _)| {
        let known = of.downstream.iter().flatten().find(|known| known.address == address);
        known.and_then(|known| known.service.clone()).unwrap_or_else(|| address.to_owned())
    });
    let to = peer.as_ref().map(|peer| format!(" ({peer})")).unwrap_or_default();
    let sentence = format!("{:.0} % of the time of the slow requests: {text}{to}", 100.0 * share);
    Some(Cause { component: name.to_owned(), share: (share * 1e4).round() / 1e4, peer, sentence })
}

impl Explanation {
    /// The most telling sentence of it.
    #[must_use]
    pub fn sentence(&self) -> Option<String> {
        let tells = |finding: &&Finding| finding.id != OBJECTIVE_MISSED && finding.severity != Severity::Info;
        let finding = self.findings.first().filter(tells).map(|finding| finding.title.clone());
        self.cause.as_ref().map(|cause| cause.sentence.clone()).or(finding)
    }

    /// The objective in words.
    #[must_use]
    pub fn objective(&self) -> String {
        self.p99_ns.map_or_else(String::new, |ns| format!(" (P99 < {})", units::duration(ns)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::model::{AttributionReport, DownstreamReport};
    use crate::analysis::sample;

    /// A request that took so long, with what it went to; the rest is CPU.
    fn row(ms: u64, count: u64, parts: &[(&str, u64)]) -> AttributionRowReport {
        let mut component_ns: BTreeMap<String, u64> =
            parts.iter().map(|(name, ms)| ((*name).to_owned(), ms * 1_000_000 * count)).collect();
        let rest = ms - parts.iter().map(|(_, ms)| ms).sum::<u64>();
        component_ns.insert("on_cpu".into(), rest * 1_000_000 * count);
        let downstream = component_ns.get("downstream").copied().unwrap_or(0);
        AttributionRowReport {
            low_ns: ms * 1_000_000,
            high_ns: Some(ms * 1_060_000),
            count,
            latency_ns: ms * 1_000_000 * count,
            component_ns,
            downstream_ns: [("[::1]:5432".to_owned(), downstream)].into(),
            ..AttributionRowReport::default()
        }
    }

    fn report(rows: Vec<AttributionRowReport>, peer: Option<&str>) -> Report {
        let mut api = sample::attribution::api();
        api.objective.p99_ns = 5_000_000;
        api.attribution = Some(AttributionReport { rows, ..AttributionReport::default() });
        let peer = DownstreamReport {
            address: "[::1]:5432".into(),
            service: peer.map(str::to_owned),
            ..DownstreamReport::default()
        };
        api.downstream = Some(vec![peer]);
        Report { services: vec![api], ..sample::empty() }
    }

    #[test]
    fn most_being_slow_they_are_held_against_the_others() {
        // The slowest few waited for a CPU; most that were slow slept.
        let rows = vec![
            row(1, 400, &[]),
            row(60, 590, &[("sleep", 58), ("run_queue", 1)]),
            row(180, 10, &[("sleep", 58), ("run_queue", 120)]),
        ];
        let report = report(rows, None);
        let explanation = of_report(&report, &report.services[0].name);
        let cause = explanation.cause.clone().unwrap();
        assert_eq!((cause.component.as_str(), cause.peer, cause.share > 0.9), ("sleep", None, true));
        assert_eq!(explanation.sentence().unwrap(), cause.sentence);
        assert!(cause.sentence.starts_with("94 % of the time of the slow requests: The thread"), "{}", cause.sentence);
    }

    #[test]
    fn who_waits_for_a_peer_shares_its_cause() {
        for (component, service, key) in [
            ("downstream", Some("db"), Some("service db")),
            ("downstream", None, Some("peer [::1]:5432")),
            ("run_queue", None, Some("host cpu")),
            ("disk", None, None),
        ] {
            let report = report(vec![row(1, 90, &[]), row(20, 10, &[(component, 18)])], service);
            let name = &report.services[0].name;
            let explanation = of_report(&report, name);
            let own = of_service(name);
            assert_eq!(explanation.keys, [own.as_str()].into_iter().chain(key).collect::<Vec<_>>());
            assert_eq!(explanation.cause.unwrap().component, component);
        }
        let healthy = report(vec![row(1, 90, &[])], None);
        assert_eq!(of_report(&healthy, &healthy.services[0].name).cause, None);
        assert_eq!(of_report(&healthy, "nobody").keys, ["service nobody"]);
    }
}
