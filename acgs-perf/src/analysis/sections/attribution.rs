//! Where the time of a service's requests went: the rows of the attribution histogram, with names in the place of words.

use std::collections::BTreeMap;

use acgs_perf_common::attribution::{
    ALL, ATTRIBUTION_BUCKETS, ATTRIBUTION_POWER, CALLS_WORD, COMPONENT_NAMES, COUNT_WORD, Component, LATENCY_WORD,
    MANY_CALLS_WORD, ONE_CALL_WORD, PEER_SLOTS, PEER_WORD, SHARED_WORD, component_word,
};
use acgs_perf_common::histogram::bucket_low_of_power;

use super::downstream::Peers;
use crate::analysis::model::{AttributionReport, AttributionRowReport, CallsOutstandingReport};
use crate::analysis::number::share4;
use crate::live::probes::attribution::{DROPPED, ROWS};
use crate::snapshot::interval::{row as row_of, section};
use crate::sums::{Sections, Sums};

/// Its attribution histogram.
pub fn attribution(sections: Option<&Sections>, peers: &Peers) -> AttributionReport {
    let with_requests = section(sections, ROWS).iter().filter(|(_, words)| words.sums.count(COUNT_WORD as u32) > 0);
    let rows: Vec<_> = with_requests
        .map(|(bucket, words)| row(bucket.first().copied().unwrap_or(0) as usize, &words.sums, peers))
        .collect();
    AttributionReport {
        grouping_power: ATTRIBUTION_POWER,
        calls_outstanding: calls_outstanding(&rows),
        rows,
        exemplars_dropped: row_of(sections, DROPPED, &[]).sums.count(0),
    }
}

fn row(bucket: usize, words: &Sums, peers: &Peers) -> AttributionRowReport {
    let bucket = bucket.min(ATTRIBUTION_BUCKETS);
    // A time out of a longer recording may take back what it has not counted: a reply that went on has left this row.
    let word = |word: usize| words.count(word as u32);
    let components = ALL.iter().map(|component| (*component, word(component_word(*component))));
    AttributionRowReport {
        low_ns: bucket_low_of_power(bucket, ATTRIBUTION_POWER),
        high_ns: (bucket < ATTRIBUTION_BUCKETS).then(|| bucket_low_of_power(bucket + 1, ATTRIBUTION_POWER) - 1),
        count: word(COUNT_WORD),
        latency_ns: word(LATENCY_WORD),
        component_ns: by_name(components),
        shared_ns: word(SHARED_WORD),
        calls: word(CALLS_WORD),
        one_call_ns: word(ONE_CALL_WORD),
        many_calls_ns: word(MANY_CALLS_WORD),
        downstream_ns: peers.by_address((0..PEER_SLOTS).map(|slot| (slot, word(PEER_WORD + slot)))),
    }
}

/// Name of a component in the report.
pub fn name(component: Component) -> String {
    COMPONENT_NAMES[component as usize].0.into()
}

/// The components that are not zero, by name.
pub fn by_name(components: impl IntoIterator<Item = (Component, u64)>) -> BTreeMap<String, u64> {
    components.into_iter().filter(|(_, ns)| *ns > 0).map(|(component, ns)| (name(component), ns)).collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::sample::attribution::{Peer, sections};

    #[test]
    fn a_row_gets_names_bounds_and_addresses() {
        let peer = |slot| Peer { slot, address: "10.0.0.9", port: 1, sent: 1, ..Peer::default() };
        // Slots 1 and 2 are the same peer, and their time belongs together.
        let sections = sections(&[], &[peer(1), peer(2)]);
        let mut words =
            BTreeMap::from([(COUNT_WORD, 2), (LATENCY_WORD, 70), (ONE_CALL_WORD, 35), (MANY_CALLS_WORD, 7)]);
        words.extend([(component_word(Component::Downstream), 40), (component_word(Component::OnCpu), 30)]);
        words.extend([(PEER_WORD, 1), (PEER_WORD + 1, 2), (PEER_WORD + 2, 3), (PEER_WORD + 7, 4)]);
        let words = Sums::sparse(words.into_iter().map(|(word, value)| (word as u32, value)));
        let row = row(33, &words, &Peers::new(Some(&sections)));
        assert_eq!((row.low_ns, row.high_ns, row.count, row.latency_ns), (34, Some(35), 2, 70));
        assert_eq!(serde_json::to_string(&row.component_ns).unwrap(), r#"{"downstream":40,"on_cpu":30}"#);
        assert_eq!(serde_json::to_string(&row.downstream_ns).unwrap(), r#"{"10.0.0.9:1":5,"others":1,"peer 7":4}"#);
        let shares = calls_outstanding(&[row]).unwrap();
        assert_eq!((shares.none_share, shares.one_share, shares.many_share), (0.4, 0.5, 0.1));
    }

    #[test]
    fn a_row_is_read_word_by_word() {
        let row = row(ATTRIBUTION_BUCKETS, &Sums::dense((0..56).map(|at| at * 10)), &Peers::default());
        let component = |component: Component| row.component_ns[&name(component)];
        assert_eq!((row.low_ns, row.high_ns), (1 << 36, None));
        assert_eq!((row.count, row.latency_ns, component(Component::QueueAccept)), (0, 10, 50));
        assert_eq!(
            (component(Component::OnCpu), component(Component::LoopWait), component(Component::Reply)),
            (20, 30, 40)
        );
        assert_eq!((component(Component::QueueOther), component(Component::RunQueue)), (150, 160));
        assert_eq!(
            (component(Component::Other), component(Component::PoolWait), component(Component::Unknown)),
            (250, 270, 290)
        );
        assert_eq!(component(Component::ConnectionWait), 280);
        assert_eq!((row.downstream_ns["others"], row.downstream_ns["peer 15"]), (340, 490));
        assert_eq!(component(Component::DeliveryNetwork), 520);
    }

    #[test]
    fn what_was_taken_back_without_having_been_counted_is_nothing() {
        let words = Sums::sparse([(COUNT_WORD as u32, 1), (component_word(Component::OnCpu) as u32, -5)]);
        let row = row(9, &words, &Peers::default());
        assert_eq!((row.count, row.component_ns.len()), (1, 0));
    }

    #[test]
    fn rows_without_requests_are_left_out() {
        assert_eq!(attribution(None, &Peers::default()).calls_outstanding, None);
        let rows = BTreeMap::from([(vec![40], Default::default())]);
        let sections = Sections::from([(ROWS.into(), rows)]);
        assert!(attribution(Some(&sections), &Peers::default()).rows.is_empty());
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
}
