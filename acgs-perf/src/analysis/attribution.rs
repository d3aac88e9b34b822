//! The attribution of a capture as the report carries it: rows, downstream peers, exemplars.
//!
//! In: a `capture::Attribution`. Out: its sections of the report, with names in the place of indexes and slots.

use std::collections::BTreeMap;

use acgs_perf_common::attribution::{
    ALL, ATTRIBUTION_BUCKETS, ATTRIBUTION_POWER, COMPONENT_NAMES, COMPONENTS, Component, PEER_SLOTS,
};
use acgs_perf_common::histogram::bucket_low_of_power;

use super::distribution::distribution;
use super::number::{ratio4, share4};
use crate::analysis::figures::{Attribution, AttributionRow, Downstream};
use crate::analysis::model::{
    ActorReport, AttributionReport, AttributionRowReport, CallsOutstandingReport, DownstreamReport, ExemplarReport,
    SegmentReport,
};
use crate::snapshot::exemplar::{Exemplar, Segment};

/// Address that stands for the peers without a slot of their own.
const OTHERS: &str = "others";

/// Addresses of the peers by slot.
struct Peers<'a>(&'a [Downstream]);

impl Peers<'_> {
    fn address(&self, slot: usize) -> String {
        match self.0.iter().find(|peer| peer.slot == slot) {
            Some(peer) => peer.address.clone(),
            None if slot == 0 => OTHERS.into(),
            // A slot whose peer is not known is no reason to lose its time.
            None => format!("peer {slot}"),
        }
    }

    fn by_address(&self, peer_ns: &[u64; PEER_SLOTS]) -> BTreeMap<String, u64> {
        let mut map = BTreeMap::new();
        for (slot, ns) in peer_ns.iter().enumerate().filter(|(_, ns)| **ns > 0) {
            let sum: &mut u64 = map.entry(self.address(slot)).or_default();
            *sum = sum.saturating_add(*ns);
        }
        map
    }
}

/// Name of a component in the report.
fn name(component: Component) -> String {
    COMPONENT_NAMES[component as usize].0.into()
}

fn by_name(component_ns: &[u64; COMPONENTS]) -> BTreeMap<String, u64> {
    let names = COMPONENT_NAMES.iter().zip(component_ns);
    names.filter(|(_, ns)| **ns > 0).map(|((name, _), ns)| ((*name).to_owned(), *ns)).collect()
}

/// The attribution histogram.
pub fn attribution(attribution: &Attribution) -> AttributionReport {
    let peers = Peers(&attribution.downstream);
    let rows: Vec<_> = attribution.rows.iter().filter(|row| row.count > 0).map(|source| row(source, &peers)).collect();
    AttributionReport {
        grouping_power: ATTRIBUTION_POWER,
        calls_outstanding: calls_outstanding(&rows),
        rows,
        exemplars_dropped: attribution.exemplars_dropped,
    }
}

fn row(row: &AttributionRow, peers: &Peers) -> AttributionRowReport {
    let bucket = row.bucket.min(ATTRIBUTION_BUCKETS);
    AttributionRowReport {
        low_ns: bucket_low_of_power(bucket, ATTRIBUTION_POWER),
        high_ns: (bucket < ATTRIBUTION_BUCKETS).then(|| bucket_low_of_power(bucket + 1, ATTRIBUTION_POWER) - 1),
        count: row.count,
        latency_ns: row.latency_ns,
        component_ns: by_name(&row.component_ns),
        shared_ns: row.shared_ns,
        calls: row.calls,
        one_call_ns: row.one_call_ns,
        many_calls_ns: row.many_calls_ns,
        downstream_ns: peers.by_address(&row.peer_ns),
    }
}

/// Shares of the requests' life; `None` without requests. A report that was loaded can be given its rows anew.
#[must_use]
pub fn calls_outstanding(rows: &[AttributionRowReport]) -> Option<CallsOutstandingReport> {
    let sum = |field: fn(&AttributionRowReport) -> u64| rows.iter().map(|row| u128::from(field(row))).sum::<u128>();
    let life = sum(|row| row.latency_ns);
    if life == 0 {
        return None;
    }
    let one = share4(sum(|row| row.one_call_ns), life);
    let many = share4(sum(|row| row.many_calls_ns), life);
    // By subtraction, so that the three add up to 1 as they are printed.
    let none = ((1.0 - one - many).max(0.0) * 10_000.0).round() / 10_000.0;
    Some(CallsOutstandingReport { none_share: none, one_share: one, many_share: many })
}

/// The downstream peers, most time first; `requests` are the requests answered. Slots without a sign of life are left out.
pub fn downstream(attribution: &Attribution, requests: u64) -> Vec<DownstreamReport> {
    let seen =
        attribution.downstream.iter().filter(|d| d.sent > 0 || d.connects > 0 || d.latency.sum_ns.unwrap_or(0) > 0);
    let mut all: Vec<_> = seen
        .map(|d| {
            let latency = distribution(&d.latency);
            let calls = latency.count;
            let report = DownstreamReport {
                address: d.address.clone(),
                service: d.service.clone(),
                calls,
                unanswered: d.sent.saturating_sub(calls),
                connects: d.connects,
                connects_per_call: ratio4(d.connects, calls),
                calls_per_request: ratio4(calls, requests),
                multiplexed: d.multiplexed,
                latency,
            };
            (d.latency.sum_ns, report)
        })
        .collect();
    all.sort_by(|(a_ns, a), (b_ns, b)| b_ns.cmp(a_ns).then(b.calls.cmp(&a.calls)).then(a.address.cmp(&b.address)));
    all.into_iter().map(|(_, report)| report).collect()
}

/// The exemplars, slowest first.
pub fn exemplars(attribution: &Attribution) -> Vec<ExemplarReport> {
    let peers = Peers(&attribution.downstream);
    let kept = &attribution.exemplars;
    let both = kept.slowest.iter().map(|one| (one, true)).chain(kept.sample.iter().map(|one| (one, false)));
    let start = attribution.start_ns;
    let mut all: Vec<_> = both.map(|(one, is_slowest)| exemplar(one, is_slowest, start, &peers)).collect();
    all.sort_by(|a, b| b.latency_ns.cmp(&a.latency_ns).then(a.arrived_offset_ns.cmp(&b.arrived_offset_ns)));
    all
}

fn exemplar(exemplar: &Exemplar, is_slowest: bool, start_ns: u64, peers: &Peers) -> ExemplarReport {
    ExemplarReport {
        arrived_offset_ns: exemplar.arrived_ns.wrapping_sub(start_ns) as i64,
        latency_ns: exemplar.latency_ns(),
        queue_time_ns: exemplar.queue_ns,
        service_time_ns: exemplar.service_ns,
        reply_ns: exemplar.reply_ns,
        client: exemplar.client.clone(),
        thread: exemplar.thread,
        pid: exemplar.pid,
        comm: exemplar.comm.clone(),
        bytes_in: exemplar.bytes_in,
        bytes_out: exemplar.bytes_out,
        components: by_name(&exemplar.component_ns),
        shared_ns: exemplar.shared_ns,
        downstream_ns: peers.by_address(&exemplar.peer_ns),
        slowest: is_slowest,
        truncated: exemplar.truncated,
        segments: segments(exemplar).iter().map(|s| segment(s, peers)).collect(),
    }
}

/// Its segments: one per component where the order is not known, and the reply last.
fn segments(exemplar: &Exemplar) -> Vec<Segment> {
    let whole = |component: usize| Segment {
        component: component as u32,
        duration_ns: exemplar.component_ns[component],
        peer: None,
        by: None,
    };
    let mut all = exemplar.segments.clone();
    if all.is_empty() {
        all = (0..COMPONENTS).map(whole).filter(|segment| segment.duration_ns > 0).collect();
    }
    let reply = whole(Component::Reply as usize);
    if reply.duration_ns > 0 && all.last().is_none_or(|last| last.component != reply.component) {
        all.push(reply);
    }
    all
}

fn segment(segment: &Segment, peers: &Peers) -> SegmentReport {
    SegmentReport {
        component: name(ALL.get(segment.component as usize).copied().unwrap_or(Component::Unknown)),
        duration_ns: segment.duration_ns,
        peer: segment.peer.map(|slot| peers.address(slot as usize)),
        by: segment.by.as_ref().map(|by| ActorReport { pid: by.pid, comm: by.comm.clone() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::figures::Counts;
    use crate::snapshot::exemplar::Kept;

    #[test]
    fn a_row_gets_names_bounds_and_addresses() {
        let mut source = AttributionRow { bucket: 33, count: 2, latency_ns: 70, ..AttributionRow::default() };
        source.component_ns[Component::Downstream as usize] = 40;
        source.component_ns[Component::OnCpu as usize] = 30;
        (source.peer_ns[0], source.peer_ns[1], source.peer_ns[2], source.peer_ns[7]) = (1, 2, 3, 4);
        source.one_call_ns = 35;
        source.many_calls_ns = 7;
        let peer = |slot, address: &str| Downstream { slot, address: address.into(), ..Downstream::default() };
        let over = AttributionRow { bucket: ATTRIBUTION_BUCKETS, count: 1, ..AttributionRow::default() };
        let empty = AttributionRow { bucket: 40, ..AttributionRow::default() };
        // Slots 1 and 2 are the same peer, and their time belongs together.
        let report = attribution(&Attribution {
            rows: vec![source, empty, over],
            downstream: vec![peer(1, "a:1"), peer(2, "a:1")],
            ..Attribution::default()
        });
        assert_eq!(report.rows.len(), 2);
        let row = &report.rows[0];
        assert_eq!((row.low_ns, row.high_ns), (34, Some(35)));
        assert_eq!(serde_json::to_string(&row.component_ns).unwrap(), r#"{"downstream":40,"on_cpu":30}"#);
        assert_eq!(serde_json::to_string(&row.downstream_ns).unwrap(), r#"{"a:1":5,"others":1,"peer 7":4}"#);
        let shares = report.calls_outstanding.unwrap();
        assert_eq!((shares.none_share, shares.one_share, shares.many_share), (0.4, 0.5, 0.1));
        assert_eq!((report.rows[1].low_ns, report.rows[1].high_ns), (1 << 36, None));
    }

    #[test]
    fn the_documentation_has_every_component() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/report.md");
        let page = std::fs::read_to_string(path).unwrap();
        for (name, meaning) in COMPONENT_NAMES {
            let line = format!("| `{name}` | {meaning} |");
            assert!(page.lines().any(|found| found == line), "docs/report.md lacks: {line}");
        }
    }

    #[test]
    fn no_request_no_share() {
        assert_eq!(attribution(&Attribution::default()).calls_outstanding, None);
    }

    #[test]
    fn downstream_peers_come_most_time_first_and_ratios_only_with_a_divisor() {
        let latency = |values: &[u64]| crate::analysis::sample::counts(values.iter().copied());
        let peer = |slot, sent, connects, latency| Downstream {
            slot,
            address: format!("p:{slot}"),
            sent,
            connects,
            latency,
            ..Downstream::default()
        };
        let source = Attribution {
            downstream: vec![
                peer(0, 0, 0, Counts::default()),
                peer(1, 5, 1, latency(&[10, 20, 30])),
                peer(2, 2, 0, latency(&[1_000, 2_000])),
                peer(3, 0, 4, Counts::default()),
            ],
            ..Attribution::default()
        };
        let all = downstream(&source, 7);
        assert_eq!(all.iter().map(|d| d.address.as_str()).collect::<Vec<_>>(), ["p:2", "p:1", "p:3"]);
        assert_eq!((all[1].calls, all[1].unanswered), (3, 2));
        assert_eq!((all[1].connects_per_call, all[1].calls_per_request), (Some(0.3333), Some(0.4286)));
        assert_eq!((all[2].connects, all[2].connects_per_call), (4, None));
        assert_eq!(downstream(&source, 0)[0].calls_per_request, None);
    }

    #[test]
    fn exemplars_come_slowest_first() {
        let one = |queue_ns, service_ns| Exemplar { queue_ns, service_ns, reply_ns: 1, ..Exemplar::default() };
        let kept = Kept { slowest: vec![one(1, 2), one(5, 5), one(2, 3)], ..Kept::default() };
        let all = exemplars(&Attribution { exemplars: kept, ..Attribution::default() });
        assert_eq!(all.iter().map(|e| e.latency_ns).collect::<Vec<_>>(), [11, 6, 4]);
    }
}
