//! Looks up what the ring says about the cause of an alert.
//!
//! In: the ring, a service, a time. Out: what takes the time of its slowest requests, the findings about it, and the keys by which alerts
//! with the same cause know each other.

use std::path::Path;

use super::event::Cause;
use crate::analysis::findings::OBJECTIVE_MISSED;
use crate::analysis::model::Finding;
use crate::analysis::tail::main_cut;
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

/// What the ring says about a service in this time.
#[must_use]
pub fn explain(directory: &Path, service: &str, from_unix_ns: u64, to_unix_ns: u64) -> Explanation {
    let wanted = Wanted { from_unix_ns, to_unix_ns, service: Some(service.to_owned()) };
    match store::capture(directory, &wanted) {
        Ok(found) => of_report(&words::said(analysis::analyse(&found.capture)), service),
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
    // What says only that the objective is missed is known; the others say why.
    let (missed, why): (Vec<_>, Vec<_>) = report
        .findings
        .iter()
        .filter(|finding| finding.service.as_deref() == Some(service))
        .cloned()
        .partition(|finding| finding.id == OBJECTIVE_MISSED);
    explanation.findings = why.into_iter().chain(missed).take(FINDINGS).collect();
    let Some(tail) = &of.tail else { return explanation };
    let Some(cut) = main_cut(&tail.cuts) else { return explanation };
    let Some(first) = cut.components.first().filter(|first| first.share >= CAUSE) else { return explanation };
    let mut cause =
        Cause { component: first.name.clone(), share: first.share, peer: None, sentence: tail.sentence.clone() };
    match first.name.as_str() {
        "downstream" | "queue_downstream" => {
            if let Some(peer) = cut.downstream.first() {
                cause.peer = Some(peer.service.clone().unwrap_or_else(|| peer.peer.clone()));
                explanation.keys.push(match &peer.service {
                    Some(service) => of_service(service),
                    None => format!("peer {}", peer.peer),
                });
            }
        }
        // The CPUs are everybody's.
        "run_queue" | "queue_run_queue" => explanation.keys.push("host cpu".to_owned()),
        _ => {}
    }
    explanation.cause = Some(cause);
    explanation
}

impl Explanation {
    /// The most telling sentence of it.
    #[must_use]
    pub fn sentence(&self) -> Option<String> {
        let finding = self.findings.first().filter(|finding| finding.id != OBJECTIVE_MISSED);
        finding.map(|finding| finding.title.clone()).or_else(|| Some(self.cause.as_ref()?.sentence.clone()))
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
    use crate::analysis::model::CutPeerReport;
    use crate::analysis::sample;

    #[test]
    fn who_waits_for_a_peer_shares_its_cause() {
        let api = sample::attribution::api();
        let whole = Report { services: vec![api], ..sample::whole() };
        let mut report = words::said(sample::assessed(whole));
        let name = report.services[0].name.clone();
        let cut = |report: &mut Report, component: &str, service: Option<&str>| {
            let cuts = &mut report.services[0].tail.as_mut().unwrap().cuts;
            for cut in cuts {
                cut.components.truncate(1);
                component.clone_into(&mut cut.components[0].name);
                cut.components[0].share = 0.9;
                let peer = CutPeerReport {
                    peer: "[::1]:5432".into(),
                    service: service.map(str::to_owned),
                    ..CutPeerReport::default()
                };
                cut.downstream = vec![peer];
            }
        };
        for (component, service, key) in [
            ("downstream", Some("db"), Some("service db")),
            ("downstream", None, Some("peer [::1]:5432")),
            ("run_queue", None, Some("host cpu")),
            ("on_cpu", None, None),
        ] {
            cut(&mut report, component, service);
            let explanation = of_report(&report, &name);
            let own = of_service(&name);
            let keys: Vec<&str> = [own.as_str()].into_iter().chain(key).collect();
            assert_eq!(explanation.keys, keys);
            assert_eq!(explanation.cause.unwrap().component, component);
        }
        assert_eq!(of_report(&report, "nobody").keys, ["service nobody"]);
    }
}
