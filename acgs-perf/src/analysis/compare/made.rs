//! What the requests next to a quantile are made of, in two recordings: which part of the shift is whose.
//!
//! In: the rows of the attribution histogram of both. Out: the means of the components next to the quantile, whose differences add up to
//! that of the latency. Next to the P99 are the requests between the P98.5 and the P99.5: half as many as are above it on either side.

use std::collections::BTreeMap;

use acgs_perf_common::attribution::Component;

use super::model::{MadeOf, PartShift};
use crate::analysis::model::AttributionRowReport;
use crate::analysis::sections::attribution::name;
use crate::analysis::tail::{PARTS, split};

/// With fewer requests next to the quantile their mean says more about single ones.
const MIN_REQUESTS: u128 = 20;
/// Quantiles that are tried, in hundredths of a percent.
const QUANTILES: [u32; 3] = [9_900, 9_000, 5_000];

/// A part: a component, and the peer of a downstream one.
type Name = (String, Option<String>);

/// Mean per request of each part.
struct Band {
    latency_ns: u64,
    parts: BTreeMap<Name, u64>,
}

/// What the P99 is made of, or the highest quantile below it with enough requests on both sides.
pub fn made_of(old: &[AttributionRowReport], new: &[AttributionRowReport]) -> Option<MadeOf> {
    QUANTILES.into_iter().find_map(|quantile| {
        let (old, new) = (band(old, quantile)?, band(new, quantile)?);
        let names: std::collections::BTreeSet<&Name> = old.parts.keys().chain(new.parts.keys()).collect();
        let of = |band: &Band, name: &Name| band.parts.get(name).copied().unwrap_or(0);
        let mut parts: Vec<PartShift> = names
            .into_iter()
            .map(|name| {
                let (old_ns, new_ns) = (of(&old, name), of(&new, name));
                let shift_ns = new_ns as i64 - old_ns as i64;
                PartShift { component: name.0.clone(), peer: name.1.clone(), old_ns, new_ns, shift_ns }
            })
            .filter(|part| part.old_ns > 0 || part.new_ns > 0)
            .collect();
        parts.sort_by(|a, b| b.shift_ns.abs().cmp(&a.shift_ns.abs()).then_with(|| a.component.cmp(&b.component)));
        Some(MadeOf { quantile, latency_ns: [old.latency_ns, new.latency_ns], parts })
    })
}

fn band(rows: &[AttributionRowReport], quantile: u32) -> Option<Band> {
    let tail = 10_000 - u128::from(quantile);
    let (outer, inner) = (split(rows, tail * 3 / 2)?.slow, split(rows, tail / 2)?.slow);
    let weight = outer.count.saturating_sub(inner.count);
    if weight < MIN_REQUESTS * PARTS {
        return None;
    }
    let mean = |outer: u128, inner: u128| {
        u64::try_from(outer.saturating_sub(inner).saturating_add(weight / 2) / weight).unwrap_or(u64::MAX)
    };
    let downstream = name(Component::Downstream);
    let mut parts = BTreeMap::new();
    for (component, sum) in &outer.components {
        if *component != downstream {
            let inner = inner.components.get(component).copied().unwrap_or(0);
            parts.insert(((*component).to_owned(), None), mean(*sum, inner));
        }
    }
    for (peer, sum) in &outer.peers {
        let inner = inner.peers.get(peer).copied().unwrap_or(0);
        parts.insert((downstream.clone(), Some((*peer).to_owned())), mean(*sum, inner));
    }
    Some(Band { latency_ns: mean(outer.latency, inner.latency), parts })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::sample::attribution::{mixed, report_rows, request};

    #[test]
    fn the_parts_of_the_shift_add_up_to_it_and_name_the_cause() {
        let body = request(&[(Component::OnCpu, 1_000_000)], &[]);
        let slow = |ns| request(&[(Component::OnCpu, 1_000_000)], &[(1, ns)]);
        let rows = |ns| report_rows(&mixed(10_000, 300, &body, &slow(ns)));
        let found = made_of(&rows(3_000_000), &rows(5_000_000)).unwrap();
        assert_eq!((found.quantile, found.latency_ns), (9_900, [4_000_000, 6_000_000]));
        let first = &found.parts[0];
        assert_eq!((first.component.as_str(), first.shift_ns), ("downstream", 2_000_000));
        assert!(first.peer.is_some());
        assert_eq!(found.parts.iter().map(|part| part.shift_ns).sum::<i64>(), 2_000_000);
        assert_eq!(made_of(&[], &rows(1)), None);
    }
}
