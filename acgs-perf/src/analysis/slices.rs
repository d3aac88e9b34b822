//! What the requests next to each quantile are made of.
//!
//! In: rows of the attribution histogram. Out: for quantiles evenly spaced in nines the mean of each component over the requests that lie
//! between the middles to the neighbouring ones. As in `tail::rows`, the requests of one bucket are taken to be alike.

use super::model::AttributionRowReport;
use super::tail::merge_rows;

/// Slices for each nine.
pub const PER_NINE: u32 = 4;
const MOST_NINES: u32 = 5;
/// A slice of fewer requests says more about single ones.
const LEAST: f64 = 10.0;
/// The component that is divided by peer.
const DOWNSTREAM: &str = "downstream";

/// The requests next to a quantile.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Slice {
    /// The quantile is 1 − 10^−this.
    pub nines: f64,
    /// Their mean latency.
    pub latency_ns: f64,
    /// The parts of it, largest first; `downstream` is divided by peer as far as peers are known.
    pub parts: Vec<SlicePart>,
}

/// A part of the latency.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SlicePart {
    /// The component.
    pub component: String,
    /// The peer that was waited for.
    pub peer: Option<String>,
    /// Mean per request.
    pub mean_ns: f64,
}

/// The slices by rising quantile; none without enough requests.
#[must_use]
pub fn slices(rows: &[AttributionRowReport]) -> Vec<Slice> {
    let rows = merge_rows(rows);
    let total: f64 = rows.iter().map(|row| row.count as f64).sum();
    let last = ((total / LEAST).log10() * f64::from(PER_NINE)).floor();
    if last.is_nan() || last < 0.0 {
        return Vec::new();
    }
    let last = (last as u32).min(MOST_NINES * PER_NINE);
    let share = |step: f64| 1.0 - 10f64.powf(-step / f64::from(PER_NINE));
    let slice = |step: u32| {
        let middle = f64::from(step);
        let from = if step == 0 { 0.0 } else { share(middle - 0.5) };
        let to = if step == last { 1.0 } else { share(middle + 0.5) };
        slice(&rows, f64::from(step) / f64::from(PER_NINE), from * total, to * total)
    };
    (0..=last).map(slice).collect()
}

/// The requests from rank `from` to rank `to`.
fn slice(rows: &[AttributionRowReport], nines: f64, from: f64, to: f64) -> Slice {
    let (mut seen, mut count, mut latency) = (0.0, 0.0, 0.0);
    let mut parts: Vec<SlicePart> = Vec::new();
    for row in rows {
        let of_row = row.count as f64;
        let inside = (to.min(seen + of_row) - from.max(seen)).max(0.0);
        seen += of_row;
        if inside <= 0.0 {
            continue;
        }
        let weight = inside / of_row;
        count += inside;
        latency += row.latency_ns as f64 * weight;
        let peers: u64 = row.downstream_ns.values().fold(0, |sum, ns| sum.saturating_add(*ns));
        for (name, ns) in &row.component_ns {
            let without_peers = if name == DOWNSTREAM { ns.saturating_sub(peers) } else { *ns };
            add(&mut parts, name, None, without_peers as f64 * weight);
        }
        for (peer, ns) in &row.downstream_ns {
            add(&mut parts, DOWNSTREAM, Some(peer), *ns as f64 * weight);
        }
    }
    let per_request = |sum: f64| if count > 0.0 { sum / count } else { 0.0 };
    parts.iter_mut().for_each(|part| part.mean_ns = per_request(part.mean_ns));
    parts.retain(|part| part.mean_ns >= 1.0);
    parts.sort_by(|a, b| b.mean_ns.total_cmp(&a.mean_ns).then_with(|| a.component.cmp(&b.component)));
    Slice { nines, latency_ns: per_request(latency), parts }
}

fn add(parts: &mut Vec<SlicePart>, component: &str, peer: Option<&String>, ns: f64) {
    match parts.iter_mut().find(|part| part.component == component && part.peer.as_ref() == peer) {
        Some(part) => part.mean_ns += ns,
        None => parts.push(SlicePart { component: component.into(), peer: peer.cloned(), mean_ns: ns }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::sample::attribution::api;

    #[test]
    fn the_parts_of_a_slice_are_its_latency_and_the_tail_waits_for_the_database() {
        let rows = api().attribution.unwrap().rows;
        let all = slices(&rows);
        // 20,000 requests: 10 are above p99.95.
        assert_eq!(all.len(), 14);
        for slice in &all {
            let sum: f64 = slice.parts.iter().map(|part| part.mean_ns).sum();
            assert!((sum - slice.latency_ns).abs() < 100.0, "{slice:?}");
        }
        let p99 = &all[8];
        assert!((p99.nines - 2.0).abs() < 1e-9 && p99.latency_ns > 40e6, "{p99:?}");
        assert_eq!(p99.parts[0].peer.as_deref(), Some("127.0.0.1:5432"));
        assert_eq!(all[0].parts[0].component, "on_cpu");
        assert!(all[0].latency_ns < 3e6);
    }

    #[test]
    fn few_requests_have_no_slices() {
        assert!(slices(&[]).is_empty());
        let row = AttributionRowReport { low_ns: 100, count: 9, latency_ns: 900, ..AttributionRowReport::default() };
        assert!(slices(&[row]).is_empty());
    }
}
