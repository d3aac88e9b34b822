//! The probe `tcp`: connections, and trouble on them.

use acgs_perf_common::maps::{Counter, Histogram, PeerKey, PeerStats, others_index};

use super::{MapSpec, ProbeSpec, Stop};
use crate::live::hooks::{Hook, tracepoints};
use crate::live::maps::Maps;
use crate::sums::{Row, Section, Sections, Sums};

/// Counters of connections, by `Counter`.
pub const COUNTERS: &str = "tcp";
/// Connect latency, accept wait, round-trip time, by `Histogram`.
pub const TIMES: &str = "tcp_times";
/// Peers, by address and port; see [`PEER_WORDS`].
pub const PEERS: &str = "peers";
/// The peers that the table has no room for: by 0 for clients, 1 for those that the service called.
pub const OTHER_PEERS: &str = "other_peers";
/// Words of a peer: connections, failures, sum of the connect times in ns, segments retransmitted, resets. Its gauge is the last
/// round-trip time in µs.
pub const PEER_WORDS: u32 = 5;

/// Connections are counted at a hook of the service table; these are for trouble.
pub static PROBE: ProbeSpec = ProbeSpec {
    name: "tcp",
    purpose: "connections, connect latency, round-trip time, retransmissions, resets",
    hooks: HOOKS,
    needs: &[],
    global: Some("TCP_ACTIVE"),
    maps: &[MapSpec { name: "PEER_OTHERS", entries: |s| others_index(s.services, false) }],
    iterators: None,
    read,
    read_often: None,
    stop: Stop::ByCost,
};

const HOOKS: &[Hook] = tracepoints!["tcp_retransmit_skb", "tcp_receive_reset", "tcp_send_reset"];

fn read(maps: &Maps, service: u32, sections: &mut Sections) {
    let counters = Counter::ConnectionsAccepted as u32..=Counter::ResetsSent as u32;
    maps.read_counters(COUNTERS, service, counters, sections);
    let times = [Histogram::Connect, Histogram::AcceptWait, Histogram::Srtt].map(|histogram| histogram as u32);
    maps.read_histograms(TIMES, service, times, sections);
    let all = maps.entries::<PeerKey, PeerStats>("PEER", "TCP peers");
    let of_service = all.into_iter().filter(|(key, _)| key.service == service);
    let rows = of_service.map(|(key, stats)| ([&key.address[..], &[key.port]].concat(), row(&stats)));
    sections.insert(PEERS.into(), rows.collect());
    let others = maps.array("PEER_OTHERS");
    let other = |outgoing: bool| {
        let base = others_index(service, outgoing) as usize * (size_of::<PeerStats>() / size_of::<u64>());
        let [connections, failures, connect_ns, retransmits, resets, srtt_us] =
            std::array::from_fn(|word| others.get(base + word));
        row(&PeerStats { connections, failures, connect_ns, retransmits, resets, srtt_us })
    };
    let rows = [false, true].map(|outgoing| (vec![u32::from(outgoing)], other(outgoing)));
    sections.insert(OTHER_PEERS.into(), Section::from(rows));
}

fn row(stats: &PeerStats) -> Row {
    let words = [stats.connections, stats.failures, stats.connect_ns, stats.retransmits, stats.resets];
    Row { sums: Sums::dense(words.map(|word| word as i64)), latest: vec![stats.srtt_us], label: String::new() }
}
