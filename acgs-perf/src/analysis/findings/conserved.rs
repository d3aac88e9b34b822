//! `attribution_not_conserved`: rows whose components do not add up to their latency.

use super::context::Context;
use super::start::of_service;
use crate::analysis::model::{AttributionRowReport, Figure, Finding, ServiceReport, Severity, Unit};

/// The components of a service do not add up to its latency.
pub const NOT_CONSERVED: &str = "attribution_not_conserved";

/// Components may differ from the latency by one part in this many.
const TOLERANCE: u128 = 1_000;

/// At most one: then a share is not what it says.
pub fn look(context: &Context) -> Vec<Finding> {
    conserved(context.service).into_iter().collect()
}

fn conserved(service: &ServiceReport) -> Option<Finding> {
    let rows = &service.attribution.as_ref()?.rows;
    let sum = |row: &AttributionRowReport| row.component_ns.values().map(|ns| u128::from(*ns)).sum::<u128>();
    let latency: u128 = rows.iter().map(|row| u128::from(row.latency_ns)).sum();
    let components: u128 = rows.iter().map(sum).sum();
    // Row by row, so that too much in one and too little in another do not make up for each other.
    let wrong: u128 = rows.iter().map(|row| sum(row).abs_diff(row.latency_ns.into())).sum();
    if wrong.saturating_mul(TOLERANCE) <= latency {
        return None;
    }
    let ns = |value: u128| u64::try_from(value).unwrap_or(u64::MAX);
    let figures = vec![
        Figure::new("components", ns(components), Unit::Ns).against(ns(latency)),
        Figure::new("difference_over_all_rows", ns(wrong), Unit::Ns).against(ns(latency / TOLERANCE)),
    ];
    Some(of_service(NOT_CONSERVED, Severity::Warning, service, figures))
}

#[cfg(test)]
mod tests {
    use acgs_perf_common::attribution::{COMPONENT_NAMES, Component};

    use super::*;
    use crate::analysis::model::Report;
    use crate::analysis::sample::assessed;
    use crate::analysis::sample::planted::api;

    fn found(report: &Report) -> Option<Finding> {
        assessed(report.clone()).findings.into_iter().find(|finding| finding.id == NOT_CONSERVED)
    }

    #[test]
    fn rows_that_do_not_add_up_are_a_warning() {
        let mut report = api();
        let on_cpu = COMPONENT_NAMES[Component::OnCpu as usize].0;
        fn rows(report: &mut Report) -> &mut Vec<AttributionRowReport> {
            &mut report.services[0].attribution.as_mut().unwrap().rows
        }
        let total: u64 = rows(&mut report).iter().map(|row| row.latency_ns).sum();
        *rows(&mut report)[0].component_ns.get_mut(on_cpu).unwrap() += total / 1_000;
        assert_eq!(found(&report), None, "0.1 % is within the tolerance");
        *rows(&mut report)[0].component_ns.get_mut(on_cpu).unwrap() += 1;
        let finding = found(&report).expect("a finding");
        assert_eq!((finding.severity, finding.figures[0].against.clone()), (Severity::Warning, Some(total.into())));
        // Too much in one row and as much too little in another is still wrong.
        *rows(&mut report)[1].component_ns.get_mut(on_cpu).unwrap() -= total / 1_000 + 1;
        assert!(found(&report).is_some());
    }
}
