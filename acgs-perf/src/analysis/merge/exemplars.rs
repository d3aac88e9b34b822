//! Single requests of several reports.
//!
//! In: the exemplars of one service, report by report. Out: the slowest of all, and of the others a sample, of each report's sample alike:
//! a report does not say for how many requests its sample stands.

use std::cmp::Reverse;

use crate::analysis::model::ExemplarReport;
use crate::snapshot::exemplar::KEPT;

/// Adds those of a report that began `offset_ns` after the first one.
pub fn add(own: &mut Vec<ExemplarReport>, other: Vec<ExemplarReport>, offset_ns: u64) {
    let offset_ns = i64::try_from(offset_ns).unwrap_or(i64::MAX);
    own.extend(other.into_iter().map(|exemplar| ExemplarReport {
        arrived_offset_ns: exemplar.arrived_offset_ns.saturating_add(offset_ns),
        ..exemplar
    }));
    let (mut slowest, mut sample): (Vec<_>, Vec<_>) = std::mem::take(own).into_iter().partition(|one| one.slowest);
    in_order(&mut slowest);
    slowest.dedup();
    sample.extend(slowest.drain(KEPT.min(slowest.len())..).map(|one| ExemplarReport { slowest: false, ..one }));
    // Those with the smallest numbers: a fair draw, and the same in whatever order they come.
    sample.sort_by_cached_key(number);
    sample.dedup();
    sample.truncate(KEPT);
    own.extend(slowest.into_iter().chain(sample));
    in_order(own);
}

fn in_order(all: &mut [ExemplarReport]) {
    all.sort_by(|a, b| b.latency_ns.cmp(&a.latency_ns).then(a.arrived_offset_ns.cmp(&b.arrived_offset_ns)));
}

/// A number that says nothing about the request: FNV-1a of when it was, for how long, and whose.
fn number(of: &ExemplarReport) -> (u64, Reverse<u64>) {
    let times = of.arrived_offset_ns.to_le_bytes().into_iter().chain(of.latency_ns.to_le_bytes());
    let hash = times
        .chain(of.client.bytes())
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    (hash ^ (hash >> 29), Reverse(of.latency_ns))
}
