//! The cuts: the requests above p50, p90, p99 and p99.9 against the rest, component by component.
//!
//! In: rows of the attribution histogram, as the report carries them. Out: one cut per quantile, or why there is none.

use std::collections::{BTreeMap, BTreeSet};

use super::rows::{PARTS, Split, Sums, merge_rows, split};
use crate::analysis::model::{
    AttributionRowReport, CutComponentReport, CutPeerReport, CutReport, ExemplarReport, LeftOutReport, PreemptorReport,
};
use crate::analysis::number::{grouped, share4};

/// (name, share of the requests above it in parts of 10,000).
pub const QUANTILES: [(&str, u128); 4] = [("p50", 5_000), ("p90", 1_000), ("p99", 100), ("p99.9", 10)];
/// With fewer requests above a quantile, their mean says more about single requests than about the tail.
const MIN_ABOVE: u128 = 10;
/// Processes named per cut.
const MAX_PREEMPTORS: usize = 10;
/// Components in which a request waits for a CPU.
const CPU_WAITS: [&str; 2] = ["run_queue", "queue_run_queue"];
/// That in which it waits for a lock.
const LOCK: [&str; 1] = ["lock"];
/// Who ended waits is told where at least one part in this many of them is somebody's.
const KNOWN: u64 = 2;

/// The cuts, and the quantiles without one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cuts {
    /// By rising quantile.
    pub cuts: Vec<CutReport>,
    /// Quantiles with fewer than ten requests above them.
    pub left_out: Vec<LeftOutReport>,
}

/// Cuts rows. Rows of several reports may be given one after the other, in any order. `exemplars` only tell who held the
/// CPU; the names of peers' services are for the caller to add.
#[must_use]
pub fn cuts(rows: &[AttributionRowReport], exemplars: &[ExemplarReport]) -> Cuts {
    let rows = merge_rows(rows);
    let total: u128 = rows.iter().map(|row| u128::from(row.count)).sum();
    let mut result = Cuts::default();
    for (quantile, tail) in QUANTILES {
        let enough = total.saturating_mul(tail) >= MIN_ABOVE * PARTS;
        match split(&rows, tail).filter(|_| enough) {
            Some(split) => result.cuts.push(cut(quantile, &split, exemplars)),
            None => result.left_out.push(LeftOutReport {
                quantile: quantile.into(),
                reason: format!(
                    "needs {} requests, has {}",
                    grouped((MIN_ABOVE * PARTS / tail) as u64),
                    grouped(u64::try_from(total).unwrap_or(u64::MAX))
                ),
            }),
        }
    }
    result
}

/// What a part of the latency is on both sides.
struct Sides {
    mean_ns: u64,
    share: f64,
    body_mean_ns: u64,
    excess_ns: i64,
}

fn sides(slow: &Sums, rest: &Sums, above: u128, below: u128) -> Sides {
    let (mean_ns, body_mean_ns) = (slow.mean(above), rest.mean(below));
    Sides { mean_ns, share: share4(above, slow.latency), body_mean_ns, excess_ns: difference(mean_ns, body_mean_ns) }
}

/// a − b.
fn difference(a: u64, b: u64) -> i64 {
    i64::try_from(i128::from(a) - i128::from(b)).unwrap_or(if a > b { i64::MAX } else { i64::MIN })
}

/// Names on either side, with their sums.
fn both<'a>(
    slow: &'a BTreeMap<&'a str, u128>,
    rest: &'a BTreeMap<&'a str, u128>,
) -> impl Iterator<Item = (&'a str, u128, u128)> {
    let names: BTreeSet<&str> = slow.keys().chain(rest.keys()).copied().collect();
    let sum = |side: &BTreeMap<&str, u128>, name: &str| side.get(name).copied().unwrap_or(0);
    names.into_iter().map(move |name| (name, sum(slow, name), sum(rest, name)))
}

fn cut(quantile: &str, split: &Split, exemplars: &[ExemplarReport]) -> CutReport {
    let (slow, rest) = (&split.slow, &split.rest);
    let all = sides(slow, rest, slow.latency, rest.latency);
    let mut components: Vec<_> = both(&slow.components, &rest.components)
        .map(|(name, above, below)| {
            let part = sides(slow, rest, above, below);
            CutComponentReport {
                name: name.into(),
                mean_ns: part.mean_ns,
                share: part.share,
                body_mean_ns: part.body_mean_ns,
                excess_ns: part.excess_ns,
                excess_share: signed_share(part.excess_ns, all.excess_ns),
            }
        })
        .filter(|component| component.mean_ns > 0 || component.body_mean_ns > 0)
        .collect();
    components.sort_by(|a, b| b.excess_ns.cmp(&a.excess_ns).then(b.mean_ns.cmp(&a.mean_ns)).then(a.name.cmp(&b.name)));
    let mut downstream: Vec<_> = both(&slow.peers, &rest.peers)
        .map(|(peer, above, below)| (peer, sides(slow, rest, above, below)))
        .filter(|(_, part)| part.mean_ns > 0 || part.body_mean_ns > 0)
        .map(|(peer, part)| CutPeerReport {
            peer: peer.into(),
            service: None,
            mean_ns: part.mean_ns,
            share: part.share,
            excess_ns: part.excess_ns,
        })
        .collect();
    downstream.sort_by(|a, b| b.excess_ns.cmp(&a.excess_ns).then(b.mean_ns.cmp(&a.mean_ns)).then(a.peer.cmp(&b.peer)));
    CutReport {
        quantile: quantile.into(),
        threshold_ns: (!split.over_range).then_some(split.threshold_ns),
        count: u64::try_from((split.above + PARTS / 2) / PARTS).unwrap_or(u64::MAX),
        mean_ns: all.mean_ns,
        body_mean_ns: all.body_mean_ns,
        components,
        downstream,
        shared_share: share4(slow.shared, slow.latency),
        calls_per_request: share4(slow.calls, slow.count),
        body_calls_per_request: share4(rest.calls, rest.count),
        one_call_mean_ns: slow.mean(slow.one_call),
        many_calls_mean_ns: slow.mean(slow.many_calls),
        preemptors: ended_by(exemplars, split.threshold_ns, &CPU_WAITS),
        lock_ended_by: ended_by(exemplars, split.threshold_ns, &LOCK),
    }
}

/// `part` of `whole`, either of which may be negative.
fn signed_share(part: i64, whole: i64) -> Option<f64> {
    let sign = if (part < 0) == (whole < 0) { 1.0 } else { -1.0 };
    (whole != 0)
        .then(|| share4(part.unsigned_abs().into(), whole.unsigned_abs().into()))
        // No negative zero: JSON would keep its sign.
        .map(|share| if share > 0.0 { sign * share } else { 0.0 })
}

/// Who ended the waits in these components of the exemplars above the cut; nobody, where of most of these waits it is not known.
fn ended_by(exemplars: &[ExemplarReport], threshold_ns: u64, components: &[&str]) -> Vec<PreemptorReport> {
    let mut waits = BTreeMap::<(u32, &str), u64>::new();
    let mut total = 0u64;
    for exemplar in exemplars.iter().filter(|exemplar| exemplar.latency_ns >= threshold_ns) {
        for segment in exemplar.segments.iter().filter(|s| components.contains(&s.component.as_str())) {
            total = total.saturating_add(segment.duration_ns);
            if let Some(by) = &segment.by {
                let sum = waits.entry((by.pid, &by.comm)).or_default();
                *sum = sum.saturating_add(segment.duration_ns);
            }
        }
    }
    if waits.values().fold(0, |sum: u64, ns| sum.saturating_add(*ns)) < total.div_ceil(KNOWN) {
        return Vec::new();
    }
    let mut all: Vec<_> =
        waits.into_iter().map(|((pid, comm), wait_ns)| PreemptorReport { comm: comm.into(), pid, wait_ns }).collect();
    all.sort_by(|a, b| b.wait_ns.cmp(&a.wait_ns).then(a.pid.cmp(&b.pid)));
    all.truncate(MAX_PREEMPTORS);
    all
}
