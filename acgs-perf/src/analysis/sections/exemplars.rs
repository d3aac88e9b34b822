//! Single requests with their history, with names in the place of indexes and slots.

use acgs_perf_common::attribution::{ALL, Component};

use super::attribution::{by_name, name};
use super::downstream::Peers;
use crate::analysis::model::{ActorReport, ExemplarReport, SegmentReport};
use crate::snapshot::exemplar::{Exemplar, Kept, Segment};

/// The exemplars, slowest first. `start_ns` is when the window began, on their clock.
pub fn exemplars(kept: &Kept, start_ns: u64, peers: &Peers) -> Vec<ExemplarReport> {
    let both = kept.slowest.iter().map(|one| (one, true)).chain(kept.sample.iter().map(|one| (one, false)));
    let mut all: Vec<_> = both.map(|(one, is_slowest)| exemplar(one, is_slowest, start_ns, peers)).collect();
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
        endpoint: Some(exemplar.endpoint.clone()).filter(|name| !name.is_empty()),
        bytes_in: exemplar.bytes_in,
        bytes_out: exemplar.bytes_out,
        components: by_name(ALL.iter().copied().zip(exemplar.component_ns.iter().copied())),
        shared_ns: exemplar.shared_ns,
        downstream_ns: peers.by_address(exemplar.peer_ns.iter().copied().enumerate()),
        slowest: is_slowest,
        truncated: exemplar.truncated,
        segments: segments(exemplar).iter().map(|s| segment(s, peers)).collect(),
    }
}

/// Its segments: one per component where the order is not known, and the reply last.
fn segments(exemplar: &Exemplar) -> Vec<Segment> {
    let whole = |component: Component| Segment {
        component: component as u32,
        duration_ns: exemplar.component_ns.get(component as usize).copied().unwrap_or(0),
        ..Segment::default()
    };
    let mut all = exemplar.segments.clone();
    if all.is_empty() {
        all = ALL.iter().map(|component| whole(*component)).filter(|segment| segment.duration_ns > 0).collect();
    }
    // What comes after the first byte of the reply, unless the order was not known.
    if all.iter().all(|segment| segment.component < Component::Reply as u32) {
        let after = ALL[Component::Reply as usize..].iter().map(|component| whole(*component));
        all.extend(after.filter(|segment| segment.duration_ns > 0));
    }
    all
}

fn segment(segment: &Segment, peers: &Peers) -> SegmentReport {
    SegmentReport {
        component: name(ALL.get(segment.component as usize).copied().unwrap_or(Component::Unknown)),
        duration_ns: segment.duration_ns,
        peer: segment.peer.map(|slot| peers.address(slot as usize)),
        call: Some(segment.call.clone()).filter(|name| !name.is_empty()),
        by: segment.by.as_ref().map(|by| ActorReport { pid: by.pid, comm: by.comm.clone() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exemplars_come_slowest_first() {
        let one = |queue_ns, service_ns| Exemplar { queue_ns, service_ns, reply_ns: 1, ..Exemplar::default() };
        let kept = Kept { slowest: vec![one(1, 2), one(5, 5), one(2, 3)], ..Kept::default() };
        let all = exemplars(&kept, 0, &Peers::default());
        assert_eq!(all.iter().map(|e| e.latency_ns).collect::<Vec<_>>(), [11, 6, 4]);
    }
}
