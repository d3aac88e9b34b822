//! `overhead_limited` and `measurement_incomplete`: what the recording as a whole lacks.

use super::start::finding;
use crate::analysis::model::{Figure, Finding, ProbeStatus, Report, Severity, Unit};
use crate::snapshot::Ending;

/// Probes were stopped, or the recording was ended, because of `--max-overhead`.
pub const OVERHEAD_LIMITED: &str = "overhead_limited";
/// Something was lost, or could not be read.
pub const MEASUREMENT_INCOMPLETE: &str = "measurement_incomplete";

/// Both.
pub fn look(report: &Report) -> Vec<Finding> {
    [overhead_limited(report), incomplete(report)].into_iter().flatten().collect()
}

fn overhead_limited(report: &Report) -> Option<Finding> {
    let after = |probe: &ProbeStatus| {
        let after = probe.stopped_after_ns?;
        Some(Figure::new("stopped_after", after, Unit::Ns).of(probe.name.clone()).against(report.window.duration_ns))
    };
    let mut figures: Vec<_> = report.probes.iter().filter_map(after).collect();
    let is_ended = report.window.ended_by == Ending::Overhead;
    if figures.is_empty() && !is_ended {
        return None;
    }
    if let (true, Some(overhead)) = (is_ended, &report.cost.overhead) {
        let last = overhead.last_ppm.map(|last| Figure::new("overhead", last, Unit::Ppm));
        figures.extend(last.map(|last| last.against(overhead.limit_ppm)));
    }
    Some(finding(OVERHEAD_LIMITED, Severity::Warning, figures))
}

fn incomplete(report: &Report) -> Option<Finding> {
    let lost = report.ledger.iter().filter(|(_, count)| **count > 0);
    let figures: Vec<_> =
        lost.map(|(name, count)| Figure::new("lost", *count, Unit::Count).of(name.clone()).against(0)).collect();
    let is_whole = figures.is_empty() && report.notes.is_empty();
    (!is_whole).then(|| finding(MEASUREMENT_INCOMPLETE, Severity::Warning, figures))
}
