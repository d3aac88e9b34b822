//! What requests are made of, by quantile: a stack of shares, and the same as a table that says it in words.
//!
//! In: the attribution histogram of a service. Out: a picture, and rows of which one is shown at a time where a slider picks it.

use super::axis::{nine_ticks, nines, quantile_name};
use super::parts::{GROUPS, group, name};
use super::svg::{Svg, WIDE, across, area};
use crate::analysis::{Slice, slices};
use crate::report::ServiceReport;
use crate::units::{duration, percent};

const HEIGHT: f64 = 190.0;
/// Parts that are named, where the page has few services and where it has many; the others are summed.
const NAMED: (usize, usize) = (5, 3);
const FEW_SERVICES: usize = 4;
/// The row that is shown first.
const FIRST_NINES: f64 = 2.0;

/// Picture and table.
pub struct Stack {
    /// The picture.
    pub svg: String,
    /// The groups that occur.
    pub groups: Vec<(&'static str, &'static str)>,
    /// By rising quantile.
    pub rows: Vec<StackRow>,
    /// Index of the row that is shown first.
    pub first: usize,
}

/// The requests next to a quantile.
pub struct StackRow {
    /// `p99`.
    pub quantile: String,
    /// Where it is in the picture.
    pub x: String,
    /// Mean latency.
    pub latency: String,
    /// The parts, largest first: (class, name, time, share).
    pub parts: Vec<(&'static str, String, String, String)>,
}

/// Both; `None` with too few requests.
pub fn stack(id: &str, service: &ServiceReport, services: usize) -> Option<Stack> {
    let named = if services <= FEW_SERVICES { NAMED.0 } else { NAMED.1 };
    let slices = slices(&service.attribution.as_ref()?.rows);
    let most = slices.last()?.nines;
    if slices.len() < 2 {
        return None;
    }
    let by_group: Vec<[f64; GROUPS.len()]> = slices.iter().map(shares).collect();
    let used: Vec<usize> = (0..GROUPS.len()).filter(|at| by_group.iter().any(|of| of[*at] >= 0.001)).collect();
    let rows: Vec<StackRow> = slices.iter().map(|slice| row(slice, most, service, named)).collect();
    let first = slices.iter().rposition(|slice| slice.nines <= FIRST_NINES).unwrap_or(0);
    let svg = picture(id, &slices, &by_group, &used, first, &rows[first]);
    Some(Stack { svg, groups: used.iter().map(|at| GROUPS[*at]).collect(), rows, first })
}

/// Share of each group.
fn shares(slice: &Slice) -> [f64; GROUPS.len()] {
    let mut shares = [0.0; GROUPS.len()];
    let whole: f64 = slice.parts.iter().map(|part| part.mean_ns).sum();
    for part in slice.parts.iter().filter(|_| whole > 0.0) {
        shares[group(&part.component)] += part.mean_ns / whole;
    }
    shares
}

fn row(slice: &Slice, most: f64, service: &ServiceReport, named: usize) -> StackRow {
    let of_latency = |ns: f64| percent((ns.max(0.0) * 1000.0) as u64, (slice.latency_ns * 1000.0).max(1.0) as u64);
    let mut parts: Vec<_> = slice
        .parts
        .iter()
        .take(named)
        .map(|part| {
            let words = name(&part.component, part.peer.as_deref(), service);
            (GROUPS[group(&part.component)].0, words, duration(part.mean_ns.round() as u64), of_latency(part.mean_ns))
        })
        .collect();
    if slice.parts.len() > named {
        let rest: f64 = slice.parts[named..].iter().map(|part| part.mean_ns).sum();
        let words = format!("{} more", slice.parts.len() - named);
        parts.push(("p8", words, duration(rest.round() as u64), of_latency(rest)));
    }
    StackRow {
        quantile: quantile_name(slice.nines),
        x: across(nines(slice.nines, most)),
        latency: duration(slice.latency_ns.round() as u64),
        parts,
    }
}

fn picture(
    id: &str,
    slices: &[Slice],
    by_group: &[[f64; GROUPS.len()]],
    used: &[usize],
    first: usize,
    shown: &StackRow,
) -> String {
    let most = slices.last().map_or(1.0, |slice| slice.nines);
    let largest = shown.parts.first().map_or_else(String::new, |(_, name, _, share)| format!(" {name} takes {share}."));
    let description = format!(
        "Shares of the latency, stacked, from the fastest requests to the slowest. At {} the latency is {}:{largest} The table has all.",
        shown.quantile, shown.latency
    );
    let mut svg = Svg::new(id, "plot", HEIGHT, "What requests are made of, by quantile", &description);
    for (at, name) in [(0.0, "0 %"), (0.5, "50 %"), (1.0, "100 %")] {
        let y = (1.0 - at) * HEIGHT;
        svg.put("line", &[("class", &"grid"), ("x2", &"100%"), ("y1", &y), ("y2", &y)]);
        svg.label("tick left", "-8", y + 4.0, name);
    }
    for (at, name) in nine_ticks(most) {
        svg.label(if at > 0.97 { "tick end" } else { "tick middle" }, &across(at), HEIGHT + 18.0, &name);
    }
    svg.stretched(WIDE, HEIGHT);
    let x = |slice: &Slice| nines(slice.nines, most) * WIDE;
    let mut below: Vec<f64> = vec![0.0; slices.len()];
    for at in used {
        let above: Vec<f64> = below.iter().zip(by_group).map(|(below, shares)| below + shares[*at]).collect();
        let edge = |shares: &[f64]| -> Vec<(f64, f64)> {
            slices.iter().zip(shares).map(|(slice, share)| (x(slice), (1.0 - share.min(1.0)) * HEIGHT)).collect()
        };
        svg.path(&format!("part {}", GROUPS[*at].0), &area(&edge(&above), &edge(&below)));
        below = above;
    }
    svg.end();
    let x = across(nines(slices[first].nines, most));
    svg.put("line", &[("class", &"marker"), ("x1", &x), ("x2", &x), ("y2", &HEIGHT)]);
    svg.finish()
}
