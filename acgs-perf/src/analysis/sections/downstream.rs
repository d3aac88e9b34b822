//! Downstream peers of a service.

use std::collections::BTreeMap;

use acgs_perf_common::maps::{DOWNSTREAM_HEADER, DownstreamWord};

use crate::analysis::counts::{Counts, counts_from};
use crate::analysis::distribution::distribution;
use crate::analysis::model::{CoverageReport, DownstreamReport};
use crate::analysis::number::ratio4;
use crate::live::probes::attribution::DOWNSTREAM;
use crate::live::probes::called_endpoints;
use crate::snapshot::interval::section;
use crate::sums::{Row, Sections};
use crate::units::downstream_address;

/// Address that stands for the peers without a slot of their own, which is slot 0.
const OTHERS: &str = "others";

/// Addresses of the peers by slot.
#[derive(Clone, Debug, Default)]
pub struct Peers(BTreeMap<usize, String>);

impl Peers {
    /// Those of a service.
    pub fn new(sections: Option<&Sections>) -> Self {
        let peers = section(sections, DOWNSTREAM).iter();
        Self(peers.filter_map(|(key, peer)| Some((slot(key)?, downstream_address(key, &peer.label)?))).collect())
    }

    /// The address of one.
    pub fn address(&self, slot: usize) -> String {
        match self.0.get(&slot) {
            Some(address) => address.clone(),
            None if slot == 0 => OTHERS.into(),
            // A slot whose peer is not known is no reason to lose its time.
            None => format!("peer {slot}"),
        }
    }

    /// Times by slot, by address instead; slots of one peer belong together.
    pub fn by_address(&self, times: impl IntoIterator<Item = (usize, u64)>) -> BTreeMap<String, u64> {
        let mut map = BTreeMap::new();
        for (slot, ns) in times.into_iter().filter(|(_, ns)| *ns > 0) {
            let sum: &mut u64 = map.entry(self.address(slot)).or_default();
            *sum = sum.saturating_add(ns);
        }
        map
    }
}

fn slot(key: &[u32]) -> Option<usize> {
    key.first().map(|slot| *slot as usize)
}

/// The downstream peers, most time first; `requests` are the requests answered, `directory` the names of services by address. Slots
/// without a sign of life are left out. `is_named` says whether anybody has counted calls by name.
pub fn downstream(
    sections: Option<&Sections>,
    directory: &BTreeMap<String, String>,
    requests: u64,
    is_named: bool,
) -> Vec<DownstreamReport> {
    let named = is_named.then(|| called_endpoints::named_calls(section(sections, called_endpoints::SECTION)));
    let peers = section(sections, DOWNSTREAM).iter();
    let mut all: Vec<(u64, DownstreamReport)> =
        peers.filter_map(|(key, peer)| one(key, peer, directory, requests, named.as_ref())).collect();
    all.sort_by(|(a_ns, a), (b_ns, b)| b_ns.cmp(a_ns).then(b.calls.cmp(&a.calls)).then(a.address.cmp(&b.address)));
    all.into_iter().map(|(_, report)| report).collect()
}

/// A peer, behind the time of its calls.
fn one(
    key: &[u32],
    peer: &Row,
    directory: &BTreeMap<String, String>,
    requests: u64,
    named: Option<&BTreeMap<&str, u64>>,
) -> Option<(u64, DownstreamReport)> {
    let address = downstream_address(key, &peer.label)?;
    let word = |word: DownstreamWord| peer.sums.count(word as u32);
    let [sent, connects, time_ns] =
        [DownstreamWord::Sent, DownstreamWord::Connects, DownstreamWord::LatencySum].map(word);
    if sent == 0 && connects == 0 && time_ns == 0 {
        return None;
    }
    let counts = counts_from(peer, DOWNSTREAM_HEADER, Some(time_ns));
    let latency = distribution(&Counts { over_range: word(DownstreamWord::OverRange), ..counts });
    let calls = latency.count;
    let coverage = named
        .filter(|_| calls > 0)
        .map(|named| CoverageReport { named: named.get(address.as_str()).copied().unwrap_or(0), counted: calls });
    let report = DownstreamReport {
        service: directory.get(&address).cloned(),
        address,
        calls,
        unanswered: sent.saturating_sub(calls),
        connects,
        connects_per_call: ratio4(connects, calls),
        calls_per_request: ratio4(calls, requests),
        multiplexed: word(DownstreamWord::Multiplexed),
        coverage,
        latency,
    };
    Some((time_ns, report))
}

#[cfg(test)]
mod tests {
    use acgs_perf_protocol::{Kind, Protocol};

    use super::*;
    use crate::analysis::endpoints::sample;
    use crate::analysis::sample::attribution::{Peer, sections};
    use crate::live::probes::endpoints::key_of;

    #[test]
    fn downstream_peers_come_most_time_first_and_ratios_only_with_a_divisor() {
        let peer = |slot, sent, connects, times: &[u64]| Peer {
            slot,
            address: "10.0.0.9",
            port: 5000 + slot as u16,
            sent,
            connects,
            times: times.to_vec(),
        };
        let peers = [
            peer(0, 0, 0, &[]),
            peer(1, 5, 1, &[10, 20, 30]),
            peer(2, 2, 0, &[1_000, 2_000]),
            peer(3, 0, 4, &[]),
            peer(4, 0, 0, &[]),
        ];
        let mut sections = sections(&[], &peers);
        let call = |protocol: Protocol, kind: Kind, peer: &str, name: &str, calls: u64| {
            let label = format!("{peer}\0{name}");
            let row = sample::row(&label, std::iter::repeat_n(1_000, calls as usize));
            (key_of(protocol as u32, kind as u32, &label), row)
        };
        let calls = [
            call(Protocol::Postgres, Kind::Request, "10.0.0.9:5001", "select ?", 3),
            call(Protocol::Postgres, Kind::WaitByDesign, "10.0.0.9:5001", "listen a", 1),
            call(Protocol::Postgres, Kind::Handshake, "10.0.0.9:5001", "STARTUP", 1),
            call(Protocol::Tls, Kind::Request, "10.0.0.9:5002", "encrypted", 2),
            call(Protocol::Resp, Kind::Request, "10.0.0.9:5003", "GET", 5),
            (Vec::new(), sample::row("", [1])),
        ];
        sections.insert(called_endpoints::SECTION.into(), calls.into_iter().collect());
        let directory = BTreeMap::from([("10.0.0.9:5001".to_owned(), "queue".to_owned())]);
        let all = downstream(Some(&sections), &directory, 7, true);
        let addresses: Vec<_> = all.iter().map(|d| d.address.as_str()).collect();
        assert_eq!(addresses, ["10.0.0.9:5002", "10.0.0.9:5001", "10.0.0.9:5003"]);
        assert_eq!((all[1].calls, all[1].unanswered, all[1].service.as_deref()), (3, 2, Some("queue")));
        assert_eq!((all[1].connects_per_call, all[1].calls_per_request), (Some(0.3333), Some(0.4286)));
        assert_eq!((all[2].connects, all[2].connects_per_call), (4, None));
        let named: Vec<_> = all.iter().map(|d| d.coverage.as_ref().map(|of| (of.named, of.counted))).collect();
        assert_eq!(named, [Some((0, 2)), Some((4, 3)), None]);
        let without = downstream(Some(&sections), &directory, 0, false);
        assert!(without.iter().all(|d| d.calls_per_request.is_none() && d.coverage.is_none()), "{without:?}");
        assert_eq!(Peers::new(Some(&sections)).address(2), "10.0.0.9:5002");
    }
}
