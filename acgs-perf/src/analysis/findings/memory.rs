//! `major_faults` and `memory_pressure`: memory that has to be read again, or to be freed first.

use acgs_perf_common::attribution::Component::{Fault, QueueFault};

use super::context::Context;
use super::start::share;
use crate::analysis::model::{Confidence, Figure, Finding, Severity, Unit};
use crate::analysis::tables::{MemoryPressureRow, MemoryStallRow, PageFaultRow};

/// Pages had to be read from a disk.
pub const MAJOR_FAULTS: &str = "major_faults";
/// Threads stalled because memory had to be freed first.
pub const MEMORY_PRESSURE: &str = "memory_pressure";

/// At least one page for so many requests.
const REQUESTS: u64 = 10;
/// Fewer pages are what a program reads as it goes on for the first time.
const LEAST_FAULTS: u64 = 1_000;
/// Threads stalled for at least one part in this many of the time.
const PART: u64 = 100;

/// Both.
pub fn look(context: &Context) -> Vec<Finding> {
    [major_faults(context), pressure(context)].into_iter().flatten().collect()
}

fn major_faults(context: &Context) -> Option<Finding> {
    let faults: Vec<PageFaultRow> = context.rows();
    let of_kind = |kind: &str| faults.iter().filter(|row| row.kind == kind).map(|row| row.faults).sum::<u64>();
    let major = of_kind("major");
    if major < LEAST_FAULTS || major.saturating_mul(REQUESTS) < context.answered() {
        return None;
    }
    let figures = vec![
        Figure::new("major_faults", major, Unit::Count).against(context.answered()),
        Figure::new("minor_faults", of_kind("minor"), Unit::Count),
    ];
    let found = context.found(MAJOR_FAULTS, context.severity(), Confidence::High, figures);
    let of_tail = Some(context.share_of_tail(&[Fault, QueueFault])).filter(|share| *share > 0.0).map(share);
    Some(context.with_gain_of(Finding { share: of_tail, ..found }, &[Fault, QueueFault], 1.0))
}

fn pressure(context: &Context) -> Option<Finding> {
    let window = context.report.window.duration_ns;
    let is_long = |ns: u64| ns > 0 && ns.saturating_mul(PART) >= window;
    let stalls: Vec<MemoryStallRow> = context.rows();
    let stalls = stalls.into_iter().filter_map(|row| Some((row.kind, row.time.sum_ns.filter(|ns| is_long(*ns))?)));
    let mut figures: Vec<_> =
        stalls.map(|(kind, ns)| Figure::new("stalled", ns, Unit::Ns).of(kind).against(window)).collect();
    let of_service = !figures.is_empty();
    let pressure: Vec<MemoryPressureRow> = context.rows();
    let pressure = pressure.into_iter().filter(|row| row.kind == "some" && is_long(row.stalled_ns));
    figures.extend(pressure.map(|row| Figure::new("pressure", row.stalled_ns, Unit::Ns).of(row.of).against(window)));
    // That others of its control group stall is no harm to it yet.
    let severity = if of_service { context.severity() } else { Severity::Info };
    (!figures.is_empty()).then(|| context.found(MEMORY_PRESSURE, severity, Confidence::High, figures))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::analysis::sample::planted::{self, ids};

    #[test]
    fn a_page_for_every_tenth_request_is_many() {
        let is_found = |faults: u64| {
            let report = planted::with_table("page_faults", json!([{"kind": "major", "faults": faults}]));
            ids(&report).contains(&MAJOR_FAULTS.to_owned())
        };
        assert!(is_found(30_000) && !is_found(29_999));
    }

    #[test]
    fn a_hundredth_of_the_time_is_pressure() {
        let stalled = |ns: u64| {
            let table =
                json!([{"kind": "direct_reclaim", "stalls": 9, "time": {"count": 9, "over_range": 0, "sum_ns": ns}}]);
            ids(&planted::with_table("memory_stalls", table)).contains(&MEMORY_PRESSURE.to_owned())
        };
        assert!(stalled(100_000_000) && !stalled(99_999_999));
        let pressure = |kind: &str, ns: u64| {
            let table = json!([{"of": "/api", "kind": kind, "stalled_ns": ns}]);
            ids(&planted::with_table("memory_pressure", table)).contains(&MEMORY_PRESSURE.to_owned())
        };
        assert!(pressure("some", 100_000_000) && !pressure("some", 99_999_999) && !pressure("full", 100_000_000));
    }
}
