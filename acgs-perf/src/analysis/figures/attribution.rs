//! Where the time of a service's requests went, and whom it called.

use acgs_perf_common::attribution::{
    ALL, CALLS_WORD, COUNT_WORD, LATENCY_WORD, MANY_CALLS_WORD, ONE_CALL_WORD, PEER_WORD, SHARED_WORD, component_word,
};
use acgs_perf_common::maps::{DOWNSTREAM_HEADER, DownstreamWord};

use super::counts::{Counts, counts_from};
use super::{Attribution, AttributionRow, Downstream};
use crate::live::probes::attribution::{DOWNSTREAM, DROPPED, ROWS};
use crate::snapshot::exemplar::Kept;
use crate::snapshot::interval::{Interval, row, section};
use crate::snapshot::{Capture, Context, Subject};
use crate::sums::{Row, Sections};
use crate::units::downstream_address;

/// Its attribution.
pub fn attribution(sections: Option<&Sections>, capture: &Capture, whole: &Interval, subject: &Subject) -> Attribution {
    let context = &capture.context;
    let rows = section(sections, ROWS).iter().filter(|(_, row)| row.sums.get(COUNT_WORD as u32) > 0);
    let mut downstream: Vec<Downstream> = section(sections, DOWNSTREAM)
        .iter()
        .filter_map(|(key, peer)| peer_of(key, peer, context))
        .filter(|peer| peer.slot != 0 || peer.sent > 0 || peer.connects > 0)
        .collect();
    downstream.sort_by_key(|peer| peer.slot);
    Attribution {
        rows: rows.map(|(bucket, row)| from_words(bucket.first().copied().unwrap_or(0) as usize, row)).collect(),
        downstream,
        // Of a file that is damaged there may be those of the intervals only.
        exemplars: capture.exemplars.get(subject).cloned().unwrap_or_else(|| Kept {
            slowest: whole.slowest.0.get(subject).cloned().unwrap_or_default(),
            ..Kept::default()
        }),
        start_ns: context.start_ns,
        exemplars_dropped: row(sections, DROPPED, &[]).sums.count(0),
    }
}

fn from_words(bucket: usize, row: &Row) -> AttributionRow {
    let word = |word: usize| row.sums.get(word as u32) as u64;
    AttributionRow {
        bucket,
        count: word(COUNT_WORD),
        latency_ns: word(LATENCY_WORD),
        component_ns: ALL.map(|component| word(component_word(component))),
        shared_ns: word(SHARED_WORD),
        calls: word(CALLS_WORD),
        one_call_ns: word(ONE_CALL_WORD),
        many_calls_ns: word(MANY_CALLS_WORD),
        peer_ns: std::array::from_fn(|slot| word(PEER_WORD + slot)),
    }
}

/// A peer from its key: its slot, and unless it is the others its address and port.
fn peer_of(key: &[u32], peer: &Row, context: &Context) -> Option<Downstream> {
    let address = downstream_address(key, &peer.label)?;
    let word = |word: DownstreamWord| peer.sums.count(word as u32);
    let latency = counts_from(peer, DOWNSTREAM_HEADER, Some(word(DownstreamWord::LatencySum)));
    Some(Downstream {
        slot: *key.first()? as usize,
        service: context.directory.get(&address).cloned(),
        address,
        sent: word(DownstreamWord::Sent),
        connects: word(DownstreamWord::Connects),
        multiplexed: word(DownstreamWord::Multiplexed),
        latency: Counts { over_range: word(DownstreamWord::OverRange), ..latency },
    })
}

#[cfg(test)]
mod tests {
    use acgs_perf_common::attribution::Component;

    use super::*;
    use crate::sums::Sums;

    #[test]
    fn a_row_is_read_word_by_word() {
        let row = from_words(3, &Row { sums: Sums::dense((0..48).map(|at| at * 10)), ..Row::default() });
        let component = |component: Component| row.component_ns[component as usize];
        assert_eq!((row.count, row.latency_ns, component(Component::QueueAccept)), (0, 10, 50));
        assert_eq!(
            (component(Component::OnCpu), component(Component::LoopWait), component(Component::Reply)),
            (20, 30, 40)
        );
        assert_eq!((component(Component::QueueOther), component(Component::RunQueue)), (140, 150));
        assert_eq!(
            (component(Component::Other), component(Component::PoolWait), component(Component::Unknown)),
            (220, 230, 240)
        );
        assert_eq!((row.peer_ns[0], row.peer_ns[15]), (290, 440));
    }
}
