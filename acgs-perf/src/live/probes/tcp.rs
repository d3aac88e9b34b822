//! The probe `tcp`: connections, and trouble on them.

use acgs_perf_common::maps::{Counter, Histogram, PEERS as PEERS_IN_TABLE, PeerKey, PeerStats, others_index};

use super::{MapSpec, ProbeSpec, Stop};
use crate::live::hooks::{Hook, tracepoints};
use crate::live::maps::Maps;
use crate::sums::{Key, Row, Sections, Sums};

/// Counters of connections, by `Counter`.
pub const COUNTERS: &str = "tcp";
/// Connect latency, accept wait, round-trip time, by `Histogram`.
pub const TIMES: &str = "tcp_times";
/// Peers, by address and port, and those without a row of their own by 0 for clients and 1 for those that the service called. Their
/// words: connections, failures, sum of the connect times in ns, segments retransmitted, resets. The gauge is the last round-trip time
/// in µs.
pub const PEERS: &str = "peers";
/// With more entries than this, those in which nothing happens make room for new ones.
const ROOM: usize = PEERS_IN_TABLE as usize / 4;

/// Connections are counted at a hook of the service table; these are for trouble.
pub static PROBE: ProbeSpec = ProbeSpec {
    name: "tcp",
    purpose: "connections, connect latency, round-trip time, retransmissions, resets",
    hooks: HOOKS,
    default: true,
    needs: &[],
    global: Some("TCP_ACTIVE"),
    fields: None,
    maps: &[
        MapSpec { name: "PEER", entries: |s| s.if_active(PEERS_IN_TABLE) },
        MapSpec { name: "PEER_OTHERS", entries: |s| others_index(s.services, false) },
    ],
    iterators: None,
    sockets: None,
    read,
    read_often: None,
    read_recording: None,
    tables: &[],
    others: &[(PEERS, others)],
    stop: Stop::ByCost,
};

const HOOKS: &[Hook] = tracepoints!["tcp_retransmit_skb", "tcp_receive_reset", "tcp_send_reset"];

fn read(maps: &Maps, service: u32, sections: &mut Sections) {
    let counters = Counter::ConnectionsAccepted as u32..=Counter::ResetsSent as u32;
    maps.read_counters(COUNTERS, service, counters, sections);
    let times = [Histogram::Connect, Histogram::AcceptWait, Histogram::Srtt].map(|histogram| histogram as u32);
    maps.read_histograms(TIMES, service, times, sections);
    let table = ("PEER", "TCP peers", ROOM);
    let of_service = |key: &PeerKey, stats: &PeerStats| {
        (key.service == service).then(|| ([&key.address[..], &[key.port]].concat(), row(stats)))
    };
    let mut peers = maps.read_table(table, sections.get(PEERS), of_service);
    let others = maps.array("PEER_OTHERS");
    for outgoing in [false, true] {
        let base = others_index(service, outgoing) as usize * (size_of::<PeerStats>() / size_of::<u64>());
        let [connections, failures, connect_ns, retransmits, resets, srtt_us] =
            std::array::from_fn(|word| others.get(base + word));
        let stats = PeerStats { connections, failures, connect_ns, retransmits, resets, srtt_us };
        peers.insert(vec![u32::from(outgoing)], row(&stats));
    }
    sections.insert(PEERS.into(), peers);
}

/// The key of the others that a peer belongs to.
pub fn others(key: &Key) -> Key {
    match key[..] {
        [_, _, _, _, port] => vec![u32::from(port != 0)],
        _ => key.clone(),
    }
}

fn row(stats: &PeerStats) -> Row {
    let words = [stats.connections, stats.failures, stats.connect_ns, stats.retransmits, stats.resets];
    Row { sums: Sums::dense(words.map(|word| word as i64)), latest: vec![stats.srtt_us], label: String::new() }
}
