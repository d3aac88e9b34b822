//! TCP figures of a service.

use std::net::SocketAddr;

use acgs_perf_common::maps::{Counter, Histogram};

use crate::analysis::counts::counts;
use crate::analysis::distribution::distribution;
use crate::analysis::model::{PeerReport, ProbeStatus, TcpReport};
use crate::live::probes::tcp::{COUNTERS, PEERS, TIMES};
use crate::snapshot::interval::{row, section};
use crate::sums::{Row, Sections};
use crate::units::ip;

/// Address of those without figures of their own.
const OTHERS: &str = "others";

/// Its TCP figures; `probes` tell whether the hooks that measure the accept wait were attached.
pub fn tcp(sections: Option<&Sections>, probes: &[ProbeStatus]) -> TcpReport {
    let counters = row(sections, COUNTERS, &[]);
    let counter = |counter: Counter| counters.sums.count(counter as u32);
    let times = |histogram: Histogram| distribution(&counts(row(sections, TIMES, &[histogram as u32]), None));
    let unmeasured = accept_wait_unmeasured(probes);
    TcpReport {
        accepted: counter(Counter::ConnectionsAccepted),
        opened: counter(Counter::ConnectionsOpened),
        connect_failures: counter(Counter::ConnectFailures),
        retransmits: counter(Counter::Retransmits),
        resets_received: counter(Counter::ResetsReceived),
        resets_sent: counter(Counter::ResetsSent),
        connect: times(Histogram::Connect),
        accept_wait: unmeasured.is_none().then(|| times(Histogram::AcceptWait)),
        accept_wait_unmeasured: unmeasured,
        srtt: times(Histogram::Srtt),
        peers: peers(sections),
    }
}

/// Why the accept wait was not measured, if it was not.
fn accept_wait_unmeasured(probes: &[ProbeStatus]) -> Option<String> {
    let measures = probes.iter().any(|probe| probe.name == "syscalls" && probe.has_figures());
    (!measures).then(|| "needs the syscalls probe".into())
}

/// Its peers, most connections first; those without figures of their own last.
fn peers(sections: Option<&Sections>) -> Vec<PeerReport> {
    let mut peers: Vec<PeerReport> = section(sections, PEERS)
        .iter()
        .filter_map(|(key, stats)| match key[..] {
            [a, b, c, d, port] => Some(peer(address([a, b, c, d], port), port != 0, stats)),
            _ => None,
        })
        .collect();
    let others = section(sections, PEERS).iter().filter(|(key, _)| key.len() == 1);
    let others = others.map(|(key, stats)| peer(OTHERS.into(), key == &[1], stats));
    peers.extend(others.filter(|peer| peer.connections + peer.failures + peer.retransmits + peer.resets > 0));
    in_order(&mut peers);
    peers
}

/// Most connections first; those without figures of their own last, incoming ones before outgoing ones.
pub fn in_order(peers: &mut [PeerReport]) {
    let connections = |peer: &PeerReport| if peer.address == OTHERS { 0 } else { peer.connections };
    peers.sort_by(|a, b| {
        let others = (a.address == OTHERS).cmp(&(b.address == OTHERS));
        let by_size = connections(b).cmp(&connections(a));
        others.then(by_size).then_with(|| (&a.address, &a.direction).cmp(&(&b.address, &b.direction)))
    });
}

fn peer(address: String, outgoing: bool, stats: &Row) -> PeerReport {
    let [connections, failures, connect_ns, retransmits, resets] = [0, 1, 2, 3, 4].map(|word| stats.sums.count(word));
    let srtt_us = stats.latest.first().copied().unwrap_or(0);
    PeerReport {
        address,
        direction: if outgoing { "outgoing" } else { "incoming" }.into(),
        connections,
        failures,
        mean_connect_ns: (outgoing && connections > 0).then(|| connect_ns / connections),
        retransmits,
        resets,
        srtt_ns: (srtt_us > 0).then_some(srtt_us * 1000),
    }
}

fn address(words: [u32; 4], port: u32) -> String {
    let address = ip(words);
    match u16::try_from(port) {
        Ok(port) if port != 0 => SocketAddr::new(address, port).to_string(),
        _ => address.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;

    #[test]
    fn mapped_addresses_are_shown_as_ipv4() {
        let v4 = words(Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0x7f00, 1).octets());
        assert_eq!(address(v4, 6379), "127.0.0.1:6379");
        assert_eq!(address(v4, 0), "127.0.0.1");
        assert_eq!(address(words(Ipv6Addr::LOCALHOST.octets()), 80), "[::1]:80");
    }

    #[test]
    fn what_was_not_measured_is_absent() {
        let unmeasured = peer("10.0.0.1:80".into(), true, &Row::NOTHING);
        assert_eq!((unmeasured.srtt_ns, unmeasured.mean_connect_ns), (None, None));
    }

    fn words(octets: [u8; 16]) -> [u32; 4] {
        std::array::from_fn(|i| {
            u32::from_ne_bytes([octets[4 * i], octets[4 * i + 1], octets[4 * i + 2], octets[4 * i + 3]])
        })
    }
}
